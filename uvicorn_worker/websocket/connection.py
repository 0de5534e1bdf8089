"""One WebSocket connection: the transport, and its frames.

It takes the transport over from the HTTP connection on which the handshake came. How it ends stands
in `ending`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from uvicorn_worker.errors import (
    ApplicationError,
    BadRequest,
    ClientDisconnected,
    ProtocolViolation,
)
from uvicorn_worker.flow import NEVER
from uvicorn_worker.http1.cycle import COPY_LIMIT
from uvicorn_worker.http1.head import refusal
from uvicorn_worker.http1.state import start_task
from uvicorn_worker.websocket.cycle import WebSocketCycle
from uvicorn_worker.websocket.deflate import COMPRESS_FROM, Deflater, Inflater
from uvicorn_worker.websocket.denial import Denial
from uvicorn_worker.websocket.ending import (
    CLOSED,
    DENIAL,
    HANDSHAKE,
    OPEN,
    Ending,
)
from uvicorn_worker.websocket.frames import (
    ABNORMAL,
    COMPRESSED,
    PONG,
    control_frame,
    head,
)
from uvicorn_worker.websocket.handshake import (
    REFUSAL_LINES,
    make_scope,
    read_handshake,
    response_head,
)
from uvicorn_worker.websocket.reader import MessageReader

if TYPE_CHECKING:
    import asyncio
    import socket

    from uvicorn_worker.asgi import Address, Message, ResponseHeaders
    from uvicorn_worker.http1.request import Request
    from uvicorn_worker.http1.state import HTTPState
    from uvicorn_worker.websocket.denial import Response
    from uvicorn_worker.websocket.engine import FrameEngine
    from uvicorn_worker.websocket.handshake import Handshake

# Frames that came before the handshake was answered: above this the socket is not read.
EARLY_LIMIT: Final = 64 * 1024


class HandshakeConnection(Protocol):
    """What is needed of the connection on which a handshake has come."""

    state: HTTPState
    transport: asyncio.Transport
    sock: socket.socket
    peer: Address
    local: Address
    trusted: bool


class WebSocketConnection(Ending):
    """Protocol of a connection from its handshake on, and the owner of its cycle."""

    __slots__ = ("_deflater", "_engine", "_handshake", "_request", "_senders")

    cycle_class: ClassVar[type[WebSocketCycle]] = WebSocketCycle

    def __init__(
        self, http: HandshakeConnection, engine: FrameEngine, request: Request, early: bytes
    ) -> None:
        super().__init__(http.state, http.sock, http.peer, http.local)
        self.transport = http.transport
        self._engine = engine
        self._request: Request | None = request
        self._early = early
        self._handshake: Handshake | None = None
        self._deflater: Deflater | None = None
        self._senders: deque[asyncio.Future[None]] | None = None
        self.transport.set_protocol(self)
        self.state.connections.discard(http)
        self.state.connections.add(self)

    # -- transport

    def connection_lost(self, exc: Exception | None) -> None:
        state = self.state
        state.connections.discard(self)
        if state.tls:
            self.transport.close()  # asyncio's of Python 3.10 complains of having been forgotten
        self._phase = CLOSED
        self.deadline = NEVER
        self._early = b""
        self.write_paused = False
        cycle = self._cycle
        if cycle is not None:
            cycle.ended(ABNORMAL)
            if self._denial is not None:
                self._denial.response.lose()
            self._wake_senders()
            if not cycle.closed:
                self._cancel_later(cycle.task)
            if state.observer is not None:
                try:
                    state.observer.after(cycle)
                except Exception:  # as for HTTP: what comes behind has to be done
                    state.log.exception("Exception in the observer of requests")
            state.log.debug("WebSocket %s: connection closed", cycle.scope["path"])
        # Cycles of references, and the compressors in them, would wait for the garbage collector.
        self._reader = self._deflater = None
        if self._denial is None:
            self._cycle = None
        if state.on_connection_lost is not None:
            state.on_connection_lost()

    def eof_received(self) -> bool:
        """End with the peer: a WebSocket has no halves (RFC 6455 section 7.1.1)."""
        self.half_closed = True
        return False

    def resume_writing(self) -> None:
        self.write_paused = False
        self._send_pongs()
        self._wake_senders()

    # -- input

    def data_received(self, data: bytes) -> None:
        self._heard = True
        if self._reader is not None:
            try:
                if not self._reader.feed(data):
                    self._hold_input()
                if self._pongs is not None:
                    self._send_pongs()
            except ProtocolViolation as exc:
                self._violated(exc)
        elif self._phase is HANDSHAKE:
            self._early += data
            if len(self._early) > EARLY_LIMIT:
                self._pause_reading()

    def _hold_input(self) -> None:
        self.input_held = True
        self._pause_reading()

    def message_received(self, message: dict[str, Any], size: int) -> bool:
        assert self._cycle is not None
        return self._cycle.message_received(message, size)

    def ping_received(self, payload: bytes) -> None:
        pong = control_frame(PONG, payload)
        if self._pongs is None or self.write_paused:
            self._pongs = bytearray(pong)  # RFC 6455 section 5.5.3: the last one answers all
        else:
            self._pongs += pong

    # -- handshake

    def start(self, handshake: Handshake, *, trusted: bool) -> None:
        """Call the application, if the request may go on."""
        state, request = self.state, self._request
        assert request is not None
        self._handshake = handshake
        scope = self._make_scope(request, handshake.subprotocols)
        self._cycle = cycle = self.cycle_class(self, scope, request.target)
        try:
            if trusted:
                state.forwarding.apply(scope, request.headers)
            if state.forwarding.script_name:
                state.forwarding.check_mount(scope)
        except BadRequest as exc:
            self.refuse(exc)
            return
        except ApplicationError as exc:
            state.log.error("%s", exc)
            self.answer(500, b"Internal Server Error")
            return
        if len(state.cycles) >= state.limit_concurrency:
            self.refuse(BadRequest("too many requests at once", 503))
            return
        state.cycles.add(cycle)
        cycle.task = start_task(state, cycle.run(state.app))

    def _make_scope(self, request: Request, subprotocols: list[str]) -> dict[str, Any]:
        state = self.state
        scope = make_scope(state.scopes.http(request, self.peer, self.local), subprotocols)
        if state.tls_extension is not None:
            scope["extensions"]["tls"] = state.tls_extension(self.transport)
        return scope

    def refuse(self, exc: BadRequest) -> None:
        """Answer a handshake that cannot go on, without the application."""
        state, request, cycle = self.state, self._request, self._cycle
        if exc.status != 503:
            state.log_refusal(self.peer, exc.reason)
        assert request is not None
        if cycle is None:
            scope = self._make_scope(request, [])
            self._cycle = cycle = self.cycle_class(self, scope, request.target)
        lines = REFUSAL_LINES[exc.status] + state.common_lines
        response = refusal(exc.status, lines, head_only=request.method == "HEAD")
        self.transport.write(response)
        cycle.status = exc.status
        cycle.response_head = response[: response.index(b"\r\n\r\n") + 4]
        cycle.ended(ABNORMAL)
        self._answered()
        self._linger()

    def accept(self, subprotocol: str | None, headers: ResponseHeaders) -> bytes:
        state, config = self.state, self.state.config
        assert self._handshake is not None
        assert self._cycle is not None
        compression = self._handshake.compression
        response = response_head(self._handshake, subprotocol, headers, state)
        self.transport.write(response)
        self._phase = OPEN
        self._handshake = self._request = None
        self._reader = MessageReader(
            self._engine,
            self,
            message=self._cycle.message_received,
            limit=config.ws_max_size,
            inflater=Inflater(compression) if compression is not None else None,
        )
        if compression is not None:
            self._deflater = Deflater(compression)
        self._answered()
        if config.ws_ping_interval:
            self._ping_at = self.deadline = state.time() + config.ws_ping_interval
        state.log.debug("WebSocket %s: connection open", self._cycle.scope["path"])
        early, self._early = self._early, b""
        self._resume_reading()
        if early:
            self.data_received(early)
        if state.shed_window is not None:
            self.shed(state.shed_window)
        return response

    def _answered(self) -> None:
        state = self.state
        state.requests_total += 1
        if state.on_request_ended is not None:
            state.on_request_ended()

    # -- an HTTP response instead

    def _begin_denial(self) -> Denial:
        assert self._request is not None
        assert self._cycle is not None
        self._denial = denial = Denial(self, self._request, self._cycle.scope)
        self._phase = DENIAL
        self._early = b""
        return denial

    def answer(self, status: int, text: bytes) -> None:
        if self._phase is HANDSHAKE:
            self._begin_denial().response.answer(status, text)

    async def deny(self, message: Message) -> None:
        await (self._denial or self._begin_denial()).send(message)

    def abandon_denial(self) -> None:
        if self._denial is not None:
            self._denial.abandon()

    def denied(self, response: Response, *, complete: bool) -> None:
        cycle = self._cycle
        assert cycle is not None
        cycle.status, cycle.sent = response.status, response.sent
        cycle.response_head = response.response_head
        cycle.ended(ABNORMAL)
        if complete:
            self._answered()
        self._linger()

    async def drained(self) -> None:
        if self.write_paused:
            await self.ready_to_send()
        if self._phase is CLOSED:
            raise ClientDisconnected("the client has left")

    # -- output

    def send_message(self, first: int, payload: bytes) -> None:
        if self._deflater is not None and len(payload) >= COMPRESS_FROM:
            payload = self._deflater.deflate(payload)
            first |= COMPRESSED
        length = len(payload)
        if length <= COPY_LIMIT:
            self.transport.write(head(first, length) + payload)
        else:
            self.write_parts((head(first, length), payload))

    async def ready_to_send(self) -> None:
        """Wait for the transport, and for those that wait longer."""
        waiter = self.state.loop.create_future()
        if self._senders is None:
            self._senders = deque()
        self._senders.append(waiter)
        try:
            await waiter
        finally:
            self._senders.remove(waiter)
            # The next one runs after this one has written.
            self._wake_senders()

    def _wake_senders(self) -> None:
        """Let the first sender go on, if the transport takes more."""
        if self.write_paused:
            return
        if self._senders:
            if not self._senders[0].done():
                self._senders[0].set_result(None)
        elif self._cycle is not None:
            self._cycle.blocked = False


class Upgrader:
    """Takes handshakes over from HTTP connections (`HTTPState.websocket`)."""

    __slots__ = ("_compress", "_engine", "_kind")

    def __init__(
        self,
        engine: FrameEngine,
        *,
        compress: bool,
        kind: type[WebSocketConnection] = WebSocketConnection,
    ) -> None:
        """`kind` is what goes on with their transports."""
        self._engine = engine
        self._compress = compress
        self._kind = kind

    def __call__(self, http: HandshakeConnection, request: Request, rest: bytes) -> None:
        """Go on with `http`'s transport; `rest` is what came behind the request's head."""
        connection = self._kind(http, self._engine, request, rest)
        try:
            handshake = read_handshake(request, compress=self._compress)
        except BadRequest as exc:
            connection.refuse(exc)
        else:
            connection.start(handshake, trusted=http.trusted)
