"""A worker's time on the event loop: start the application, serve, go.

Signal handlers note orders and wake the loop; everything that follows from them happens here, in
one task, in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from uvicorn_worker.gunicorn.leaving import (
    RELOAD_TIMEOUT,
    Budget,
    Meaning,
    Shedding,
    Why,
    interpret,
)
from uvicorn_worker.scoreboard import Phase

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from uvicorn_worker.gunicorn.masters import Family
    from uvicorn_worker.gunicorn.orders import Orders, Term
    from uvicorn_worker.gunicorn.reports import Reports
    from uvicorn_worker.gunicorn.settings import Settings
    from uvicorn_worker.scoreboard import Slot
    from uvicorn_worker.service import Service

BEAT: Final = 1.0  # seconds between heartbeats, at most; Gunicorn looks once a second

# A stop reaches all workers within milliseconds: look at the others when it has reached them too.
SETTLE: Final = 0.05

LOOK: Final = 0.05  # seconds between looks at the others, while it is not clear who is to go

# Looks after which it is certain that a reload has failed: Gunicorn up to 23 may be about to
# repeat a SIGTERM while it finds that the new workers have gone.
CERTAIN: Final = 4

RELOADERS_MARK: Final = b"1"  # what it writes to the pipe of its worker; our handlers write dots
RELOADER_TIMEOUT: Final = 0.5  # for Gunicorn's reloader, which ends 0.1 s after its hook

CLEAN_UP: Final = 0.3  # for tasks of the application's own, cancelled when all else has ended


class Worker(Protocol):
    """What is needed of the worker class."""

    alive: bool
    cfg: Any
    int_called: bool
    log: Any
    max_requests: int
    nr: int
    ppid: int
    reloader: threading.Thread | None
    timeout: float

    family: Family
    orders: Orders
    reports: Reports
    settings: Settings
    slot: Slot

    @property
    def own_queue(self) -> bool:
        """Whether nobody else accepts from this worker's sockets."""

    def notify(self) -> None:
        """Show Gunicorn that the loop turns."""

    def interrupted(self) -> None:
        """Run the hook `worker_int`, the first time only."""

    def arm_guard(self, budget: Budget) -> None:
        """See to it that the process ends in time, whatever the application does."""

    def disarm_guard(self) -> None:
        """Let the process live: it is not certain any more that it has to end."""


