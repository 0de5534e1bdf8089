"""An application served on sockets: start, accept, drain, stop.

The service owns the listeners, the sweep over deadlines and the drain. Who tells it to stop, and
what else accepts on its sockets, is its caller's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Final

from uvicorn_worker.application.lifespan import Lifespan
from uvicorn_worker.deadlines import Deadlines
from uvicorn_worker.errors import ConfigError
from uvicorn_worker.http1.connection import HTTPConnection
from uvicorn_worker.http1.reader import RequestReader
from uvicorn_worker.http1.state import HTTPState
from uvicorn_worker.http1.timelimit import TimeLimit
from uvicorn_worker.leader import Leader
from uvicorn_worker.process.heap import keep_loaded, let_go
from uvicorn_worker.proxies.headers import ForwardingPolicy
from uvicorn_worker.sockets.listeners import Acceptor
from uvicorn_worker.upgrades import LateUpgrader

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from uvicorn_worker.asgi import Application
    from uvicorn_worker.diagnostics.blocking import BlockingWatch
    from uvicorn_worker.http1.parser import HeadParser
    from uvicorn_worker.lease import Lease
    from uvicorn_worker.metrics.metering import Metering
    from uvicorn_worker.serverconfig import HttpParserName, ServerConfig
    from uvicorn_worker.sockets.balance import Balance
    from uvicorn_worker.sockets.lanes import Lanes
    from uvicorn_worker.state import Log, RequestObserver
    from uvicorn_worker.tls.renewal import TLSContexts

TICK: Final = 1.0  # seconds between renewals of the Date line
WARM_UP: Final = 2.0  # seconds until what WebSockets need is loaded
SWEEP: Final = 0.125  # seconds between looks at the connections' deadlines: how late one may be
DRAIN_LOOK: Final = 0.05  # seconds between looks at what else accepts, while draining
LAST_CALL: Final = 0.5  # seconds before a drain's deadline in which nothing new is accepted
CLOSES_PER_SECOND: Final = 500  # idle connections of a drain whose clients may all come back
CANCEL_TIMEOUT: Final = 0.5  # seconds for cancelled application calls to return
FAREWELL_TIMEOUT: Final = 0.25  # seconds for clients to answer the close of their WebSocket


class Service:
    """Serves one application on listening sockets.

    `startup`, `start_accepting`, then one of `drain` and `quit`, then `shutdown`. The sockets
    belong to the server from `start_accepting` on.
    """

    def __init__(
        self,
        config: ServerConfig,
        app: Application,
        *,
        sockets: Sequence[socket.socket],
        log: Log,
        loop: asyncio.AbstractEventLoop,
        tls: TLSContexts | None = None,
        observer: RequestObserver | None = None,
        balance: Balance | None = None,
        lanes: Lanes | None = None,
        lease: Lease | None = None,
        room: memoryview | None = None,
        owns_process: bool = False,
    ) -> None:
        """`room` is the worker's own on the scoreboard, None: nothing is counted.

        `owns_process`: nothing else lives here that could mind how its memory is kept.
        """
        forwarding = ForwardingPolicy(config, os.environ, lambda text: log.warning("%s", text))
        self.state = state = HTTPState(
            config,
            _identified(app) if config.request_id else app,
            loop,
            log,
            reader=RequestReader(
                make_parser(config.http), config, _notable(forwarding, metered=room is not None)
            ),
            forwarding=forwarding,
            tls_extension=tls.extension if tls is not None else None,
        )
        state.observer = observer
        self._upgrader = LateUpgrader(state, metered=room is not None)
        state.on_connection_lost = self._connection_lost
        self._deadlines = Deadlines(state)
        self._time_limit = TimeLimit(state)
        self._tls = tls
        self.metering = None if room is None else _make_metering(state, room)
        connection = connection_class(config, metered=room is not None)
        self._acceptor = Acceptor(sockets, state, connection, tls, balance, lanes)
        self._leader = state.lifespan_state["worker.leader"] = Leader(lease)
        self._owns_process = owns_process
        self._lifespan: Lifespan | None = None
        self._blocking: BlockingWatch | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._drain_deadline: float | None = None
        self._progress = asyncio.Event()

    @property
    def accepting(self) -> bool:
        return self._acceptor.open

    async def startup(self) -> None:
        """Start the application; raises LifespanError where it refuses."""
        state = self.state
        self._lifespan = Lifespan(state.app, state.config.lifespan, state.log)
        # Not a copy: what the application adds later is for the requests that come later.
        self._lifespan.state = state.lifespan_state
        self._leader.begin(state.loop)
        await self._lifespan.startup()
        if self._owns_process:
            keep_loaded()

    def start_accepting(self) -> None:
        self._acceptor.start()
        if self.metering is not None:
            self.metering.begin()
        if self.state.config.warn_blocking:
            self._watch_blocking(self.state.config.warn_blocking)
        self._timers = [
            self.state.loop.call_later(0, callback) for callback in (self._tick, self._sweep)
        ]
        if self.state.websocket is not None:  # before the first of them has to wait for it
            self._timers.append(self.state.loop.call_later(WARM_UP, self._upgrader.prepare))

    def _watch_blocking(self, limit: float) -> None:
        from uvicorn_worker.diagnostics.blocking import BlockingWatch

        self._blocking = BlockingWatch(self.state.loop, limit, self.state.log)
        self._blocking.start_watching()

    def _tick(self) -> None:
        self._timers[0] = self.state.loop.call_later(TICK, self._tick)
        self.state.tick()
        if self._tls is not None:
            self._tls.watch()

    def _sweep(self) -> None:
        """Look at what is due, and around."""
        now = self.state.loop.time()
        self._deadlines.look()
        self._time_limit.enforce(now)
        self._acceptor.show_load()
        self._acceptor.look_around()
        if self.metering is not None:
            self.metering.look()
        self._timers[1] = self.state.loop.call_later(SWEEP, self._sweep)

    def _connection_lost(self) -> None:
        self._acceptor.connection_lost()
        self._progress.set()

    async def drain(
        self,
        timeout: float | None,
        *,
        idle_timeout: float,
        keep_accepting: Callable[[], bool],
        hold_websockets: Callable[[], bool] = lambda: False,
        cancel_timeout: float = CANCEL_TIMEOUT,
    ) -> int:
        """Answer what is in flight and what still comes, with `Connection: close`, then end.

        Accepts as long as `keep_accepting` says so, empties the queue then. Idle connections are
        closed after their keep-alive time or `idle_timeout` seconds, whichever is sooner;
        WebSockets within that time once `hold_websockets` does not keep them any more.
        Returns how many connections and calls were cut off after `timeout` seconds (None: wait
        for all); cancelled calls have `cancel_timeout` more seconds to return.
        """
        import random  # not for the start, which takes longer with it

        state, loop = self.state, self.state.loop
        self._leader.resign()
        self.announce_end()
        if timeout is not None:
            self._shorten(timeout)
        # What was promised to be kept open before, and becomes idle later, gets no more either.
        state.keep_alive = min(state.keep_alive, idle_timeout)
        self._acceptor.hurry()
        spread = min(idle_timeout / 2, len(state.connections) / CLOSES_PER_SECOND)
        for connection in tuple(state.connections):
            connection.start_draining(idle_timeout - random.random() * spread)
        held = True
        while self._drain_deadline is None or loop.time() < self._drain_deadline:
            if self._acceptor.open and not keep_accepting():
                self._acceptor.close()
            elif self._acceptor.open and self._drain_left() < LAST_CALL:
                # What is accepted now would be cut: leave the queue to whoever shares it.
                self._acceptor.close(empty=False)
            if held and not hold_websockets():
                held = False
                self._shed(idle_timeout)
            if not self._acceptor.open and state.shed_window is None:
                state.shed_window = idle_timeout  # for those that are opened from now on
                self._shed(idle_timeout)
            if not (self._acceptor.open or self._busy()):
                return 0
            self._progress.clear()
            # look again: calls may have returned, siblings may have become ready
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._progress.wait(), DRAIN_LOOK)
        self._acceptor.close(empty=False)
        return await self._cut(cancel_timeout)

    def announce_end(self) -> None:
        """Let answers say `Connection: close` from now on, and the application see `draining`."""
        self.state.draining = True
        self.state.lifespan_state["draining"] = True

    def _drain_left(self) -> float:
        if self._drain_deadline is None:
            return float("inf")
        return self._drain_deadline - self.state.loop.time()

    def _shed(self, window: float) -> None:
        for connection in tuple(self.state.connections):
            connection.shed(window)

    def hurry(self, timeout: float) -> None:
        """Let a drain that is under way end within `timeout` seconds."""
        self._shorten(timeout)
        self._progress.set()

    def _shorten(self, timeout: float) -> None:
        deadline = self.state.loop.time() + timeout
        if self._drain_deadline is None or deadline < self._drain_deadline:
            self._drain_deadline = deadline

    def _busy(self) -> bool:
        return bool(self.state.connections or self.state.cycles or self._acceptor.opening)

    async def quit(self, timeout: float) -> None:
        """Stop at once: cancel the application's calls, close all connections."""
        self._leader.resign()
        self.announce_end()
        self._acceptor.close(empty=False)
        await self._cut(min(timeout, CANCEL_TIMEOUT))

    async def _cut(self, cancel_timeout: float) -> int:
        """Cancel and abort what is left; return how much that was."""
        state = self.state
        cycles, connections = tuple(state.cycles), tuple(state.connections)
        cut = max(len(cycles), len(connections))
        if cut:
            state.log.warning(
                "Cut off %d connections and %d calls of the application",
                len(connections),
                len(cycles),
            )
        self._acceptor.hurry(0)
        tasks = [cycle.task for cycle in cycles if cycle.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=cancel_timeout)
        await self._say_goodbye(min(FAREWELL_TIMEOUT, cancel_timeout))
        await self._acceptor.settle()
        for connection in tuple(state.connections):  # some may have been opened meanwhile
            connection.abort()
        await asyncio.sleep(0)  # `connection_lost` is called in the next turn
        return cut

    async def _say_goodbye(self, timeout: float) -> None:
        """Close WebSockets in order, as far as their clients answer within `timeout` seconds."""
        state = self.state
        closing = [connection for connection in tuple(state.connections) if connection.shed(0)]
        deadline = state.time() + timeout
        while (left := deadline - state.time()) > 0 and not state.connections.isdisjoint(closing):
            self._progress.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._progress.wait(), left)

    async def shutdown(self, timeout: float | None) -> None:
        """Stop the application, in at most `timeout` seconds; failures are logged."""
        self._leader.resign()
        for timer in self._timers:
            timer.cancel()
        if self._blocking is not None:
            self._blocking.stop()
        if self.metering is not None:
            self.metering.end()
        if self._lifespan is not None:
            await self._lifespan.shutdown(timeout)
        if self._owns_process:
            let_go()


