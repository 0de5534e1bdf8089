"""The receiving half of a request's cycle: its body, and word that the client has left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn_worker.http1.channel import BODY, DONE, LOST

if TYPE_CHECKING:
    import asyncio

    from uvicorn_worker.asgi import Message
    from uvicorn_worker.http1.channel import CycleOwner, ResponseState


class Receiver:
    """ASGI `receive`; several tasks of the application may wait in it.

    Attributes: `awaits_continue` (the client may hold its body back until it gets a 100).
    """

    __slots__ = ("_body", "_body_ended", "_more_body", "_owner", "_state", "_waiters",
                 "awaits_continue")  # fmt: skip

    # Set where the cycle is made, in one go: a call would cost every request.
    _owner: CycleOwner
    _state: ResponseState
    _body: bytes | bytearray
    _body_ended: bool
    _more_body: bool  # the application has not had the last part
    _waiters: list[asyncio.Future[None]] | None
    awaits_continue: bool

    # -- what the connection tells

    @property
    def buffered(self) -> int:
        """Bytes of the request's body that the application has not taken."""
        return len(self._body)

    def peer_half_closed(self) -> None:
        """The peer sends no more; an application that waits for that is told."""
        if self._waiters and not self._more_body:
            self._owner.leave()

    def body_received(self, data: bytes, *, ended: bool) -> None:
        """Take a part of the request's body; `ended` with the last one."""
        if not self._body:
            self._body = data  # the common case: one part, no copy
        else:
            if type(self._body) is not bytearray:
                self._body = bytearray(self._body)
            self._body += data
        self._body_ended = ended
        self.awaits_continue = False
        if self._waiters:
            self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    # -- the application's side

    async def receive(self) -> Message:
        """Return the next part of the request's body, then `http.disconnect` once it is over."""
        while True:
            if self._state is DONE or self._state is LOST:
                return {"type": "http.disconnect"}
            if self._more_body:
                if self._body or self._body_ended:
                    return self._take_body()
                if self.awaits_continue and self._state < BODY:
                    self.awaits_continue = False
                    self._owner.send_continue()
            elif self._owner.half_closed:
                # A peer that sent FIN may still read, or may be gone: TCP does not tell. Whoever
                # asks learns that it left; whoever does not ask can still answer.
                self._owner.leave()
                continue
            await self._wait()

    def _take_body(self) -> Message:
        body, self._body = self._body, b""
        self._more_body = more_body = not self._body_ended
        if more_body:
            self._owner.body_consumed()
        return {
            "type": "http.request",
            "body": body if type(body) is bytes else bytes(body),
            "more_body": more_body,
        }

    async def _wait(self) -> None:
        """Return when `receive` may have something new; several tasks may wait."""
        waiter = self._owner.state.loop.create_future()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if self._waiters and waiter in self._waiters:  # cancelled
                self._waiters.remove(waiter)
