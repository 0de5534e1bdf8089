"""One WebSocket as its application sees it: ASGI `receive` and `send`, and what they may do when.

The cycle decides what is sent and how the conversation ends; the connection owns the transport,
the frames and time. Several tasks of the application may wait in `receive` and `send`.
"""

from __future__ import annotations

import asyncio
import enum
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from uvicorn_worker.errors import ApplicationError, ClientDisconnected
from uvicorn_worker.logs.exchanges import show_target
from uvicorn_worker.websocket.frames import (
    ABNORMAL,
    INTERNAL_ERROR,
    NORMAL,
    SHORT,
    SHORT_HEADS,
    WHOLE_BINARY,
    WHOLE_TEXT,
    close_frame,
)

if TYPE_CHECKING:
    from uvicorn_worker.asgi import Address, Application, Headers, Message, ResponseHeaders
    from uvicorn_worker.state import ServerState

# Messages that the application has not taken: with this many bytes of them nothing more is read,
# however few they are (`ws_max_queue`).
READ_AHEAD_LIMIT: Final = 256 * 1024


class State(enum.IntEnum):
    """CONNECTING: the application has not answered the handshake. DENYING: it has begun an HTTP
    response instead. OPEN. ENDED: nothing can be sent any more; what has been received can still
    be taken."""

    CONNECTING, DENYING, OPEN, ENDED = range(4)


CONNECTING, DENYING, OPEN, ENDED = State


class CycleOwner(Protocol):
    """What the cycle needs of its connection."""

    @property
    def state(self) -> ServerState: ...

    transport: asyncio.Transport
    peer: Address
    local: Address

    input_held: bool
    """Input waits because the queue was full."""

    def input_wanted(self) -> None:
        """The queue has become empty: go on reading."""

    def accept(self, subprotocol: str | None, headers: ResponseHeaders) -> bytes:
        """Complete the handshake; return the head sent. Raises ApplicationError."""

    def answer(self, status: int, text: bytes) -> None:
        """Answer the handshake with an HTTP response in the application's place."""

    async def deny(self, message: Message) -> None:
        """Take a message of the HTTP response that refuses the handshake."""

    def abandon_denial(self) -> None:
        """The application does not complete that response."""

    async def ready_to_send(self) -> None:
        """Return when it is the caller's turn to send one message."""

    def send_message(self, first: int, payload: bytes) -> None:
        """Send a message that is not short as a frame with this first byte."""

    def close(self, frame: bytes) -> None:
        """Send a close frame; the peer's is awaited for some time, then the connection ends."""


