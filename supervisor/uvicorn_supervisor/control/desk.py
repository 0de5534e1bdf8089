"""Answers questions in the supervisor's own loop: listeners, connections, deadlines; no threads.

Nothing here ever waits. The loop asks for what to wait for (`readers`, `writers`, `deadline`) and
calls `turn`. What is answered is said by routes, see `reception`. A route that cannot answer yet
returns a `Deferred`, which whoever knows the answer settles.

Each counter has room for a number of connections of its own: who holds those to the metrics open
does not keep anybody from the control socket. When it is full, the oldest that has not said what
it wants has to go.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from uvicorn_supervisor.control.deskhttp import Refused, RequestReader, encode, refusal
from uvicorn_supervisor.decisions.limits import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from uvicorn_supervisor.control.deskhttp import Answer, Request

MOST_CONNECTIONS: Final = 32  # of a counter
TO_ASK: Final = 10.0  # seconds for a request to come
TO_READ: Final = 10.0  # seconds for an answer to be taken
TO_CLOSE: Final = 1.0  # seconds for the other end to close; what it still sends is thrown away
NO_DESCRIPTORS: Final = 1.0  # seconds until another try, when nobody can be accepted

CHUNK: Final = 65536  # bytes read at once
MOST_RECEIVED: Final = 1024**2  # bytes of one connection, what is thrown away among them

log: Final = logging.getLogger("uvicorn.supervisor")


class Deferred:
    """An answer that comes later."""

    def __init__(self) -> None:
        self.gone = False  # whoever has asked does not wait any more
        self._answer: Answer | None = None
        self._take: Callable[[Answer], None] | None = None

    @property
    def open(self) -> bool:
        """Whether somebody waits for it."""
        return self._answer is None and not self.gone

    def settle(self, answer: Answer) -> None:
        """Give the answer; the first one counts."""
        if self._answer is None:
            self._answer = answer
            if self._take is not None and not self.gone:
                self._take(answer)

    def then(self, take: Callable[[Answer], None]) -> None:
        """Call `take` with the answer, now or when it is there."""
        self._take = take
        if self._answer is not None:
            take(self._answer)


Route: TypeAlias = "Callable[[Request], Answer | Deferred]"
Routes: TypeAlias = "Mapping[tuple[str, str], Route]"  # by method and path; GET answers HEAD too


@dataclass
class Counter:
    """Listening sockets, and what is answered there. The sockets are their maker's to close.

    `admit` returns why a connection is refused, None where it is not.
    """

    sockets: Sequence[socket.socket]
    routes: Routes
    admit: Callable[[socket.socket], str | None] | None = None
    connections: list[Connection] = field(default_factory=list)
    resumes: float = 0.0  # accepts nobody before this instant

    def answer(self, request: Request) -> Answer | Deferred:
        """Return what a request is answered; never raises."""
        method = "GET" if request.method == "HEAD" else request.method
        route = self.routes.get((method, request.path))
        if route is None:
            return self._no_route(request.path)
        try:
            return route(request)
        except Exception:
            log.exception("%s %s has failed", request.method, request.path)
            return refusal(500, "this has failed; the log says why")

    def _no_route(self, path: str) -> Answer:
        allowed = [method for method, known in self.routes if known == path]
        if not allowed:
            return refusal(404, "there is nothing here")
        answer = refusal(405, f"expected {' or '.join(allowed)}")
        return answer._replace(headers=(("Allow", ", ".join(allowed)),))

    def has_room(self) -> bool:
        """Return whether one more may come, or somebody who has asked nothing can make room."""
        return len(self.connections) < MOST_CONNECTIONS or any(
            one.state is ASKING for one in self.connections
        )

    def make_room(self) -> None:
        if len(self.connections) >= MOST_CONNECTIONS:
            oldest = next(one for one in self.connections if one.state is ASKING)
            oldest.close()
            self.connections.remove(oldest)


class ConnectionState(enum.Enum):
    """Where a connection is in its life."""

    ASKING = enum.auto()  # the request is not complete
    WAITING = enum.auto()  # for an answer that comes later
    ANSWERING = enum.auto()
    CLOSING = enum.auto()  # everything was sent; the other end has not closed yet
    CLOSED = enum.auto()


ASKING, WAITING, ANSWERING, CLOSING, CLOSED = ConnectionState


class Connection:
    """One question and its answer."""

    def __init__(self, sock: socket.socket, counter: Counter, now: Callable[[], float]) -> None:
        self.sock = sock
        self.state = ASKING
        self.deadline = now() + TO_ASK
        self._counter = counter
        self._now = now
        self._reader = RequestReader()
        self._head_only = False
        self._deferred: Deferred | None = None
        self._received_bytes = 0
        self._left = b""  # to be sent
        sock.setblocking(False)
        why = counter.admit and counter.admit(sock)
        if why is not None:
            self._reply(refusal(403, why))

    def turn(self) -> None:
        """Read and write as far as that goes; never raises."""
        if self.state is ANSWERING:
            self._send()
        elif self.state is not CLOSED:
            # Once: somebody who sends without end does not keep the loop.
            try:
                self._received(self.sock.recv(CHUNK))
            except (BlockingIOError, InterruptedError):
                pass
            except OSError:
                self.close()
        if self._now() >= self.deadline:
            self.close()

    def close(self) -> None:
        """Close it, whatever it is about."""
        self.state, self.deadline = CLOSED, NEVER
        if self._deferred is not None:
            self._deferred.gone = True
        self.sock.close()

    def _received(self, data: bytes) -> None:
        self._received_bytes += len(data)
        if not data or self._received_bytes > MOST_RECEIVED:
            self.close()
        elif self.state is ASKING:
            try:
                request = self._reader.feed(data)
            except Refused as exc:
                self._reply(exc.answer)
                return
            if request is not None:
                self._ask(request)

    def _ask(self, request: Request) -> None:
        self.state, self.deadline = WAITING, NEVER
        self._head_only = request.method == "HEAD"
        answer = self._counter.answer(request)
        if isinstance(answer, Deferred):
            self._deferred = answer
            answer.then(self._reply)
        else:
            self._reply(answer)

    def _reply(self, answer: Answer) -> None:
        self.state, self.deadline = ANSWERING, self._now() + TO_READ
        self._left = encode(answer, head_only=self._head_only)
        self._send()

    def _send(self) -> None:
        try:
            while self._left:
                self._left = self._left[self.sock.send(self._left) :]
            # Closed at once, what it has sent and nobody has read would make the kernel throw the
            # answer away.
            self.sock.shutdown(socket.SHUT_WR)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()
            return
        self.state, self.deadline = CLOSING, self._now() + TO_CLOSE


class Desk:
    """All counters of a supervisor; `now` returns monotonic seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._counters: list[Counter] = []

    def open(self, counter: Counter) -> None:
        """Accept on a counter's sockets from now on."""
        for sock in counter.sockets:
            sock.setblocking(False)
        self._counters.append(counter)

    # -- what to wait for

    @property
    def readers(self) -> list[socket.socket]:
        now = self._now()
        found: list[socket.socket] = []
        for counter in self._counters:
            if counter.has_room() and now >= counter.resumes:
                found += counter.sockets
            found += [one.sock for one in counter.connections if one.state is not ANSWERING]
        return found

    @property
    def writers(self) -> list[socket.socket]:
        return [one.sock for one in self._connections() if one.state is ANSWERING]

    @property
    def deadline(self) -> float:
        """When time alone changes something; infinity: it does not."""
        now = self._now()
        pauses = (one.resumes for one in self._counters if one.resumes > now)
        return min((*(one.deadline for one in self._connections()), *pauses), default=NEVER)

    @property
    def descriptors(self) -> list[int]:
        """What forked processes have to close."""
        sockets = [sock for counter in self._counters for sock in counter.sockets]
        sockets += [one.sock for one in self._connections()]
        return [sock.fileno() for sock in sockets if sock.fileno() >= 0]

    # -- what happens

    def turn(self) -> None:
        """Accept, read, answer, as far as that goes without waiting."""
        for counter in self._counters:
            for one in tuple(counter.connections):
                one.turn()
            self._accept(counter)
            counter.connections = [one for one in counter.connections if one.state is not CLOSED]

    def leave(self) -> None:
        """Accept nobody any more; who has been accepted is answered."""
        for counter in self._counters:
            counter.sockets = ()

    def close(self) -> None:
        """Close all connections; what was answered has been sent as far as there was room."""
        self.leave()
        for one in self._connections():
            one.close()
        self._counters.clear()

    def _connections(self) -> Iterable[Connection]:
        return [one for counter in self._counters for one in counter.connections]

    def _accept(self, counter: Counter) -> None:
        if self._now() < counter.resumes:
            return
        for sock in counter.sockets:
            with contextlib.suppress(BlockingIOError, InterruptedError, ConnectionAbortedError):
                while counter.has_room():
                    self._welcome(counter, sock)

    def _welcome(self, counter: Counter, listener: socket.socket) -> None:
        """Accept one; raises BlockingIOError where there is none."""
        try:
            sock, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            raise
        except OSError as exc:  # no descriptors are left, mostly
            log.warning("Nobody can be accepted on %s: %s", listener.getsockname(), exc)
            counter.resumes = self._now() + NO_DESCRIPTORS
            raise BlockingIOError from exc
        counter.make_room()
        connection = Connection(sock, counter, self._now)
        counter.connections.append(connection)
        connection.turn()
