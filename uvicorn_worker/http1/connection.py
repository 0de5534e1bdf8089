"""One HTTP/1 connection: the transport, and the pipeline of its requests.

Requests are taken one at a time: while one is answered, what follows it stays raw bytes, so the
look-ahead of a pipelining client is bounded and nothing can be written in front of the answer that
is due. What a head means stands in `request`, what goes out in `cycle`, how it ends in `ending`.
"""

from __future__ import annotations

import socket
import struct
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from uvicorn_worker.errors import ApplicationError, BadRequest, ClientDisconnected
from uvicorn_worker.flow import JUST_IDLE, NEVER, address_of
from uvicorn_worker.http1.body import body_reader
from uvicorn_worker.http1.cycle import RequestCycle
from uvicorn_worker.http1.ending import (
    ANSWER,
    BODY,
    CLOSED,
    IDLE,
    LINGER,
    PARTING,
    PREFACE,
    Ending,
)
from uvicorn_worker.http1.files import send_file
from uvicorn_worker.http1.partial import PartialHead
from uvicorn_worker.http1.request import field_values
from uvicorn_worker.http1.state import start_task

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from uvicorn_worker.asgi import Address
    from uvicorn_worker.http1.channel import Answered
    from uvicorn_worker.http1.request import Request
    from uvicorn_worker.http1.state import HTTPState

CR: Final = 13

# Pipelined requests taken in one turn of the loop: others must not wait for long.
PIPELINED_AT_ONCE: Final = 16

# Content that the application has not taken, or pipelined requests that are not due yet: above
# this the socket is not read. asyncio's own limit for what waits to be written.
READ_AHEAD_LIMIT: Final = 64 * 1024

# The rest of a body that nobody wants is read and dropped up to this, to keep the connection: as
# much as a client may have sent before it sees the answer. More costs more than a new connection.
DISCARD_LIMIT: Final = 64 * 1024


