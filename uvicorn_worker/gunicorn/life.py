"""A worker's time on the event loop: start the application, serve, find that it has to go.

Signal handlers note orders and wake the loop; everything that follows from them happens here and
in `process/departure.py`, in one task, in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from uvicorn_worker.gunicorn.meaning import Meaning, interpret
from uvicorn_worker.loops import CLEAN_UP
from uvicorn_worker.process.departure import Departure, Leaving
from uvicorn_worker.process.leaving import Budget, Why
from uvicorn_worker.process.news import News
from uvicorn_worker.scoreboard.phases import Phase

if TYPE_CHECKING:
    import threading

    from uvicorn_worker.diagnostics.reports import Reports
    from uvicorn_worker.gunicorn.masters import Siblings
    from uvicorn_worker.process.orders import Term
    from uvicorn_worker.service import Service

BEAT: Final = 1.0  # seconds between heartbeats, at most; Gunicorn looks once a second

LOOK: Final = 0.05  # seconds between looks at the others, while it is not clear who is to go

# Looks after which it is certain that a reload has failed: Gunicorn up to 23 may be about to
# repeat a SIGTERM while it finds that the new workers have gone.
CERTAIN: Final = 4

RELOADER_TIMEOUT: Final = 0.5  # for Gunicorn's reloader, which ends 0.1 s after its hook
RELOADER_LOOK: Final = 0.05

# What the metrics call it when a worker goes and another one comes.
RESTARTS: Final = {Why.LIMIT: "requests", Why.RECYCLE: "exit", Why.RELOAD: "reload"}

RELOADERS_MARK: Final = b"1"  # what it writes to the pipe of its worker; our handlers write dots


class Worker(Leaving, Protocol):
    """What is needed of the worker class."""

    cfg: Any
    int_called: bool
    log: Any
    max_requests: int
    nr: int
    ppid: int
    reloader: threading.Thread | None
    timeout: float

    family: Siblings
    reports: Reports

    def notify(self) -> None:
        """Show Gunicorn that the loop turns."""

    def disarm_guard(self) -> None:
        """Let the process live: it is not certain any more that it has to end."""


class Life:
    """One life of one worker; `run` is all of it."""

    def __init__(self, worker: Worker, server: Service, loop: asyncio.AbstractEventLoop) -> None:
        self.served = False  # has accepted connections
        self._worker = worker
        self._server = server
        self._loop = loop
        self._news = News()
        self._starting = True
        self._limit_at: float | None = None
        self._warned = False  # of a limit that cannot be kept
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
            started = await self._start()
            why, at = await (self._serve() if started else self._told_to_go())
            self._count(why)
            departure = Departure(self._worker, self._server, self._news, served=self.served)
            budget = await departure.leave(why, at)
            if why is Why.RELOAD:
                await self._reloader_ended()
            await departure.shut_down(budget)
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def _count(self, why: Why) -> None:
        """Count a restart, where it is known to be one."""
        orders, metering = self._worker.orders, self._server.metering
        reason, told = RESTARTS.get(why, ""), orders.told
        if orders.aborted:  # what ends the process came as the application's own exception
            reason = "hung"
        elif why is Why.STOP and told is not None and told.successor:
            reason = "reload"
        if metering is not None and reason:
            metering.meter.leaving(reason)

    def wake(self) -> None:
        """Look again at what there is to do."""
        self._news.tell()

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

    async def _reloader_ended(self) -> None:
        """Wait for Gunicorn's reloader, which calls the hook `worker_int` as its last act."""
        reloader, end = self._worker.reloader, time.monotonic() + RELOADER_TIMEOUT
        while reloader is not None and reloader.is_alive() and time.monotonic() < end:  # noqa: ASYNC110  # a thread tells no event
            await asyncio.sleep(RELOADER_LOOK)

    # -- start

    async def _start(self) -> bool:
        """Start the application and accept; return False when the worker is to go already."""
        starting = self._loop.create_task(self._server.startup())
        if not await self._news.done(starting, self._must_not_wait):
            starting.cancel()
            await asyncio.wait({starting}, timeout=CLEAN_UP)
            return False
        starting.result()
        self._starting = False
        if self._worker.orders.to_go:
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
            budget = Budget.graceful(told.at, self._worker.graceful_timeout)
            left = budget.drain - time.monotonic()
            if left <= 0:
                return True
            self._loop.call_later(left, self.wake)
        return orders.quit_at is not None or self._reload

    # -- serve

    def _request_ended(self) -> None:
        worker = self._worker
        worker.nr += 1
        if worker.nr < worker.max_requests or self._limit_at is not None or self._is_needed():
            return
        self._limit_at = time.monotonic()
        worker.log.info("Autorestarting worker after current request.")
        worker.alive = False
        self.wake()

    def _is_needed(self) -> bool:
        """Return whether nobody would serve, for now, if this worker went at its limit.

        Workers that share the load reach their limits together, and take turns: without that,
        nobody would answer for as long as a boot takes. Of two that ask at the same moment both
        may stay, as either says that it goes before it looks (see `Slot.set_phase`); each of
        their next requests asks again.
        """
        slot, family = self._worker.slot, self._worker.family
        before = slot.snapshot().phase
        slot.set_phase(Phase.DRAINING)
        needed = family.irreplaceable()
        if needed:
            self._warn_of_limit()
        if needed or family.awaited():
            slot.set_phase(before)
            return True
        return False

    def _warn_of_limit(self) -> None:
        worker = self._worker
        if not self._warned:
            self._warned = True
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
        return await self._news.find(self._order)

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
