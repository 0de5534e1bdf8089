"""One request and its response: the application's call, ASGI `send`, and all response logic.

The cycle decides what goes on the wire and when the response has ended; the connection owns the
transport, the request's bytes and time. It is used by one task, so it needs no locks.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any

from uvicorn_worker.errors import ApplicationError, ClientDisconnected
from uvicorn_worker.http1.channel import BODY, DONE, FILE, HEAD, LAST, LOST, START, TRAILERS
from uvicorn_worker.http1.files import file_size
from uvicorn_worker.http1.head import (
    EMPTY_STATUSES,
    UNKNOWN_LENGTH,
    ResponseHead,
    early_hints,
    length_line,
    read_head,
    trailer_section,
)
from uvicorn_worker.http1.receiving import Receiver
from uvicorn_worker.http1.request import field_values

if TYPE_CHECKING:
    from uvicorn_worker.asgi import Address, Headers, Message
    from uvicorn_worker.http1.channel import CycleOwner
    from uvicorn_worker.http1.request import Request
    from uvicorn_worker.state import ServerState

# Above this a body is not copied to be written together with its head. Measured on uvloop: a
# second buffer costs what copying some 16 KiB costs.
COPY_LIMIT = 16 * 1024


class RequestCycle(Receiver):
    """The two channels of one request, and its response.

    Attributes: `request`; `scope`; `status` (0 before the start), `sent` (bytes of content handed
    to the transport), `response_head` (as sent), `started` (monotonic time).
    """

    __slots__ = (
        "_chunked",
        "_head",
        "_keep_alive",
        "_left",
        "_no_body",
        "_send_trailers",
        "_trailer_lines",
        "_trailers",
        "_unwritten",
        "_unwritten_size",
        "request",
        "response_head",
        "scope",
        "sent",
        "started",
        "status",
        "task",
    )

    def __init__(self, owner: CycleOwner, request: Request, scope: dict[str, Any]) -> None:
        self._owner = owner
        self.request = request
        self.scope = scope
        self.awaits_continue = request.expects_continue
        self.status = 0
        self.sent = 0
        self.response_head = b""
        self.started = monotonic()
        self.task: asyncio.Task[None] | None = None
        self._state = START
        self._body = b""
        self._body_ended = request.length == 0
        self._more_body = True
        self._trailers = False
        self._waiters = None

    # -- what observers see (state.Exchange)

    @property
    def target(self) -> bytes:
        return self.request.target

    @property
    def path(self) -> str:
        """The path as received, decoded: without what `root_path` puts before it."""
        return self.request.path_text

    @property
    def request_headers(self) -> Headers:
        return self.request.headers

    @property
    def peer(self) -> Address:
        return self._owner.peer

    @property
    def local(self) -> Address:
        return self._owner.local

    # -- what the connection tells

    @property
    def responding(self) -> bool:
        """Whether bytes of the final response may be on the wire already."""
        return self._state in (BODY, FILE, TRAILERS)

    @property
    def ended(self) -> bool:
        return self._state in (DONE, LOST)

    @property
    def ends_with_close(self) -> bool:
        """Whether only the end of the connection ends the content."""
        return self.responding and not (self._chunked or self._no_body or self._left >= 0)

    def lose(self) -> None:
        """The client left, or nothing can be sent to it any more."""
        if self._state is not DONE and self._state is not LOST:
            self._state = LOST
            self._observe_end()
        self._body = b""
        if self._waiters:
            self._wake()

    def refuse(self, status: int) -> None:
        """The server answers a wrong body with `status`: what has been started is not sent."""
        self.status = status
        self._state = START

    def time_out(self) -> bool:
        """End a response that takes too long; return False where it is complete."""
        if self._state is DONE:
            return False
        self._abandon(504, b"Gateway Timeout")
        return True

    # -- the application's call

    async def run(self, state: ServerState) -> None:
        """Call the application and see the response through; never raises but for exits."""
        try:
            if state.observer is not None:
                state.observer.before(self)
            await state.app(self.scope, self.receive, self.send)
        except Exception as exc:
            self._application_failed(exc)
        except asyncio.CancelledError:
            # Ours (the drain's deadline, the disconnect's grace period), or the application's own.
            if self._state is not DONE and self._state is not LOST:
                self._owner.state.log.warning(
                    "ASGI application was cancelled: %s %s",
                    self.request.method,
                    self.scope["path"],
                )
            self._abandon()
        except (SystemExit, KeyboardInterrupt):
            self._abandon()  # this client must not wait for a worker that is about to exit
            raise
        else:
            if self._state is not DONE and self._state is not LOST:
                self._returned_early()
        finally:
            state.cycles.discard(self)

    def _application_failed(self, exc: Exception) -> None:
        log, request = self._owner.state.log, self.request
        if self._state is LOST and isinstance(exc, OSError):
            log.debug("%s %s: the client left: %r", request.method, self.scope["path"], exc)
            return  # ours, passed through by the application (ASGI HTTP 2.4)
        log.error(
            "Exception in ASGI application: %s %s", request.method, self.scope["path"], exc_info=exc
        )
        self._abandon()

    def _returned_early(self) -> None:
        problem = {
            START: "without starting a response",
            HEAD: "without sending a body",
            BODY: "before its response was complete",
            FILE: "before its file was sent",
            TRAILERS: "before sending the trailers it announced",
        }[self._state]
        self._owner.state.log.error(
            "ASGI application returned %s: %s %s", problem, self.request.method, self.scope["path"]
        )
        self._abandon()

    def _abandon(self, status: int = 500, text: bytes = b"Internal Server Error") -> None:
        """End a response that the application will not: an error, or a cut where it has begun."""
        if self._state is START or self._state is HEAD:
            self.answer(status, text)
        elif self.responding:
            self.cut()

    def cut(self) -> None:
        """End a response that has begun where it is, behind what the application has said."""
        self.flush()
        self._owner.give_up()

    def answer(self, status: int, text: bytes, *headers: tuple[bytes, bytes]) -> None:
        """Answer in the application's place, and close; only before its own response went out."""
        self.status = status
        self._trailers = False
        content_type = (b"content-type", b"text/plain; charset=utf-8")
        self._head = read_head(status, (content_type, (b"connection", b"close"), *headers))
        self._state = HEAD
        self._respond(text)

    # -- send

    async def send(self, message: Message) -> None:
        """Take a message of the response.

        Returns when the transport can take more. Raises ClientDisconnected (an OSError) after
        the client left, ApplicationError for a message that ASGI does not allow here.
        """
        kind = message["type"]
        state = self._state
        if kind == "http.response.body":
            if state is HEAD:
                # To ask whether there is a key costs half of looking it up with `get`.
                whole = "more_body" not in message or not message["more_body"]
                if whole and not self._trailers:
                    self._respond(message.get("body", b""))
                    return
                self._begin(message)
            elif state is BODY:
                self._write_body(message)
            else:
                raise self._refusal(kind)
        elif kind == "http.response.start" and state is START:
            self._head = head = read_head(message["status"], message.get("headers", ()))
            self.status = head.status
            if "trailers" in message:
                self._expect_trailers(wanted=message["trailers"])
            self._state = HEAD
            return
        else:
            await self._send_extension(kind, message)
        if self._owner.write_paused and self._state is not DONE:
            await self._owner.drained()

    async def _send_extension(self, kind: object, message: Message) -> None:
        """Take a message of one of the extensions; raises where it has no place."""
        state = self._state
        if kind == "http.response.pathsend" and state is HEAD:
            await self._send_path(message)
        elif kind == "http.response.trailers" and state is TRAILERS:
            self._write_trailers(message)
        elif kind == "http.response.early_hint" and state < BODY:
            if self.request.http11:
                self._owner.transport.write(early_hints(message.get("links", ())))
        else:
            raise self._refusal(kind)

    def _refusal(self, kind: object) -> Exception:
        if self._state is LOST:
            return ClientDisconnected("the client has left")
        expected = {
            START: "'http.response.start'",
            HEAD: "'http.response.body'",
            BODY: "'http.response.body'",
            FILE: "nothing: a file is the body",
            TRAILERS: "'http.response.trailers'",
            DONE: "nothing: the response is complete",
        }[self._state]
        return ApplicationError(f"unexpected ASGI message {kind!r}, expected {expected}")

    def _expect_trailers(self, *, wanted: object) -> None:
        """The application announced trailers; they go to clients that say they take them."""
        self._trailers = bool(wanted)
        self._trailer_lines = b""
        # ASGI extension http.response.trailers; RFC 9110 section 10.1.4
        self._send_trailers = self.request.http11 and b"trailers" in (
            option.strip(b" \t").lower()
            for value in field_values(self.request, b"te")
            for option in value.split(b",")
        )

    def _respond(self, body: bytes) -> None:
        """Send the whole response: head and content in one write."""
        owner, request, head = self._owner, self.request, self._head
        if type(body) is not bytes:
            body = _content(body)
        length = len(body)
        server = owner.state
        if (
            length == head.ordinary_length
            and request.ordinary
            and self._body_ended
            and not server.draining
        ):
            keep_alive = True
            text = head.whole(server.common_end)
        else:
            keep_alive = self._may_persist(response_complete=True)
            if request.method == "HEAD" or self.status in EMPTY_STATUSES:
                body = b""
                length = 0
                text = self._finish_head(self._length_without_content(), keep_alive)
            elif head.length == length or head.length == UNKNOWN_LENGTH:
                text = self._finish_head(length_line(length), keep_alive)
            else:
                raise ApplicationError(
                    f"content-length is {head.length}, but the response has {length} bytes"
                )
        self.response_head = text
        self.sent = length
        count = owner.count
        if count is not None:
            count(self)
        if length <= COPY_LIMIT:
            owner.transport.write(text + body)
        else:
            owner.write_parts((text, body))
        self._end(keep_alive)

    def _begin(self, message: Message) -> None:
        """Send the head, and the first part of a response that comes in parts."""
        request, length = self.request, self._head.length
        keep_alive = self._may_persist(response_complete=False)
        self._left = length
        self._chunked = self._no_body = False
        self._unwritten: list[bytes] = []
        self._unwritten_size = 0
        if request.method == "HEAD" or self.status in EMPTY_STATUSES:
            self._no_body = True
            framing = self._length_without_content()
        elif length != UNKNOWN_LENGTH and not (self._trailers and self._send_trailers):
            framing = length_line(length)
        elif request.http11:
            self._chunked = True
            self._left = UNKNOWN_LENGTH
            framing = b"\r\ntransfer-encoding: chunked"
        else:
            keep_alive = False  # RFC 9112 section 6.3: the close ends the content
            framing = b""
        self.response_head = head = self._finish_head(framing, keep_alive)
        self._keep_alive = keep_alive
        self._state = BODY
        try:
            self._write_body(message, head)
        except ApplicationError:
            # Nothing is on the wire: as if the response had not been started. Its head is spent; a
            # body without one must not follow.
            self._state = START
            self.status = 0
            self._trailers = False
            raise

    def _may_persist(self, *, response_complete: bool) -> bool:
        """Return whether the connection may be used again (RFC 9112 section 9.3)."""
        owner = self._owner
        return (
            self.request.keep_alive
            and not owner.state.draining
            and not self._head.closes
            and (self._body_ended or not owner.body_unread(response_complete=response_complete))
        )

    def _length_without_content(self) -> bytes:
        """RFC 9110 section 8.6: HEAD and 304 may tell a length, 204 must not, 205 has none."""
        if self.status == 205:
            return length_line(0)
        if self._head.length == UNKNOWN_LENGTH or self.status == 204:
            return b""
        return length_line(self._head.length)

    def _finish_head(self, framing: bytes, keep_alive: bool) -> bytes:
        """Return the head: the application's lines, those of the framing, and the server's."""
        server, special = self._owner.state, self._head.special
        if special is None:
            end = server.common_end
        else:
            end = server.end_beside(date=special.has_date, server=special.has_server)
            for option in reversed(special.options):
                end = b"\r\nconnection: " + option + end
        if not keep_alive:
            framing += b"\r\nconnection: close"
        elif not self.request.http11:
            framing += b"\r\nconnection: keep-alive"
        return b"".join((self._head.lines, framing, end))

    def _write_body(self, message: Message, head: bytes = b"") -> None:
        """Send a part of the content, behind the head where it is the first."""
        body = message.get("body", b"")
        if type(body) is not bytes:
            body = _content(body)
        more_body = message.get("more_body", False)
        length = len(body)
        if self._chunked:
            parts = self._chunk(body, last=not more_body)
        elif self._no_body:
            length = 0
            parts = []
        else:
            if self._left != UNKNOWN_LENGTH:
                self._count_down(length, last=not more_body)
            parts = [body] if length else []
        if head:
            parts.insert(0, head)
        self.sent += length
        if parts or not more_body:
            self._write_soon(parts, length, last=not (more_body or self._trailers))
        if not more_body:
            if self._trailers:
                self._state = TRAILERS
            else:
                self._end(self._keep_alive)

    def _write_soon(self, parts: list[bytes], length: int, *, last: bool) -> None:
        """Write what an application sends without waiting in between in one go.

        Each write costs the transport as much as all of the cycle's work for a small part; the
        loop would hold them back until the end of its turn anyway.
        """
        if self._unwritten:
            self._unwritten += parts
        else:
            self._unwritten = parts
            if not last:
                self._owner.state.loop.call_soon(self.flush)
        self._unwritten_size += length
        if last:
            self._state = LAST
            self._count()
        if last or self._unwritten_size > COPY_LIMIT:
            self.flush()
            if self._state is LOST:
                raise ClientDisconnected("the client has left")

    def flush(self) -> None:
        """Hand what was sent to the transport."""
        parts, self._unwritten = self._unwritten, []
        size, self._unwritten_size = self._unwritten_size, 0
        if not parts or self._state is LOST:
            return
        if self._owner.transport.is_closing():
            # It has failed, and says so in the loop's next turn only: an application that sends
            # without ever waiting would not let that come.
            self._owner.leave()
            return
        if size > COPY_LIMIT:
            self._owner.write_parts(parts)
        else:
            self._owner.transport.write(b"".join(parts))

    def _chunk(self, body: bytes, *, last: bool) -> list[bytes]:
        """Return a part of the content as a chunk (RFC 9112 section 7.1)."""
        parts = [b"%x\r\n" % len(body), body, b"\r\n"] if body else []
        if last and not (self._trailers and self._send_trailers):
            parts.append(b"0\r\n\r\n")
        return parts

    def _count_down(self, length: int, *, last: bool) -> None:
        """Hold the application to its Content-Length; what is refused does not count."""
        left = self._left - length
        if left < 0 or (left and last):
            more_or_fewer = "more" if left < 0 else "fewer"
            raise ApplicationError(
                f"the response has {more_or_fewer} bytes than its content-length "
                f"{self._head.length}"
            )
        self._left = left

    def _write_trailers(self, message: Message) -> None:
        self._trailer_lines += trailer_section(message.get("headers", ()))
        if not message.get("more_trailers", False):
            sent = self._chunked and self._send_trailers
            parts = [b"0\r\n", self._trailer_lines, b"\r\n"] if sent else []
            self._write_soon(parts, 0, last=True)
            self._end(self._keep_alive)

    async def _send_path(self, message: Message) -> None:
        """Send a file as the content (ASGI extension http.response.pathsend)."""
        owner = self._owner
        path = message["path"]
        size = file_size(path)
        head = self._head
        if head.length == UNKNOWN_LENGTH:
            self._head = ResponseHead(self.status, head.lines, size, head.special)
        elif head.length > size:
            raise ApplicationError(
                f"content-length is {head.length}, but {path!r} has {size} bytes"
            )
        self._trailers = False
        self._begin({"more_body": True})
        self.flush()
        if self._state is LOST:
            raise ClientDisconnected("the client has left")
        if not self._no_body:
            self._state = FILE  # until all of it is sent, whatever interrupts that
            await owner.send_file(path, self._left)
            if self._state is not FILE:
                raise ClientDisconnected("the client has left")
            self.sent = self._left
        self._count()
        self._end(self._keep_alive)

    def _count(self) -> None:
        count = self._owner.count
        if count is not None:
            count(self)

    def _end(self, keep_alive: bool) -> None:
        self._state = DONE
        self._body = b""
        if self._waiters:
            self._wake()
        owner = self._owner
        if owner.state.observer is not None:
            self._observe_end()
        owner.response_ended(keep_alive)

    def _observe_end(self) -> None:
        """Called once, when the response has ended or the client has left."""
        state = self._owner.state
        if state.observer is not None:
            try:
                state.observer.after(self)
            except Exception:  # the connection must go on
                state.log.exception("Exception in the observer of requests")


def _content(body: object) -> bytes:
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    raise ApplicationError(f"a body is bytes, not {type(body).__name__}")