class HTTPConnection(Ending):
    """Protocol of one accepted connection, and the owner of its request cycle."""

    __slots__ = ("_again", "_dropped", "_last", "_pumping", "_retire_at", "_tls", "_usual",
                 "_write_waiters", "count", "trusted")  # fmt: skip

    cycle_class: ClassVar[type[RequestCycle]] = RequestCycle

    def __init__(
        self, state: HTTPState, sock: socket.socket, peer: Address, local: Address
    ) -> None:
        super().__init__(state, sock, peer, local)
        self._pumping = False
        self._again: Request | None = None  # the last one; clients repeat themselves
        self._usual = b""  # its bytes, once it was repeated and where there is nothing else to it
        self._retire_at = NEVER  # when the next answer is the last
        self._last = False  # the peer has said that this request is its last
        self._dropped = 0  # of a body whose answer is complete already
        self._write_waiters: list[asyncio.Future[None]] | None = None
        self._tls: dict[str, Any] | None = None  # the scope's extension, once it was asked for
        self.count: Callable[[Answered], None] | None = None
        self.trusted = False  # the peer's forwarding fields count

    # -- transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are no subclasses
        state = self.state
        state.connections.add(self)
        self.trusted = state.forwarding.peers.trusts(self.peer[0] if self.peer else None)
        if state.connection_age:
            import random  # not what most servers need

            jitter = random.uniform(0, state.config.limit_connection_age_jitter)
            self._retire_at = state.time() + state.connection_age + jitter
        self._arm(state.config.timeout_request_head)
        if state.config.proxy_protocol != "off":
            self._phase = PREFACE
        if state.draining:
            self.start_draining(NEVER)

    def connection_lost(self, exc: Exception | None) -> None:
        state = self.state
        state.connections.discard(self)
        if state.tls:
            self.transport.close()  # asyncio's of Python 3.10 complains of having been forgotten
        self._phase = CLOSED
        self.deadline = NEVER
        self._buffer = b""
        self._partial = None
        self.write_paused = False
        if self._cycle is not None:
            self._lose_cycle()
        if self._write_waiters:
            self._wake_writers()
        if state.on_connection_lost is not None:
            state.on_connection_lost()

    def eof_received(self) -> bool:
        """Keep the transport open while an answer is due: the peer may have closed one half."""
        self.half_closed = True
        if self._phase is ANSWER:
            if self.state.tls:
                self.leave()  # over TLS there are no halves
            elif self._cycle is not None:
                self._cycle.peer_half_closed()
        elif self._phase is IDLE and self._partial:
            self._refuse(BadRequest("connection closed inside a request's head"), self._partial)
        elif self._phase is BODY:
            self._refuse_body(BadRequest("connection closed inside a request's body"))
        else:
            self._close()
        return not self.state.tls

    def resume_writing(self) -> None:
        self.write_paused = False
        self._unsent = 0
        self._wake_writers()
        cycle = self._cycle
        if self._phase is ANSWER:
            self.deadline = NEVER
            if cycle is None:
                self._pump()
        elif self._phase is BODY and (
            self._read_paused or (cycle is not None and cycle.awaits_continue)
        ):
            self.deadline = NEVER  # the body waits for the application, not for the peer

    def _wake_writers(self) -> None:
        waiters, self._write_waiters = self._write_waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    # -- input

    def data_received(self, data: bytes) -> None:
        phase = self._phase
        if phase is IDLE:
            again = self._again
            if again is None or self._partial is not None:
                self._head_received(data)
            elif data == self._usual:
                self._phase = ANSWER
                scope = self.state.scopes.http(again, self.peer, self.local)
                self._cycle = cycle = self.cycle_class(self, again, scope)
                self._call(cycle)
            elif data.startswith(again.head):
                self._repeated(again, data[len(again.head) :])
            else:
                self._head_received(data)
        elif phase is BODY:
            self._body_received(data)
        elif phase is ANSWER:
            self._buffer += data
            if len(self._buffer) > READ_AHEAD_LIMIT:
                self._pause_reading()
        elif phase is PREFACE:
            self._preface_received(data)
        elif phase is PARTING:
            self.state.count_late(self._socket_peer())
            self._close()

    def _preface_received(self, data: bytes) -> None:
        """Take the PROXY header, if there is one, as the connection's true addresses."""
        from uvicorn_worker.proxies import proxy_protocol  # 1 ms of a start, for few servers

        self._buffer += data
        version = self.state.config.proxy_protocol
        assert version != "off"
        try:
            found = proxy_protocol.read(self._buffer, version)
            if found is None:
                return
            info, consumed = found
            if info is not None:
                host = self.peer[0] if self.peer else None
                if not self.state.proxy_peers.trusts(host):
                    raise BadRequest("PROXY header from a peer that may not send one", 403)
                if info.source is not None:
                    self.peer = info.source
        except BadRequest as exc:
            self._refuse(exc, self._buffer)
            return
        data, self._buffer = self._buffer[consumed:], b""
        self._phase = IDLE
        if data:
            self._head_received(data)

    def _head_received(self, data: bytes) -> None:
        """Take bytes of a request's head, and whatever follows it."""
        end = data.find(b"\r\n\r\n") + 4
        head = data
        try:
            if self._partial is None and end > 3 and data[0] != CR:
                rest = b""
                if end != len(data):
                    head = data[:end]
                    rest = data[end:]
            else:
                if self._partial is None:
                    self._partial = PartialHead(self.state.reader)
                    self._arm(self.state.config.timeout_request_head)
                whole = self._partial.add(data)
                if whole is None:
                    if self.state.draining:
                        self.start_draining(NEVER)
                    return
                head, rest = whole
            request = self.state.reader.read(head, self._again)
            if request.notable:
                self._examine(request)
            if request.length > self.state.body_limit:
                raise BadRequest("request body is too large", 413)
        except BadRequest as exc:
            self._refuse(exc, self._partial or head)
            return
        self._partial = None
        self.fresh = False
        self._again = request if request.repeatable else None
        self._usual = b""
        if request.upgrade and self._upgrades(request):
            assert self.state.websocket is not None
            self.deadline = NEVER
            self.state.websocket(self, request, rest)
        else:
            self._request_received(request, rest)

    def _repeated(self, request: Request, rest: bytes) -> None:
        """Start the cycle of a request that has come before, and will come again."""
        if request.scope is None:
            request.scope = self.state.scopes.template(request, self.peer, self.local)
        if request.length == 0 and request.keep_alive and self.state.plain:
            self._usual = request.head
        self._request_received(request, rest)

    def _upgrades(self, request: Request) -> bool:
        """Return whether the connection goes on as a WebSocket."""
        return self.state.websocket is not None and _upgrades_to(request, b"websocket")

    def _examine(self, request: Request) -> None:
        """Look after fields that only a proxy of ours may send, or no one."""
        state = self.state
        if self.fresh and not self.trusted:
            peer = self._socket_peer()
            if peer and (text := state.forwarding.disbelieved(peer[0], request.headers)):
                state.log.warning("%s", text)
        if state.filters:
            request.headers = state.forwarding.filter(request.headers, self.trusted)

    def _socket_peer(self) -> Address:
        """Return who is connected, which `peer` is not behind a PROXY header."""
        return address_of(self.transport.get_extra_info("peername"))

    def _request_received(self, request: Request, rest: bytes) -> None:
        """Start the cycle of a request; `rest` is what came behind its head."""
        state = self.state
        if not request.keep_alive:
            self._last = state.config.timeout_keep_alive > 0  # 0: it is we who said so
        elif state.connection_age and state.time() >= self._retire_at:
            request = copy(request)
            request.keep_alive = request.ordinary = False
        scope = state.scopes.http(request, self.peer, self.local)
        if state.tls:
            scope["extensions"]["tls"] = self._tls_extension()
        self._cycle = cycle = self.cycle_class(self, request, scope)
        if request.length == 0:
            self._phase = ANSWER
            self._buffer = rest
        elif not self._begin_body(request, rest):
            return
        forwarding = state.forwarding
        if ((request.notable and self.trusted) or forwarding.script_name) and not self._forwarded(
            cycle
        ):
            return
        self._call(cycle)

    def _call(self, cycle: RequestCycle) -> None:
        """Call the application, unless it has enough to do."""
        state = self.state
        if len(state.cycles) >= state.limit_concurrency:
            cycle.answer(503, b"Service Unavailable", (b"retry-after", b"1"))
            return
        state.cycles.add(cycle)
        cycle.task = start_task(state, cycle.run(state))

    def _tls_extension(self) -> dict[str, Any]:
        """Return a copy of what applications are told of TLS, which they may change."""
        if self._tls is None:
            assert self.state.tls_extension is not None
            self._tls = self.state.tls_extension(self.transport)
        return self._tls | {"client_cert_chain": self._tls["client_cert_chain"].copy()}

    def _forwarded(self, cycle: RequestCycle) -> bool:
        """Apply what a trusted proxy says; return whether the request can go on."""
        try:
            if self.trusted:
                self.state.forwarding.apply(cycle.scope, cycle.request_headers)
            if self.state.forwarding.script_name:
                self.state.forwarding.check_mount(cycle.scope)
        except BadRequest as exc:
            self._refuse_body(exc)
        except ApplicationError as exc:
            self.state.log.error("%s", exc)
            cycle.answer(500, b"Internal Server Error")
        else:
            return True
        return False

    def _begin_body(self, request: Request, rest: bytes) -> bool:
        """Expect a body; return whether the part of it that has come is right."""
        if len(rest) == request.length:  # all of it came with the head
            assert self._cycle is not None
            self._phase = ANSWER
            self._buffer = b""
            self._disarm()
            self._cycle.body_received(rest, ended=True)
            return True
        self._phase = BODY
        self._body = body_reader(request, self.state.reader, self.state.body_limit)
        if rest:
            self._body_received(rest)
        elif request.expects_continue:
            self._disarm()  # until it is asked for
        else:
            self._arm(self.state.config.timeout_request_body)
        return self._cycle is not None

    def _body_received(self, data: bytes) -> None:
        """Take bytes of the request's body, and whatever follows it."""
        body = self._body
        assert body is not None
        try:
            data = body.feed(data)
        except BadRequest as exc:
            self._refuse_body(exc)
            return
        ended = body.ended
        if ended:
            self._phase = ANSWER
            self._buffer = body.rest
            self._body = None
            self._disarm()
        else:
            self._arm(self.state.config.timeout_request_body)
        cycle = self._cycle
        if cycle is None:
            self._body_dropped(len(data), ended)
        elif data or ended:
            cycle.body_received(data, ended=ended)
            if not ended and cycle.buffered > READ_AHEAD_LIMIT:
                self._pause_reading()
                self._disarm()

    def _body_dropped(self, length: int, ended: bool) -> None:
        """Count a part of a body whose answer is complete already."""
        if ended:
            self._pump()
            return
        self._dropped += length
        if self._dropped > DISCARD_LIMIT:
            self._linger()

    # -- what the cycle asks for (channel.CycleOwner)

    def body_consumed(self) -> None:
        if self._read_paused and self._phase is BODY:
            self._resume_reading()
            self._arm(self.state.config.timeout_request_body)

    def send_continue(self) -> None:
        self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._arm(self.state.config.timeout_request_body)

    def body_unread(self, *, response_complete: bool) -> bool:
        if self._phase is not BODY:
            return False
        assert self._cycle is not None
        assert self._body is not None
        if self._cycle.awaits_continue:
            return True  # RFC 9110 section 10.1.1: the client may send the body, or not
        # A response that comes in parts may be written while the body is read.
        return response_complete and self._body.left > DISCARD_LIMIT

    def response_ended(self, keep_alive: bool) -> None:
        state = self.state
        state.requests_total += 1
        self._cycle = None
        if not keep_alive:
            if self._last and self._phase is ANSWER and not self._buffer:
                self._close()  # RFC 9112 section 9.6: the peer must not send anything more
            else:
                self._linger()
        elif self._phase is BODY:
            self._dropped = 0
            self._resume_reading()
            self._arm(state.config.timeout_request_body)
        elif self._buffer or self.write_paused or self.half_closed:
            # Not now: this may be inside the call that received the request.
            if not self._pumping:
                state.loop.call_soon(self._pump)
        else:
            self._phase = IDLE
            self.deadline = JUST_IDLE
        if state.on_request_ended is not None:
            state.on_request_ended()

    def _pump(self) -> None:
        """Go on with what has been received beyond the last request, some requests at once."""
        self._pumping = True
        try:
            for _ in range(PIPELINED_AT_ONCE):
                if not self._take_next():
                    return
        finally:
            self._pumping = False
        self.state.loop.call_soon(self._pump)

    def _take_next(self) -> bool:
        """Take the next request; return whether it was answered at once and more has come."""
        if self._phase is not ANSWER or self._cycle is not None or self.write_paused:
            # `resume_writing` comes back: a peer that does not read gets no more answers
            return False
        self._phase = IDLE
        data, self._buffer = self._buffer, b""
        self.deadline = JUST_IDLE
        self._resume_reading()  # the rest of a long head, or of a body, may have been kept out
        if data:
            self.data_received(data)
            if self._phase is ANSWER and len(self._buffer) > READ_AHEAD_LIMIT:
                self._pause_reading()
        if self.half_closed and (self._phase is IDLE or self._phase is BODY):
            self.eof_received()
        return self._phase is ANSWER and self._cycle is None

    def leave(self) -> None:
        self._lose_cycle()
        self._close()

    def give_up(self) -> None:
        cycle = self._cycle
        if cycle is None:
            return
        cut = cycle.ends_with_close
        self._lose_cycle()
        if cut:
            # The end of the connection would pass for the end of the content: send a reset.
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        else:
            self._linger()

    async def drained(self) -> None:
        while self.write_paused:
            waiter = self.state.loop.create_future()
            if self._write_waiters is None:
                self._write_waiters = []
            self._write_waiters.append(waiter)
            await waiter
        if self._phase is LINGER or self._phase is CLOSED:
            raise ClientDisconnected("the client has left")

    async def flushed(self) -> None:
        # Again where the transport was the acceptor's: that of the loop has its own limits.
        while self._phase is not CLOSED and self.transport.get_write_buffer_size():
            self.transport.set_write_buffer_limits(0)  # `pause_writing` at once, until it is empty
            await self.drained()
            self.transport.set_write_buffer_limits()
        if self._phase is LINGER or self._phase is CLOSED:
            raise ClientDisconnected("the client has left")

    async def send_file(self, path: str, count: int) -> None:
        sendfile = self.state.config.sendfile and not self.state.tls
        await send_file(self, self.sock if sendfile else None, path, count)


def _upgrades_to(request: Request, protocol: bytes) -> bool:
    """Return whether the request offers to go on with `protocol` (RFC 9110 section 7.8)."""
    return protocol in (
        item.strip(b" \t").lower()
        for value in field_values(request, b"upgrade")
        for item in value.split(b",")
    )
