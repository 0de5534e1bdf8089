"""The life of a server process that is alone: start the application, serve, stop.

Orders may be given from signal handlers and from other threads; everything that follows from them
happens on the loop, in one task. How the orders come in is `server`'s business.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from uvicorn_worker.config import Config
    from uvicorn_worker.service import Service
    from uvicorn_worker.state import Log

GOING_AWAY: Final = 1001  # RFC 6455 section 7.4.1: nobody comes after this process

# Seconds that idle connections are kept when the server stops. A proxy that does not know yet may
# send one more request on them; a person at a keyboard, or a test, has no such proxy.
IDLE: Final = 2.0
IDLE_IN_A_HURRY: Final = 0.25

# Seconds for what is cancelled, and for lifespan shutdown, once somebody is in a hurry.
QUICK: Final = 1.0


class Orders:
    """What a server was told. All of it may be written by any thread, and by signal handlers."""

    def __init__(self) -> None:
        self._stop = self._force = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news: asyncio.Event | None = None
        self.idle = IDLE_IN_A_HURRY  # seconds for idle connections
        self.pending: list[int] = []  # signals that do not mean the end

    @property
    def stop(self) -> bool:
        """Whether the server is to end what it does and go."""
        return self._stop

    @stop.setter
    def stop(self, value: bool) -> None:
        self._stop = value
        self.wake()

    @property
    def force(self) -> bool:
        """Whether it is to go at once."""
        return self._force

    @force.setter
    def force(self, value: bool) -> None:
        self._force = value
        self.wake()

    def attach(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Wake the tasks of a loop from now on; None: of no loop."""
        self._news = None if loop is None else asyncio.Event()
        self._loop = loop

    def wake(self) -> None:
        """Let the loop look again."""
        loop, news = self._loop, self._news
        if loop is not None and news is not None:
            with contextlib.suppress(RuntimeError):  # a loop that has just been closed
                loop.call_soon_threadsafe(news.set)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when `condition` is true; it is looked at whenever somebody wakes the loop."""
        assert self._news is not None  # `attach` comes first
        while not condition():
            self._news.clear()
            if not condition():
                await self._news.wait()

    async def done(self, task: asyncio.Task[Any], enough: Callable[[], bool]) -> bool:
        """Wait for a task; return False, with the task running, when it is `enough`.

        A task that is not done is cancelled together with the one that waits.
        """
        task.add_done_callback(lambda _: self.wake())
        try:
            await self.until(lambda: task.done() or enough())
        except asyncio.CancelledError:
            task.cancel()
            raise
        return task.done()


class SingleLife:
    """One life of one server process; `run` is all of it."""

    def __init__(
        self,
        config: Config,
        service: Service,
        orders: Orders,
        log: Log,
        *,
        on_ready: Callable[[], None],
        on_stop: Callable[[], None],
        on_signal: Callable[[int], None],
    ) -> None:
        """`on_ready` is called when connections are accepted, `on_stop` before none are any more.

        `on_signal` is called for each of the pending signals of `orders`.
        """
        self._config = config
        self._service = service
        self._orders = orders
        self._log = log
        self._on_ready = on_ready
        self._on_stop = on_stop
        self._on_signal = on_signal
        self._left = config.limit_max_requests
        if self._left and config.limit_max_requests_jitter:
            import random

            self._left += random.randint(0, config.limit_max_requests_jitter)

    async def run(self) -> None:
        """Return when everything is done.

        Raises:
            LifespanError: the application refused to start.
        """
        service = self._service
        service.state.close_code = GOING_AWAY
        try:
            if await self._start():
                self._on_ready()
                await self._serve()
                await self._drain()
        except asyncio.CancelledError:
            self._orders.force = True  # whoever has cancelled this does not wait for others
            await service.quit(QUICK)
            raise
        finally:
            await self._shutdown()

    async def _start(self) -> bool:
        """Start the application and accept; return False when the server is to go already."""
        orders, service = self._orders, self._service
        starting = _task(service.startup())
        if not await orders.done(starting, lambda: orders.stop):
            if not orders.force:
                self._log.info("Stopping when the application has started (CTRL+C: at once)")
            if not await self._in_time(starting):
                starting.cancel()
                await asyncio.wait({starting}, timeout=QUICK)
                return False
        starting.result()
        if orders.stop:
            return False
        service.state.on_request_ended = self._request_ended if self._left else None
        service.start_accepting()
        return True

    async def _in_time(self, task: asyncio.Task[None]) -> bool:
        """Wait for a task, at most as long as a stop may take."""
        late = asyncio.Event()

        def expire() -> None:
            late.set()
            self._orders.wake()

        timeout = self._config.timeout_graceful_shutdown
        timer = None
        if timeout is not None:
            timer = asyncio.get_running_loop().call_later(timeout, expire)
        done = await self._orders.done(task, lambda: self._orders.force or late.is_set())
        if timer is not None:
            timer.cancel()
        return done

    def _request_ended(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._log.info("limit_max_requests is reached")
            self._orders.idle = IDLE
            self._orders.stop = True

    async def _serve(self) -> None:
        """Return when the server is to stop."""
        orders = self._orders
        while True:
            await orders.until(lambda: orders.stop or bool(orders.pending))
            if orders.stop:
                return
            self._on_signal(orders.pending.pop(0))

    async def _drain(self) -> None:
        """Answer what is in flight; cut what is left when the time is over, or when forced."""
        orders, service = self._orders, self._service
        self._log.info("Shutting down")
        self._on_stop()
        drain = _task(
            service.drain(
                self._config.timeout_graceful_shutdown,
                idle_timeout=orders.idle,
                keep_accepting=lambda: False,
            )
        )
        if not await orders.done(drain, lambda: orders.force):
            service.hurry(0.0)
        await drain

    async def _shutdown(self) -> None:
        """Stop the application, in what a stop may take, or quickly when forced."""
        orders, service = self._orders, self._service
        timeout = QUICK if orders.force else self._config.timeout_graceful_shutdown
        ending = _task(service.shutdown(timeout))
        if not await orders.done(ending, lambda: orders.force and timeout != QUICK):
            await asyncio.wait({ending}, timeout=QUICK)
            ending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ending
        else:
            ending.result()


def _task(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(work)
