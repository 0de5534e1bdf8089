"""How a WebSocket ends, and by when: close frames, pings, and peers that do not answer."""

from __future__ import annotations

import enum
import random
import socket
from typing import TYPE_CHECKING, Final

from uvicorn_worker.errors import ProtocolViolation
from uvicorn_worker.flow import LINGER_TIMEOUT, NEVER, Flow, unacknowledged
from uvicorn_worker.websocket.frames import INTERNAL_ERROR, PING, close_frame, control_frame

if TYPE_CHECKING:
    from uvicorn_worker.asgi import Address
    from uvicorn_worker.http1.state import HTTPState
    from uvicorn_worker.websocket.cycle import WebSocketCycle
    from uvicorn_worker.websocket.denial import Denial
    from uvicorn_worker.websocket.reader import MessageReader

# Time for the peer to answer a close frame, in seconds; it may have to read a lot before it.
CLOSE_TIMEOUT: Final = 10.0

# Bytes: a peer that may have more than this to read first may be silent as long as it takes some of
# it. With less it has no excuse, though its kernel takes what is sent while it hangs.
BACKLOG: Final = 64 * 1024

# Closes of a server that goes: so many a second, that their clients do not all come back at once.
CLOSES_PER_SECOND: Final = 500
AT_ONCE: Final = 0.125  # seconds that are no delay: the server looks at deadlines as often


class Phase(enum.IntEnum):
    """HANDSHAKE: the application has not answered. DENIAL: an HTTP response is under way.
    OPEN. CLOSING: our close frame is out, the peer's is awaited. LINGER: nothing more is to be
    sent; input is dropped until the peer closes. CLOSED."""

    HANDSHAKE, DENIAL, OPEN, CLOSING, LINGER, CLOSED = range(6)


HANDSHAKE, DENIAL, OPEN, CLOSING, LINGER, CLOSED = Phase