def connection_class(config: ServerConfig, *, metered: bool) -> type[HTTPConnection]:
    """Return the protocol of connections: a plain one, unless more than serving is wanted."""
    kinds: list[type[HTTPConnection]] = []
    if config.health_path:
        from uvicorn_worker.http1.health import HealthConnection

        kinds.append(HealthConnection)
    if metered:
        from uvicorn_worker.metrics.connection import MeteredConnection

        kinds.append(MeteredConnection)
    if not kinds:
        return HTTPConnection
    return kinds[0] if len(kinds) == 1 else type("Connection", tuple(kinds), {"__slots__": ()})


def _identified(app: Application) -> Application:
    from uvicorn_worker.application.identity import identified

    return identified(app)


def _make_metering(state: HTTPState, room: memoryview) -> Metering:
    from uvicorn_worker.metrics.metering import Metering

    return Metering(state, room, interval=SWEEP)


def _notable(forwarding: ForwardingPolicy, *, metered: bool) -> frozenset[bytes]:
    """Return the names of fields that a connection has to look at."""
    return forwarding.names | {b"x-request-start"} if metered else forwarding.names


def make_parser(name: HttpParserName) -> HeadParser:
    """Return the parser that `http` names; raises ConfigError where its package is missing."""
    if name in ("auto", "httptools"):
        try:
            from uvicorn_worker.http1.httptools_parser import HttptoolsParser

            return HttptoolsParser()
        except ImportError:
            if name == "httptools":
                raise ConfigError(
                    "http=httptools needs the package httptools: pip install httptools"
                ) from None
    try:
        from uvicorn_worker.http1.h11_parser import H11Parser
    except ImportError:
        raise ConfigError(
            f"http={name} needs the package h11: pip install 'uvicorn-worker[h11]'"
        ) from None
    return H11Parser()
