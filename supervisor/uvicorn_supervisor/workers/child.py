"""A worker's process, from the fork to its exit code: signals, loading, the event loop.

Handlers only note what they were told and wake the loop, which acts (`tenure.py`). While the user's
code is called before there is a loop, there is nothing that could be lost: whoever is told to go
then is interrupted where it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from uvicorn_supervisor.mailbox import HANDLED, tell
from uvicorn_supervisor.system import die_with_parent, set_title
from uvicorn_supervisor.workers.application import load, say_why
from uvicorn_supervisor.workers.bulletin import ERRAND
from uvicorn_supervisor.workers.line import FAILED, REPORT
from uvicorn_supervisor.workers.tenure import Tenure
from uvicorn_supervisor.workers.witness import Witness
from uvicorn_worker.diagnostics.reports import Reports
from uvicorn_worker.errors import (
    EXIT_ABORTED,
    EXIT_APP_EXITED,
    EXIT_BOOT_ERROR,
    EXIT_STOPPED,
    WorkerError,
    exit_code,
)
from uvicorn_worker.logs.access import make_access_log
from uvicorn_worker.loops import clean_up, new_event_loop
from uvicorn_worker.process.family import Family
from uvicorn_worker.process.guard import Guard
from uvicorn_worker.process.heap import keep_inherited
from uvicorn_worker.process.interruption import Interruption
from uvicorn_worker.process.leaving import Budget
from uvicorn_worker.process.news import News
from uvicorn_worker.process.orders import Orders
from uvicorn_worker.scoreboard.neighbours import Neighbours
from uvicorn_worker.scoreboard.phases import Phase
from uvicorn_worker.service import Service
from uvicorn_worker.sockets.balance import Balance
from uvicorn_worker.sockets.lanes import Lanes
from uvicorn_worker.tls.renewal import make_tls

if TYPE_CHECKING:
    from types import FrameType

    from uvicorn_supervisor.workers.assignment import Assignment
    from uvicorn_supervisor.workers.witness import Doing
    from uvicorn_worker.asgi import Application

UNBOUNDED: Final = 10.0**9  # seconds: as good as no limit

INQUIRY: Final = signal.SIGUSR2  # a worker writes its stacks and goes on

# The share of its limit after which a boot is late: the supervisor, which asks then, counts from
# the fork on.
LATE: Final = 0.9

ABORT_REPORT: Final = 0.8  # seconds: SIGKILL follows after one


def work(plan: Assignment) -> int:
    """Be a worker; return the exit code of its process. Signals are blocked until it begins."""
    worker = Worker(plan)
    worker.take_over()
    view = plan.view(os.getpid())
    try:
        worker.booting.run(lambda: plan.hooks.call("post_fork", plan.supervisor, view))
        return worker.run()
    finally:
        plan.hooks.call("worker_exit", plan.supervisor, view)
        worker.slot.exit()
        # Whoever repeats a signal would turn a good end into a death by signal.
        for number in (*HANDLED, signal.SIGABRT):
            if number != signal.SIGCHLD:
                signal.signal(number, signal.SIG_IGN)


class Worker:
    """The process: what it was told, and how it is interrupted."""

    def __init__(self, plan: Assignment) -> None:
        assert plan.slot is not None
        self.plan = plan
        self.log = logging.getLogger("uvicorn.error")
        self.alive = True
        self.orders = Orders()
        self.slot = plan.slot
        self.family = Family(plan.board, plan.slot)
        grace = plan.config.grace
        self.graceful_timeout = UNBOUNDED if grace is None else grace
        self.own_queue = False
        self._reports = Reports(self.log)
        self.booting = Interruption()
        self._loop: asyncio.AbstractEventLoop | None = None  # while it is run
        self._news: News | None = None
        self._service: Service | None = None
        self._witness = Witness(
            self._reports,
            plan.slot,
            plan.seat,
            plan.config.timeout_worker_healthcheck,
            self._doing,
        )
        self._began = time.monotonic()
        self._title = ""
        self._level = 0  # as the bulletin has it; 0: as configured
        self._asked = plan.bulletin.asked(plan.slot.index)

    # -- the beginning

    def take_over(self) -> None:
        """Make the forked process this worker's: its signals, descriptors, slot and name."""
        signal.set_wakeup_fd(-1)
        keep_inherited()
        for descriptor in self.plan.closing:
            os.close(descriptor)
        self._install_handlers()
        self._reports.install(self._handle_abort)
        self._reports.answer(INQUIRY)
        self.slot.claim(os.getpid(), time.monotonic())
        self.slot.show_seat(self.plan.seat)
        self._apply_level()
        die_with_parent(signal.SIGTERM)
        if os.getppid() != self.plan.parent:
            self.orders.term()  # it ended before it could tell
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        self.show("booting")

    def _install_handlers(self) -> None:
        handlers: dict[int, Any] = {
            signal.SIGTERM: self._handle_term,
            signal.SIGQUIT: self._handle_quit,
            signal.SIGINT: self._handle_quit,
            signal.SIGUSR1: self._handle_reopen,
            signal.SIGCHLD: signal.SIG_DFL,  # of the application's own children
        }
        signal.signal(ERRAND, self._handle_errand)
        for number in HANDLED:
            # Each at once: to ignore a signal for a moment throws away one that is held back.
            signal.signal(number, handlers.get(number, signal.SIG_IGN))

    def run(self) -> int:
        """Serve; return the exit code."""
        try:
            app = self.plan.app
            if app is None:
                app = self.booting.run(lambda: load(self.plan.config))
            return EXIT_STOPPED if self.orders.to_go else self._serve(app)
        except WorkerError as exc:
            # To be ended may look like a failure of its own.
            if self.orders.aborted:
                return EXIT_ABORTED
            if self.orders.to_go:
                return EXIT_STOPPED
            self.plan.line.say(FAILED, self.slot.generation, str(exc))
            # Before any has been ready they all fail for one reason: one of them is enough.
            if self.plan.board.boots.ever_ready or self.plan.complaint.take():
                say_why(exc)
            return exit_code(exc)

    # -- the loop

    def _serve(self, app: Application) -> int:
        config = self.plan.config
        loop = new_event_loop(config.loop)
        asyncio.set_event_loop(loop)
        loop.set_exception_handler(self._loop_complains)
        sockets, neighbours = self.plan.sockets, Neighbours(self.plan.board, self.slot)
        self._service = service = Service(
            config,
            app,
            sockets=sockets,
            log=self.log,
            loop=loop,
            tls=make_tls(config, self.log),
            observer=make_access_log(config),
            balance=None if config.reuse_port else Balance(neighbours),
            lanes=Lanes(sockets, self.plan.seat, neighbours.seats) if config.reuse_port else None,
            room=self.slot.room() if config.counts else None,
            lease=self.plan.board.lease,
            owns_process=True,
        )
        service.state.healthy = lambda: not service.state.draining or self.family.ready() > 0
        self._news = News()
        tenure = Tenure(self, service, self._news)
        self._loop = loop
        serving = loop.create_task(tenure.run())
        try:
            while not serving.done():
                self._turn_loop(loop, serving)
            self._loop = None
            serving.result()
            loop.run_until_complete(clean_up([cycle.task for cycle in service.state.cycles]))
        finally:
            self._loop = None
            if not self.orders.aborted:
                asyncio.set_event_loop(None)
                loop.close()
        if self.alive or self.orders.to_go:
            return EXIT_STOPPED
        return EXIT_APP_EXITED

    def _turn_loop(self, loop: asyncio.AbstractEventLoop, serving: asyncio.Task[None]) -> None:
        """Run the loop until the task is done, or somebody has asked the process to exit."""
        try:
            loop.run_until_complete(serving)
        except (SystemExit, KeyboardInterrupt) as exc:
            if self.orders.aborted:
                raise
            if self.orders.overdue:
                raise SystemExit(EXIT_STOPPED) from None
            if not serving.done():
                self._application_exited(exc)
        except RuntimeError:  # the loop was stopped
            if not (self.orders.aborted or self.orders.overdue):
                raise
            code = EXIT_ABORTED if self.orders.aborted else EXIT_STOPPED
            raise SystemExit(code) from None

    def _loop_complains(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        exc = context.get("exception")
        if not isinstance(exc, (SystemExit, KeyboardInterrupt)):
            loop.default_exception_handler(context)
        # uvloop keeps what a protocol raises to itself.
        elif self.orders.aborted or self.orders.overdue:
            loop.stop()
        else:
            self._application_exited(exc)

    def _application_exited(self, exc: BaseException) -> None:
        """Others' requests are in flight: let them end before the process does."""
        if self.slot.snapshot().phase is Phase.BOOTING:
            self.log.error("The application raised %r when it was started", exc)
            raise SystemExit(EXIT_BOOT_ERROR)
        if self.alive:
            self.log.error("The application raised %r: this worker drains and exits", exc)
            self.alive = False
            self.wake()

    # -- what the time on the loop needs

    def wake(self) -> None:
        """Let the loop look again; from any thread, and from signal handlers."""
        loop, news = self._loop, self._news
        if loop is not None and news is not None:
            with contextlib.suppress(RuntimeError):  # a loop that has just been closed
                loop.call_soon_threadsafe(news.tell)

    def beaten(self) -> None:
        self._witness.beat()

    def tell_supervisor(self) -> None:
        tell(self.plan.mailbox)

    def reopened(self) -> None:
        self._reports.follow_log()

    def show(self, what: str) -> None:
        title = f"uvicorn-supervisor: worker {self.plan.seat} {what}"
        if title != self._title:
            self._title = title
            set_title(title)

    def interrupted(self) -> None:
        """There is no hook for it."""

    def arm_guard(self, budget: Budget) -> None:
        Guard(budget.interrupt, self._break_in, budget.end, EXIT_STOPPED, self._reports.descriptor)

    def _break_in(self) -> None:
        """Interrupt what keeps the loop from ending; called by the guard, in its thread."""
        if self._loop is not None or self.booting.running:
            self.orders.overdue = True
            main = threading.main_thread().ident
            assert main is not None
            signal.pthread_kill(main, signal.SIGTERM)

    # -- signals

    def _handle_term(self, sig: int, frame: FrameType | None) -> None:
        if self.orders.overdue:
            raise SystemExit(EXIT_STOPPED)
        self.orders.term()
        self._told_to_go(frame)

    def _handle_quit(self, sig: int, frame: FrameType | None) -> None:
        if self.orders.quit() and not self.booting.running:
            self.arm_guard(Budget.quick(time.monotonic()))
        self._told_to_go(frame)

    def _told_to_go(self, frame: FrameType | None) -> None:
        self.slot.set_phase(Phase.DRAINING)  # the others do not count on this worker
        if self.booting.running and not self.booting.struck:
            self.arm_guard(Budget.quick(time.monotonic()))
        self.booting.strike(frame)
        self.wake()

    def _handle_reopen(self, sig: int, frame: FrameType | None) -> None:
        self.orders.pending.append(sig)
        self.wake()

    def _handle_errand(self, sig: int, frame: FrameType | None) -> None:
        """Do what is new on the bulletin; say where a boot hangs."""
        self._apply_level()
        booted, limit = time.monotonic() - self._began, self.plan.config.timeout_boot
        booting = self.slot.snapshot().phase is Phase.BOOTING
        if booting and limit and booted >= LATE * limit:
            self._witness.late(frame, booted)
        asked = self.plan.bulletin.asked(self.slot.index)
        if asked != self._asked:
            self._asked = asked
            report = self._reports.live(frame, *self._doing())
            self.plan.line.say(REPORT, self.slot.generation, report)

    def _apply_level(self) -> None:
        level = self.plan.bulletin.level
        if level != self._level:
            self._level = level
            self.plan.levels.apply(level)

    def _handle_abort(self, sig: int, frame: FrameType | None) -> None:
        """SIGABRT: the loop has not turned for too long. Say where it is, and end."""
        if not self.orders.aborted:
            self.orders.aborted = True
            end = time.monotonic() + ABORT_REPORT
            Guard(end, lambda: None, end, EXIT_ABORTED, self._reports.descriptor)
            words = self._witness.last_words(frame)
            self.log.critical("Worker %d (pid %d) is stuck. %s", self.plan.seat, os.getpid(), words)
        raise SystemExit(EXIT_ABORTED)

    def _doing(self) -> Doing:
        """Return what the worker does now, for reports."""
        return self._loop, () if self._service is None else tuple(self._service.state.cycles)