class Ending(Flow):
    """What a WebSocket's phase says of its end.

    As on HTTP connections, there is no timer; the server's sweep calls `expired`.
    """

    __slots__ = ("_close_at", "_cycle", "_denial", "_early", "_gone", "_heard", "_marked", "_phase",
                 "_ping_at", "_pinged", "_pongs", "_reader", "input_held")  # fmt: skip

    def __init__(
        self, state: HTTPState, sock: socket.socket, peer: Address, local: Address
    ) -> None:
        super().__init__(state, sock, peer, local)
        self._phase: Phase = HANDSHAKE
        self._early = b""
        self._cycle: WebSocketCycle | None = None
        self._denial: Denial | None = None
        self._reader: MessageReader | None = None
        self._pongs: bytearray | None = None  # the answers that are due
        self._heard = False  # bytes have come since the last ping
        self._pinged = False  # a ping has not been answered
        self._ping_at = NEVER
        self._marked = 0  # bytes sent up to the last mark
        self._gone = NEVER  # those that the peer's kernel had taken then, where they count
        self._close_at = NEVER
        self.input_held = False

    def input_wanted(self) -> None:
        self.input_held = False
        if self._reader is None:
            return
        try:
            if self._reader.resume():
                self._resume_reading()
            else:
                self.input_held = True
            self._send_pongs()
        except ProtocolViolation as exc:
            self._violated(exc)

    def _violated(self, exc: ProtocolViolation) -> None:
        """Read no more; close when the application had its turn with the messages before."""
        self._reader = None
        self.state.loop.call_soon(self.fail, exc.code, exc.reason)

    def _send_pongs(self) -> None:
        """Answer all the pings of one read at once, as soon as the transport takes more."""
        if self._pongs is not None and not self.write_paused:
            pongs, self._pongs = self._pongs, None
            if self._phase is OPEN:
                self.transport.write(bytes(pongs))

    def close(self, frame: bytes) -> None:
        self.transport.write(frame)
        self._phase = CLOSING
        self._set_deadline(CLOSE_TIMEOUT)
        self._go_on_reading()

    def close_received(self, code: int, reason: str) -> None:
        self._send_pongs()
        if self._phase is OPEN:
            self.transport.write(close_frame(code))
            assert self._cycle is not None
            self._cycle.ended(code, reason)
        self._reader = None
        self._phase = CLOSED
        self._set_deadline(CLOSE_TIMEOUT)  # to flush what is written
        self.transport.close()

    def fail(self, code: int, reason: str) -> None:
        """Close because the peer cannot be understood, or does not answer."""
        self._reader = None
        self._send_pongs()
        if self._phase is OPEN:
            assert self._cycle is not None
            path = self._cycle.scope["path"]
            self.state.log.debug("WebSocket %s: failed: %d %s", path, code, reason)
            self.transport.write(close_frame(code, reason))
            self._cycle.ended(code, reason)
        self._linger()

    def _go_on_reading(self) -> None:
        """Read on for the peer's close frame; messages are dropped from now on."""
        if self.input_held:
            self.input_wanted()
        self._resume_reading()

    def _linger(self) -> None:
        """Close so that the peer can read what was sent (see http1.ending)."""
        self._reader = None
        self._early = b""
        if self._phase is CLOSED or self.half_closed:
            self.transport.close()
            return
        self._phase = LINGER
        self._set_deadline(LINGER_TIMEOUT)
        self._resume_reading()
        self._end_output()

    def abort(self) -> None:
        """Cut the connection now; what is written still goes out if the kernel has room for it."""
        if self._phase is OPEN:
            self._close_for_restart()
        self._phase = CLOSED
        self._reader = None
        if self.write_paused:
            self.transport.abort()
            return
        if not self.state.tls:
            self._drop_input()
        self.transport.close()

    def _drop_input(self) -> None:
        """Take what the kernel holds: closing with input unread would send a reset."""
        try:
            while self.sock.recv(65536, socket.MSG_DONTWAIT):
                pass
        except OSError:  # nothing there, or nobody
            pass

    # -- a server that goes

    def start_draining(self, idle_timeout: float) -> None:
        """Nothing: WebSockets go on until somebody else accepts their clients; see `shed`."""

    def shed(self, window: float) -> bool:
        """Close within `window` seconds, not at the same instant as all others.

        Returns whether a close frame is out that the client has not answered yet.
        """
        if self._phase is OPEN and (self._close_at == NEVER or not window):
            spread = min(window, len(self.state.connections) / CLOSES_PER_SECOND)
            delay = random.random() * spread
            if delay < AT_ONCE:
                self._close_for_restart()
            else:
                self._close_at = self.state.time() + delay
                self.deadline = min(self.deadline, self._close_at)
        return self._phase is CLOSING

    def _close_for_restart(self) -> None:
        assert self._cycle is not None
        self._cycle.close(self.state.close_code)

    # -- time

    def pause_writing(self) -> None:
        self.write_paused = True
        if self._phase is DENIAL:
            self._set_deadline(CLOSE_TIMEOUT)
        if self._cycle is not None:
            self._cycle.blocked = True

    def _set_deadline(self, timeout: float) -> None:
        self._close_at = self._ping_at = NEVER
        self._mark()
        self.deadline = self.state.time() + timeout

    def expired(self, now: float) -> None:
        """The deadline has passed."""
        phase = self._phase
        self.deadline = NEVER
        if phase is OPEN:
            if now >= self._close_at:
                self._close_for_restart()
                return
            if now >= self._ping_at:
                self._look_after_peer(now)
            if self._phase is OPEN:
                self.deadline = min(self._ping_at, self._close_at)
        elif phase is not HANDSHAKE and self._moved():  # it is reading what was sent before
            self._set_deadline(LINGER_TIMEOUT if phase is LINGER else CLOSE_TIMEOUT)
        elif phase is CLOSING:
            self._linger()
        elif phase is not HANDSHAKE:
            self._phase = CLOSED
            self.transport.abort()

    def _look_after_peer(self, now: float) -> None:
        """Send a ping, or see whether anything has come since the last one."""
        config = self.state.config
        interval, timeout = config.ws_ping_interval, config.ws_ping_timeout or None
        assert interval is not None
        if self._pinged:
            self._pinged = False
            if not (self._heard or self._moved() or self._input_waits()):
                self.fail(INTERNAL_ERROR, "keepalive ping timeout")
                return
            assert timeout is not None
            if interval > timeout:
                self._ping_at += interval - timeout
                return
        self._heard = False
        self._mark()
        self.transport.write(control_frame(PING))
        self._pinged = timeout is not None
        self._ping_at = now + (interval if timeout is None else timeout)

    def _mark(self) -> None:
        """Note what the peer's kernel has taken so far, if the peer may be busy reading it."""
        sent, waiting = self._sent(), self._waiting()
        busy = waiting + sent - self._marked > BACKLOG
        self._gone = sent - waiting if busy else NEVER
        self._marked = sent

    def _moved(self) -> bool:
        """Return whether a busy peer has taken something since the last mark."""
        return self._sent() - self._waiting() > self._gone

    def _sent(self) -> int:
        exchange = self._denial.response if self._denial is not None else self._cycle
        return exchange.sent if exchange is not None else 0

    def _waiting(self) -> int:
        """Return how many bytes the peer's kernel has not got yet."""
        return self.transport.get_write_buffer_size() + unacknowledged(self.sock)