class WebSocketCycle:
    """The two channels of one WebSocket.

    Attributes: as `state.Exchange`; `blocked`: `send` has to wait for its turn; `closed`: the
    application has ended the conversation, or has received word that the server has.
    """

    __slots__ = ("_disconnect", "_dismissed", "_full", "_next", "_others", "_owner", "_queue",
                 "_queued", "_state", "_waiter", "blocked", "closed", "response_head", "scope",
                 "sent", "started", "status", "target", "task")  # fmt: skip

    def __init__(self, owner: CycleOwner, scope: dict[str, Any], target: bytes) -> None:
        self._owner = owner
        self.scope = scope
        self.target = target
        self.status = 0
        self.sent = 0
        self.response_head = b""
        self.started = time.monotonic()
        self.task: asyncio.Task[None] | None = None
        self.blocked = False
        self.closed = False
        self._dismissed = False  # the server has sent its close frame, in the application's place
        self._state: State = CONNECTING
        # What `receive` returns next, which is mostly all there is, and what has come behind that.
        self._next: Message | None = {"type": "websocket.connect"}
        self._queue: list[Message] = []
        # Bytes of those that nobody awaited, one at least for each; 0 when all were taken.
        self._queued = 0
        self._full = owner.state.config.ws_max_queue
        self._disconnect: tuple[int, str] | None = None
        # Whoever waits in `receive`: one task as a rule. The others are woken together with it;
        # those that were cancelled are forgotten when the next one comes.
        self._waiter: asyncio.Future[None] | None = None
        self._others: list[asyncio.Future[None]] | None = None

    # -- what observers see (state.Exchange)

    @property
    def request_headers(self) -> Headers:
        headers: Headers = self.scope["headers"]
        return headers

    @property
    def peer(self) -> Address:
        return self._owner.peer

    @property
    def local(self) -> Address:
        return self._owner.local

    # -- what the connection tells

    def message_received(self, message: Message, size: int) -> bool:
        """Take a message; return whether there is room for another one."""
        if self._state is ENDED:
            return True  # dropped: the application has been told that it is over
        if self._next is None:
            self._next = message
        else:
            self._queue.append(message)
        waiter = self._waiter
        if waiter is not None:
            if self._others is None and not waiter.done():
                self._waiter = None
                waiter.set_result(None)  # the common case
                return True
            if self._wake():
                return True
        self._queued += size or 1
        return len(self._queue) + 1 < self._full and self._queued < READ_AHEAD_LIMIT

    def ended(self, code: int, reason: str = "") -> None:
        """The conversation is over; `receive` says so behind the messages it still has."""
        self._state = ENDED
        if self._disconnect is None:
            self._disconnect = code, reason
        self._wake()

    def _wake(self) -> bool:
        """Let all that wait in `receive` look again; return whether there are any."""
        waiter, self._waiter = self._waiter, None
        others, self._others = self._others, None
        waiting = [one for one in (waiter, *(others or ())) if one is not None and not one.done()]
        for one in waiting:
            one.set_result(None)
        return bool(waiting)

    # -- the application's call

    async def run(self, app: Application) -> None:
        """Call the application and see the conversation to its end; raises nothing but exits."""
        state = self._owner.state
        try:
            if state.observer is not None:
                state.observer.before(self)
            await app(self.scope, self.receive, self.send)
        except Exception as exc:
            self._application_failed(exc)
        except asyncio.CancelledError:
            # Ours: the drain's deadline, or the disconnect's grace period.
            self._abandon(state.close_code if state.draining else INTERNAL_ERROR)
        else:
            self._returned()
        finally:
            state.cycles.discard(self)

    def _application_failed(self, exc: Exception) -> None:
        log, path = self._owner.state.log, self.scope["path"]
        if isinstance(exc, ClientDisconnected) or (
            self._state is ENDED and isinstance(exc, OSError)
        ):
            log.debug("WebSocket %s: the client left: %r", path, exc)
        else:
            log.error("Exception in ASGI application: WebSocket %s", path, exc_info=exc)
        self._abandon(INTERNAL_ERROR)

    def _returned(self) -> None:
        if self._state is CONNECTING or self._state is DENYING:
            self._owner.state.log.error(
                "ASGI application returned without %s: WebSocket %s",
                "accepting or closing"
                if self._state is CONNECTING
                else "completing its HTTP response",
                self.scope["path"],
            )
        self._abandon(NORMAL)

    def _abandon(self, code: int) -> None:
        """End a conversation that the application will not."""
        if self._state is CONNECTING:
            self._state = ENDED
            self._owner.answer(500, b"Internal Server Error")
        elif self._state is DENYING:
            self._owner.abandon_denial()
        elif self._state is OPEN:
            self.close(code)

    def close(self, code: int, reason: str = "") -> None:
        """Close from this side; raises ApplicationError for a code that may not be sent."""
        frame = close_frame(code, reason)
        self._dismissed = True
        self.ended(code, reason)
        self._owner.close(frame)

    # -- receive

    async def receive(self) -> Message:
        """Return the next message; `websocket.disconnect` behind the last one, then always."""
        while (message := self._next) is None:
            if self._disconnect is not None:
                self.closed = self.closed or self._dismissed
                code, reason = self._disconnect
                return {"type": "websocket.disconnect", "code": code, "reason": reason}
            waiter = self._owner.state.loop.create_future()
            if self._waiter is None or self._waiter.done():  # cancelled
                self._waiter = waiter
            else:
                others = self._others or ()
                self._others = [*(other for other in others if not other.done()), waiter]
            await waiter
        if not self._queued:
            self._next = None
        elif self._queue:
            self._next = self._queue.pop(0)
        else:
            self._next = None
            self._queued = 0
            if self._owner.input_held:
                self._owner.input_wanted()
        return message

    # -- send

    async def send(self, message: Message) -> None:
        """Take a message of the application.

        Raises ClientDisconnected (an OSError) when the conversation is over, ApplicationError for
        a message that ASGI does not allow here.
        """
        if self._state is not OPEN or message["type"] != "websocket.send":
            await self._send_other(message)
            return
        first = WHOLE_BINARY
        payload = message.get("bytes")
        if payload is None:
            text = message.get("text")
            if not isinstance(text, str):
                raise ApplicationError("'websocket.send' has neither bytes nor a str as text")
            payload = text.encode()
            first = WHOLE_TEXT
        elif type(payload) is not bytes:
            payload = _content(payload)
        owner = self._owner
        if self.blocked:
            await owner.ready_to_send()
            if self._state is not OPEN:
                raise ClientDisconnected("the WebSocket is closed")
        # A transport that has failed says so in the next turn of the loop, and an application
        # that only sends would never let that come.
        if owner.transport.is_closing():
            raise ClientDisconnected("the WebSocket is closed")
        length = len(payload)
        self.sent += length
        if length < SHORT:
            owner.transport.write(SHORT_HEADS[first][length] + payload)
        else:
            owner.send_message(first, payload)

    async def _send_other(self, message: Message) -> None:
        kind, state = message["type"], self._state
        if state is ENDED:
            raise ClientDisconnected("the WebSocket is closed")
        if state is OPEN and kind == "websocket.close":
            code = message.get("code")
            self.close(NORMAL if code is None else code, message.get("reason") or "")
            self.closed = True
            self._next = None
            self._queue.clear()
        elif state is CONNECTING and kind == "websocket.accept":
            self._accept(message)
        elif state is CONNECTING and kind == "websocket.close":
            self.closed = True
            self.ended(ABNORMAL)
            self._owner.answer(403, b"Forbidden")
        elif (state is CONNECTING and kind == "websocket.http.response.start") or (
            state is DENYING and kind == "websocket.http.response.body"
        ):
            self._state = DENYING
            await self._owner.deny(message)
        else:
            expected = {
                CONNECTING: "'websocket.accept', 'websocket.close' or "
                "'websocket.http.response.start'",
                DENYING: "'websocket.http.response.body'",
                OPEN: "'websocket.send' or 'websocket.close'",
            }[state]
            raise ApplicationError(f"unexpected ASGI message {kind!r}, expected {expected}")

    def _accept(self, message: Message) -> None:
        self._state = OPEN  # before: frames may have come with the handshake
        try:
            self.response_head = self._owner.accept(
                message.get("subprotocol"), message.get("headers") or ()
            )
        except BaseException:
            self._state = CONNECTING
            raise
        self.status = 101
        self._tell_accepted()

    def _tell_accepted(self) -> None:
        """Say what Uvicorn says at once; the access line comes when the WebSocket has ended."""
        client = self.scope.get("client")
        name = "" if client is None or client[1] is None else f"{client[0]}:{client[1]}"
        log = self._owner.state.log
        log.info('%s - "WebSocket %s" [accepted]', name, show_target(self.target))


def _content(payload: object) -> bytes:
    if isinstance(payload, bytes | bytearray | memoryview):
        return bytes(payload)
    raise ApplicationError(f"the bytes of a message are bytes, not {type(payload).__name__}")
