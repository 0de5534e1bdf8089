"""How an HTTP/1 connection ends, and by when.

Whoever ends it too early destroys an answer that the peer has not read yet, or a request that is on
its way; whoever waits for a silent peer waits for ever.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from uvicorn_worker.errors import BadRequest
from uvicorn_worker.flow import JUST_IDLE, LINGER_TIMEOUT, NEVER, Flow, unacknowledged
from uvicorn_worker.http1.head import refusal

if TYPE_CHECKING:
    import socket

    from uvicorn_worker.asgi import Address
    from uvicorn_worker.http1.body import BodyReader
    from uvicorn_worker.http1.cycle import RequestCycle
    from uvicorn_worker.http1.partial import PartialHead
    from uvicorn_worker.http1.state import HTTPState

# LINGER_TIMEOUT of a server that stops: it must not wait long for the silent.
DRAIN_LINGER_TIMEOUT: Final = 0.5

# A peer that takes no byte of its answer for this long is gone, in seconds.
STALL_TIMEOUT: Final = 60.0

# Time that a draining server gives a connection on which no request has begun, in seconds: with
# the sweep and the lingering close less than 2, which is what the contract allows.
FRESH_DRAIN_TIMEOUT: Final = 1.4

# Time in which a request that has crossed our end of an idle connection arrives, in seconds: a
# round trip to the farthest proxy.
PARTING_TIMEOUT: Final = 0.5


class Phase(enum.IntEnum):
    """PREFACE: a PROXY header is due. IDLE: no request, or the beginning of a head. BODY: the
    request's body is arriving. ANSWER: the request is read, its response is not complete.
    LINGER: the last answer is out; input is dropped until the peer closes. PARTING: idle for too
    long, we have ended our direction; input comes too late. CLOSED."""

    PREFACE, IDLE, BODY, ANSWER, LINGER, PARTING, CLOSED = range(7)


PREFACE, IDLE, BODY, ANSWER, LINGER, PARTING, CLOSED = Phase


class Ending(Flow):
    """What a connection's phase says of its end.

    There is no timer per connection. Each has one `deadline`; the server's sweep calls `expired`.
    """

    __slots__ = ("_body", "_buffer", "_cycle", "_partial", "_phase", "_stall_at", "_unsent",
                 "fresh")  # fmt: skip

    def __init__(
        self, state: HTTPState, sock: socket.socket, peer: Address, local: Address
    ) -> None:
        super().__init__(state, sock, peer, local)
        self._phase: Phase = IDLE
        self._buffer = b""  # look-ahead: received, not due yet
        self._partial: PartialHead | None = None
        self._cycle: RequestCycle | None = None
        self._body: BodyReader | None = None  # the request's, while it comes in parts
        self._unsent = 0  # bytes that waited for the peer when they were last looked at; 0: none
        self._stall_at = NEVER  # when the peer is given up unless it takes some of them
        self.fresh = True  # no request has begun

    def _lose_cycle(self) -> None:
        """Tell the application that its client is gone; cancel it later where that is asked."""
        cycle, self._cycle = self._cycle, None
        if cycle is None:
            return
        cycle.lose()
        self._cancel_later(cycle.task)

    def _refuse(self, exc: BadRequest, received: bytes | PartialHead) -> None:
        """Answer a message that never became a request, and close."""
        head = bytes(received)
        self.state.log_refusal(self.peer, exc.reason)
        if self.state.observer is not None:
            try:
                self.state.observer.refused(self.peer, head, exc.status)
            except Exception:  # the peer gets its answer all the same
                self.state.log.exception("Exception in the observer of requests")
        self.transport.write(
            refusal(exc.status, self.state.common_lines, head_only=head.startswith(b"HEAD "))
        )
        self._linger()

    def _refuse_body(self, exc: BadRequest) -> None:
        """Answer a request whose body is wrong, unless its response has begun, and close."""
        self.state.log_refusal(self.peer, exc.reason)
        cycle = self._cycle
        if cycle is None:
            self._linger()
        elif cycle.responding:
            cycle.cut()
        else:
            cycle.refuse(exc.status)
            head_only = cycle.scope["method"] == "HEAD"
            self._lose_cycle()
            self.transport.write(refusal(exc.status, self.state.common_lines, head_only=head_only))
            self._linger()

    def _linger(self) -> None:
        """Close so that the peer can read what was sent (RFC 9112 section 9.6).

        Closing at once with input unread, or with input on its way, makes the kernel send a
        reset, which destroys answers that the peer has not read yet. The peer's time begins when
        it has got all of the answer.
        """
        if self._phase is CLOSED:
            return
        # TLS cannot end one direction only, and the end may be what ends the content.
        no_input_due = self.state.tls and self._phase is ANSWER and not self._buffer
        self._buffer = b""
        self._partial = None
        self._body = None
        if self.half_closed or no_input_due:
            self._close()
            return
        self._phase = LINGER
        self._unsent = 0
        self._arm(self._patience())
        self._resume_reading()
        self._end_output()

    def _part(self) -> None:
        """Close an idle connection; stay for a moment, where the peer could think otherwise.

        A request that has crossed our end cannot be answered. But it tells that the peer keeps
        connections longer than we do, and the kernel's reset would hide it from us.
        """
        state = self.state
        if self.fresh or self.half_closed or state.tls or state.draining:
            self._close()
            return
        self._phase = PARTING
        self._arm(PARTING_TIMEOUT)
        self._end_output()

    def _patience(self) -> float:
        """Return for how many seconds a peer may be silent once it has all that was sent."""
        return DRAIN_LINGER_TIMEOUT if self.state.draining else LINGER_TIMEOUT

    def _close(self) -> None:
        """Close as soon as everything is sent, which is watched: the peer may take nothing."""
        self._phase = CLOSED
        self._unsent = 0
        self._arm(self._patience())
        self.transport.close()

    def abort(self) -> None:
        """Cut the connection now."""
        self._lose_cycle()
        self._phase = CLOSED
        self.transport.abort()

    def start_draining(self, idle_timeout: float) -> None:
        """Close when nothing is in flight: idle connections after `idle_timeout` seconds."""
        if self._phase is IDLE or self._phase is PREFACE:
            silent = self.fresh or self._partial
            timeout = min(idle_timeout, FRESH_DRAIN_TIMEOUT) if silent else idle_timeout
            before = NEVER if self.deadline == JUST_IDLE else self.deadline
            self.deadline = min(before, self.state.time() + timeout)
        elif self._phase is PARTING:
            self._close()

    def shed(self, window: float) -> bool:
        """Do nothing: `start_draining` has said it all; see `WebSocketConnection.shed`."""
        return False

    # -- time

    def pause_writing(self) -> None:
        self.write_paused = True
        self._unsent = self._output()
        self._stall_at = self.state.time() + STALL_TIMEOUT
        if self._phase is ANSWER or self.deadline == NEVER:  # else the peer has something to send
            self.deadline = self._stall_at

    def _arm(self, timeout: float) -> None:
        """Let `expired` be called in `timeout` seconds; 0 is no limit."""
        self.deadline = self.state.time() + timeout if timeout else NEVER

    def _disarm(self) -> None:
        """Set no limit while the application has to act; the peer has one where it has to read."""
        self.deadline = self.state.time() + STALL_TIMEOUT if self.write_paused else NEVER

    def expired(self, now: float) -> None:
        """The deadline has passed: end what took too long."""
        phase = self._phase
        self.deadline = NEVER
        if phase is IDLE and self._partial:
            self._refuse(BadRequest("request head took too long", 408), self._partial)
        elif phase is IDLE or phase is PREFACE:
            self._idle_too_long(now)
        elif phase is PARTING:
            self._close()
        elif phase is BODY and not self.write_paused:
            self._refuse_body(BadRequest("request body took too long", 408))
        elif phase is LINGER or phase is CLOSED:
            if not self._sending(now, self._patience()):
                if self.state.tls and phase is LINGER:
                    self._close()
                else:
                    self.abort()
        elif self.write_paused:
            self._sending(now, STALL_TIMEOUT)

    def _idle_too_long(self, now: float) -> None:
        if self._input_waits():
            self.deadline = now + LINGER_TIMEOUT
        elif not self._sending(now, self.state.keep_alive or LINGER_TIMEOUT):
            self._part()

    def _sending(self, now: float, interval: float) -> bool:
        """Return whether output was on its way since the last look; look again in `interval`.

        A peer that has taken nothing of it for a whole STALL_TIMEOUT is cut.
        """
        before, self._unsent = self._unsent, self._output()
        if not self._unsent and not before:
            return False
        if self._unsent != before:
            self._stall_at = now + STALL_TIMEOUT
        elif now >= self._stall_at:
            self.abort()
            return True
        self.deadline = now + interval
        return True

    def _output(self) -> int:
        """Return how many bytes wait for the peer, 0 when the kernel takes care of the rest."""
        unsent = self.transport.get_write_buffer_size()
        # asyncio's TLS transports do not tell what the transport below them holds, but where that
        # holds something the kernel does. Beside that, the kernel's buffer is large: without it a
        # slow peer would seem to take nothing for minutes.
        if unsent or self.write_paused or self.state.tls:
            return unsent + unacknowledged(self.sock)
        return 0
