"""Accept connections from listening sockets that somebody else may share.

The server accepts itself instead of leaving it to the event loop: only so it can stop at a limit
without refusing anybody, take what is in the queue before it goes, and leave the descriptors and
the backlog of inherited sockets as they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from uvicorn_worker.flow import address_of
from uvicorn_worker.sockets.accepting import accept
from uvicorn_worker.sockets.doorstep import Doorstep, first_bytes
from uvicorn_worker.tls.failures import explain

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from uvicorn_worker.asgi import Address
    from uvicorn_worker.flow import Flow
    from uvicorn_worker.http1.state import HTTPState
    from uvicorn_worker.sockets.balance import Balance
    from uvicorn_worker.sockets.lanes import Lanes
    from uvicorn_worker.tls.renewal import TLSContexts

    Opening: TypeAlias = Coroutine[Any, Any, tuple[asyncio.Transport, asyncio.Protocol]]
    Opened: TypeAlias = asyncio.Task[tuple[asyncio.Transport, asyncio.Protocol]]

T = TypeVar("T")

# The connection in front of the queue failed before it was accepted (accept(2) on Linux passes
# errors of the network on): the next one may be right.
FAILED: Final = frozenset({
    errno.ECONNABORTED, errno.EPROTO, errno.ENETDOWN, errno.EHOSTDOWN, errno.EHOSTUNREACH,
    errno.ENETUNREACH, errno.ENOPROTOOPT, errno.EOPNOTSUPP, errno.EINTR,
})  # fmt: skip

# Anything else, such as no descriptors or memory left: the connection stays in the queue, trying
# again at once would only burn the processor.
RETRY_DELAY: Final = 0.5  # seconds

# Time for handshakes when the server goes, in seconds: no more than a silent connection gets.
DRAIN_HANDSHAKE_TIMEOUT: Final = 1.4

# A server at its limit of connections comes back to it with every one that closes.
WARNING_INTERVAL: Final = 10.0  # seconds

# One connection per turn of the loop and listener: siblings that share the queue get theirs, and
# open connections are not kept waiting by a burst of new ones.
ACCEPTS_PER_TURN: Final = 1


class Acceptor:
    """Accepts on `sockets` and gives every connection a protocol of `factory`.

    The factory takes the state, the connection's socket and the addresses of its two ends, the
    peer's first.
    Owns the sockets from `start` on and closes them in `close`; each descriptor exactly once.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        state: HTTPState,
        factory: Callable[[HTTPState, socket.socket, Address, Address], Flow],
        tls: TLSContexts | None,
        balance: Balance | None = None,
        lanes: Lanes | None = None,
    ) -> None:
        self._sockets = list(sockets)
        self._state = state
        self._factory = factory
        self._tls = tls
        self._balance = balance  # None: nobody shares the queues
        self._lanes = lanes  # None: all sockets are watched
        self._limit = state.config.limit_connections
        # Those that have no protocol yet, and who is at their other end.
        self._opening: dict[Opened, tuple[socket.socket, Address]] = {}
        # Connections that have a protocol, and are about to get a transport of the loop.
        self._moving: set[asyncio.Task[None]] = set()
        # Each listener's family, and the own address of all its connections if they have the same.
        self._listening: dict[socket.socket, tuple[int, Address]] = {}
        # uvloop sees to the options of a socket that it is given.
        self._prepares = not type(state.loop).__module__.startswith("uvloop")
        self._watching: list[socket.socket] = []
        self._retry: asyncio.TimerHandle | None = None
        self._warn_at = 0.0

    @property
    def open(self) -> bool:
        return bool(self._sockets)

    @property
    def opening(self) -> int:
        """Connections that are accepted but have no protocol yet."""
        return len(self._opening)

    def start(self) -> None:
        for sock in self._sockets:
            sock.setblocking(False)
            self._listening[sock] = int(sock.family), _fixed_name(sock)
        self._watch()

    def show_load(self) -> None:
        """Tell those who share the queues what there is to do here."""
        if self._balance is not None:
            self._balance.changed(self._load())

    def look_around(self) -> None:
        """Watch the queues that nobody else does."""
        if self._lanes is not None and self._watching:
            watched = self._lanes.watched()
            if watched != self._watching:
                self._unwatch()
                self._watch(watched)

    def close(self, *, empty: bool = True) -> None:
        """Close our copies of the sockets; unless told otherwise take what is in the queues first.

        The last copy that closes takes the queue with it: clients in it would be reset.
        """
        self._unwatch()
        sockets, self._sockets = self._sockets, []
        for sock in sockets:
            more = empty
            while more:
                try:
                    self._accept(sock)
                except OSError as exc:  # noqa: PERF203 - each accept can fail in its own way
                    more = exc.errno in FAILED
            sock.close()

    def hurry(self, timeout: float = DRAIN_HANDSHAKE_TIMEOUT) -> None:
        """Give handshakes that are under way `timeout` more seconds."""
        if self._opening:
            self._state.loop.call_later(timeout, self._give_up)

    def _give_up(self) -> None:
        """Cancel handshakes; who has its protocol by now is a connection like any other.

        uvloop would close its transport and never tell the protocol.
        """
        made = {connection.sock for connection in self._state.connections}
        for task, (sock, _) in self._opening.items():
            if sock not in made:
                task.cancel()

    def _opened(self, task: Opened) -> None:
        """A connection has its protocol now, or its handshake has failed."""
        sock, peer = self._opening.pop(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            self._handshake_failed(peer, exc)
            sock.close()
        self.connection_lost()

    async def settle(self) -> None:
        """Return when every connection that has a protocol has its transport, too."""
        if self._moving:
            await asyncio.wait(self._moving)

    def connection_lost(self) -> None:
        """There is less to do, and may be room below the limit again."""
        if self._balance is not None:
            self.show_load()
        if not self._watching and self._retry is None and self._sockets and not self._full():
            self._watch()

    def _full(self) -> bool:
        if not self._limit:
            return False
        return len(self._state.connections) + len(self._opening) >= self._limit

    def _load(self) -> int:
        state = self._state
        return len(state.connections) + len(self._opening) + len(state.cycles)

    def _leave_to_others(self) -> bool:
        """Return whether to accept nothing now: watching goes on after a moment."""
        if self._balance is None or self._state.draining:
            return False
        pause = self._balance.pause(self._load())
        if not pause:
            return False
        self._unwatch()
        self._retry = self._state.loop.call_later(pause, self._watch)
        return True

    def _watch(self, watched: list[socket.socket] | None = None) -> None:
        self._retry = None
        if not self._watching:
            if watched is None:
                watched = self._sockets if self._lanes is None else self._lanes.watched()
            self._watching = watched
            for sock in watched:
                self._state.loop.add_reader(sock.fileno(), self._ready, sock)

    def _unwatch(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        watched, self._watching = self._watching, []
        for sock in watched:
            self._state.loop.remove_reader(sock.fileno())

    def _ready(self, sock: socket.socket) -> None:
        if self._leave_to_others():
            return
        for _ in range(ACCEPTS_PER_TURN):
            if self._full():
                self._unwatch()
                self._warn()
                return
            try:
                self._accept(sock)
            except BlockingIOError:
                return  # a sibling was faster
            except OSError as exc:
                if exc.errno not in FAILED:
                    self._accept_failed(exc)
                return

    def _warn(self) -> None:
        """Say that the limit is reached, once in a while."""
        now = self._state.loop.time()
        if now < self._warn_at:
            return
        self._warn_at = now + WARNING_INTERVAL
        self._state.log.warning(
            "%d connections are open, the limit: new ones wait until one closes", self._limit
        )

    def _accept_failed(self, exc: OSError) -> None:
        self._state.log.error(
            "Cannot accept a connection: %s; trying again in %g s", exc, RETRY_DELAY
        )
        self._unwatch()
        self._retry = self._state.loop.call_later(RETRY_DELAY, self._watch)

    def _accept(self, listener: socket.socket) -> None:
        """Take a connection and give it a transport and a protocol; raises OSError."""
        family, local = self._listening[listener]
        sock, name = accept(listener, family)
        peer = address_of(name)
        local = local or address_of(sock.getsockname())
        if self._tls is None and (data := first_bytes(sock)):
            self._serve(sock, peer, local, data)
            return
        if self._prepares:
            _prepare(sock)
        task = _begin(self._state.loop, self._opening_of(sock, peer, local))
        self._opening[task] = sock, peer
        task.add_done_callback(self._opened)
        if self._balance is not None:
            self._balance.accepted(self._load())

    def _serve(self, sock: socket.socket, peer: Address, local: Address, data: bytes) -> None:
        """Serve a connection that has sent its first bytes already."""
        loop = self._state.loop
        protocol = self._factory(self._state, sock, peer, local)
        doorstep = Doorstep(sock, protocol)
        protocol.connection_made(doorstep)
        if self._balance is not None:
            self._balance.accepted(self._load())
        doorstep.receive(data, loop)
        if doorstep.done:
            doorstep.leave()
            return
        if self._prepares:
            _prepare(sock)
        task = _begin(loop, doorstep.move_in(loop))
        self._moving.add(task)
        task.add_done_callback(self._moved)

    def _moved(self, task: asyncio.Task[None]) -> None:
        self._moving.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            self._state.log.error("Cannot open a connection", exc_info=exc)

    def _opening_of(self, sock: socket.socket, peer: Address, local: Address) -> Opening:
        loop, factory = self._state.loop, partial(self._factory, self._state, sock, peer, local)
        if self._tls is None:
            return loop.connect_accepted_socket(factory, sock)
        timeout = self._state.config.timeout_ssl_handshake
        if self._state.draining:
            timeout = min(timeout, DRAIN_HANDSHAKE_TIMEOUT)
        return loop.connect_accepted_socket(
            factory, sock, ssl=self._tls.context, ssl_handshake_timeout=timeout
        )

    def _handshake_failed(self, peer: Address, exc: BaseException) -> None:
        """Say who failed; `peer` is from accept, as the transport has closed the socket."""
        log = self._state.log
        if isinstance(exc, ssl.SSLError):
            self._state.log_refusal(peer, explain(exc))
        elif isinstance(exc, (OSError, asyncio.TimeoutError)):
            log.debug("Connection from %s ended in its handshake: %s", peer, exc)
        else:
            log.error("Cannot open the connection from %s", peer, exc_info=exc)


if sys.version_info >= (3, 12):

    def _begin(loop: asyncio.AbstractEventLoop, opening: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `opening` until it has to wait: that saves a turn of the loop."""
        return asyncio.Task(opening, loop=loop, eager_start=True)

else:

    def _begin(loop: asyncio.AbstractEventLoop, opening: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `opening` in the loop's next turn."""
        return loop.create_task(opening)


def _prepare(sock: socket.socket) -> None:
    """Set what asyncio does only for sockets that it has made itself."""
    sock.setblocking(False)
    if sock.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _fixed_name(listener: socket.socket) -> Address:
    """Return a listener's address; None where its connections may each have another one."""
    name = address_of(listener.getsockname())
    return None if name is None or name[0] in ("0.0.0.0", "::") else name