class Life:
    """One life of one worker; `run` is all of it."""

    def __init__(self, worker: Worker, server: Service, loop: asyncio.AbstractEventLoop) -> None:
        self.served = False  # has accepted connections
        self._worker = worker
        self._server = server
        self._loop = loop
        self._news = asyncio.Event()
        self._starting = True
        self._limit_at: float | None = None
        self._orphan = False
        self._reload = False
        timeout = worker.timeout  # half of Gunicorn's
        self._interval = min(BEAT, timeout) if timeout > 0 else BEAT
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Return when the worker has done everything and may exit.

        Raises:
            LifespanError: the application refused to start.
        """
        self._beat()
        try:
            if await self._start():
                await self._go(await self._serve())
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def wake(self) -> None:
        """Look again at what there is to do."""
        self._news.set()

    def signalled(self, pipe: int) -> None:
        """Take note of signals; `pipe` has been written to."""
        worker, written = self._worker, b""
        with contextlib.suppress(BlockingIOError):
            written = os.read(pipe, 4096)
        if worker.orders.aborted:  # and the application has caught the exception that ends it
            self._loop.stop()
        if RELOADERS_MARK in written and worker.cfg.reload:
            # Gunicorn's reloader, in its thread; it calls the hook `worker_int` there.
            self._reload = worker.int_called = True
        self._deal_with_pending()
        self.wake()

    def _deal_with_pending(self) -> None:
        worker = self._worker
        pending, worker.orders.pending = worker.orders.pending, []
        for number in pending:
            if number == signal.SIGUSR1:
                worker.log.reopen_files()
                worker.reports.follow_log()
            else:
                worker.log.debug("worker: %s ignored.", signal.Signals(number).name)

    # -- start

    async def _start(self) -> bool:
        """Start the application and accept; return False when the worker is to go already."""
        starting = self._loop.create_task(self._server.startup())
        if not await self._done(starting, self._must_not_wait):
            starting.cancel()
            await asyncio.wait({starting}, timeout=CLEAN_UP)
            await self._go(await self._told_to_go())
            return False
        starting.result()
        self._starting = False
        if self._worker.orders.to_go:
            await self._go(await self._told_to_go())
            return False
        self._worker.notify()
        self._server.state.on_request_ended = self._request_ended
        self._server.start_accepting()
        self.served = True
        self._show_beat()  # before the phase: siblings go by the beats of those that are ready
        self._worker.slot.set_phase(Phase.READY)
        return True

    def _must_not_wait(self) -> bool:
        """Whether the start of the application is to be given up."""
        orders = self._worker.orders
        if (told := orders.told) is not None:
            left = self._graceful(told.at).drain - time.monotonic()
            if left <= 0:
                return True
            self._loop.call_later(left, self.wake)
        return orders.quit_at is not None or self._reload

    def _graceful(self, at: float) -> Budget:
        return Budget.graceful(at, self._worker.settings.graceful_timeout)

    # -- serve

    def _request_ended(self) -> None:
        worker = self._worker
        worker.nr += 1
        if worker.nr >= worker.max_requests and self._limit_at is None:
            if worker.family.irreplaceable():
                self._stay_beyond_limit()
                return
            self._limit_at = time.monotonic()
            worker.log.info("Autorestarting worker after current request.")
            worker.alive = False
            self.wake()

    def _stay_beyond_limit(self) -> None:
        worker = self._worker
        if worker.nr == worker.max_requests:  # once
            worker.log.warning(
                "max_requests is reached, but workers cannot boot at present: worker (pid:%s) "
                "serves on until another one has become ready",
                os.getpid(),
            )

    def _beat(self) -> None:
        """Show that the loop turns, and look after what nobody reports."""
        worker = self._worker
        self._timer = self._loop.call_later(self._interval, self._beat)
        if not self._starting:
            # The first one arms Gunicorn's watchdog: not before the application has started.
            worker.notify()
            self._show_beat()
        if os.getppid() != worker.ppid and not self._orphan:
            self._orphan = True
            worker.log.info("Parent changed, shutting down: this worker's master is gone")
            worker.orders.term()
        self.wake()

    def _show_beat(self) -> None:
        state = self._server.state
        self._worker.slot.beat(
            time.monotonic(),
            in_flight=len(state.cycles),
            connections=len(state.connections),
            total=state.requests_total,
        )

    async def _serve(self) -> tuple[Why, float]:
        """Return why the worker goes, and since when, as soon as that is certain."""
        while True:
            why, at = await self._told_to_go()
            told = self._worker.orders.told
            if why is not Why.STOP or told is None or not told.successor:
                return why, at
            if order := await self._interpret():
                return order

    async def _interpret(self) -> tuple[Why, float] | None:
        """Serve on until it is clear what SIGTERM meant; return None where it was called off.

        Answers announce the close meanwhile, so that clients come back to who serves then. There
        is no limit to it: as long as nobody else serves, this worker is needed.
        """
        worker = self._worker
        worker.slot.set_phase(Phase.DRAINING)
        worker.disarm_guard()
        self._server.state.draining = True
        failed = 0
        while True:
            await asyncio.sleep(LOOK)
            order, told = self._order(), worker.orders.told
            if order is None or told is None or order[0] is not Why.STOP:
                return order
            meaning = interpret(worker.family, told.at, told.successor)
            if meaning is Meaning.RELIEVED:
                return Why.STOP, time.monotonic()
            if meaning is Meaning.STOP:
                return Why.STOP, told.again_at
            failed = failed + 1 if meaning is Meaning.FAILED else 0
            if failed >= CERTAIN:
                self._stay(told)
                return None

    def _stay(self, told: Term) -> None:
        """Call off what SIGTERM asked for, and serve as if it had not come."""
        worker = self._worker
        self._limit_at = None  # to be looked at again
        worker.alive = True
        worker.slot.set_phase(Phase.KEPT)
        worker.orders.call_off(told)
        self._server.state.draining = False
        worker.log.error(
            "Reload called off: no new worker could boot, worker (pid:%s) serves on with the code "
            "it has. When that is mended, send SIGHUP again",
            os.getpid(),
        )

    async def _told_to_go(self) -> tuple[Why, float]:
        """Return why the worker is to go, and since when, as soon as it is."""
        while True:
            self._news.clear()
            if order := self._order():
                return order
            await self._news.wait()

    def _order(self) -> tuple[Why, float] | None:
        worker = self._worker
        orders, now = worker.orders, time.monotonic()
        if orders.quit_at is not None:
            orders.quit_noticed = True
            return Why.QUIT, orders.quit_at
        if orders.told is not None:
            return Why.ORPHAN if self._orphan else Why.STOP, orders.told.at
        if self._limit_at is not None:
            return Why.LIMIT, self._limit_at
        if self._reload:
            return Why.RELOAD, now
        return None if worker.alive else (Why.RECYCLE, now)

    # -- go

    async def _go(self, order: tuple[Why, float]) -> None:
        why, at = order
        worker, server = self._worker, self._server
        worker.alive = False
        worker.slot.set_phase(Phase.DRAINING)
        if why is Why.QUIT or worker.settings.graceful_timeout <= 0:
            budget = await self._quit(why, at)
        else:
            budget = self._guarded(self._graceful(at))
            if self.served:
                budget = await self._drain(why, budget)
        if why is Why.RELOAD:
            await self._reloader_ended()
        await server.shutdown(max(0.05, budget.shutdown - time.monotonic()))

    async def _reloader_ended(self) -> None:
        """Wait for Gunicorn's reloader, which calls the hook `worker_int` as its last act."""
        reloader, end = self._worker.reloader, time.monotonic() + RELOADER_TIMEOUT
        while reloader is not None and reloader.is_alive() and time.monotonic() < end:  # noqa: ASYNC110  # a thread tells no event
            await asyncio.sleep(SETTLE)

    async def _quit(self, why: Why, at: float) -> Budget:
        budget = self._guarded(Budget.quick(at))
        if why is Why.QUIT:
            self._worker.interrupted()
        if self.served:
            await self._server.quit(max(0.0, budget.drain - time.monotonic()))
        return budget

    async def _drain(self, why: Why, budget: Budget) -> Budget:
        """Drain until it is done, the budget is used up, or somebody is in a hurry."""
        worker, server = self._worker, self._server
        if why is Why.STOP:
            await asyncio.sleep(SETTLE)
        shedding = Shedding(
            why,
            worker.family,
            lambda: server.state.connections,
            own_queue=worker.own_queue,
        )
        timeout = RELOAD_TIMEOUT if why is Why.RELOAD else budget.drain - time.monotonic()
        drain = self._loop.create_task(
            server.drain(
                max(0.0, timeout),
                idle_timeout=0.0 if why is Why.RELOAD else shedding.idle_timeout,
                keep_accepting=shedding.keep_accepting,
                hold_websockets=shedding.hold_websockets,
                # The other half is for lifespan shutdown.
                cancel_timeout=(budget.shutdown - budget.drain) / 2,
            )
        )
        if not await self._done(drain, lambda: worker.orders.quit_at is not None):
            worker.orders.quit_noticed = True
            worker.interrupted()
            budget = self._guarded(Budget.quick(worker.orders.quit_at or time.monotonic()))
            server.hurry(0.0)
        await drain
        return budget

    def _guarded(self, budget: Budget) -> Budget:
        self._worker.arm_guard(budget)
        return budget

    async def _done(self, task: asyncio.Task[Any], enough: Callable[[], bool]) -> bool:
        """Wait for a task; return False, with the task running, when it is `enough`."""
        task.add_done_callback(lambda _: self.wake())
        while True:
            self._news.clear()
            if task.done():
                return True
            if enough():
                return False
            await self._news.wait()


async def clean_up(server: Service) -> None:
    """Cancel the tasks that the application left behind, as the end of a program does."""
    had_their_time = {cycle.task for cycle in server.state.cycles}
    left = asyncio.all_tasks() - {asyncio.current_task()} - had_their_time
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=CLEAN_UP)
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.get_running_loop().shutdown_asyncgens(), CLEAN_UP)
