"""A Gunicorn worker that answers signals, and says where it is stuck; it does not serve yet.

Handlers only note what they were told and wake the event loop, which acts (`life.py`). Three act
at once, as no loop may be there to do it: whoever is told to quit while it boots, to abort, or to
go when its time is up, is interrupted where it is.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final, NoReturn

from gunicorn.workers.base import Worker

from uvicorn_worker.diagnostics.reports import Reports
from uvicorn_worker.diagnostics.watchdog import Watchdog
from uvicorn_worker.errors import EXIT_ABORTED, EXIT_STOPPED
from uvicorn_worker.gunicorn import masters
from uvicorn_worker.process.guard import Guard
from uvicorn_worker.process.interruption import Interruption
from uvicorn_worker.process.leaving import Budget
from uvicorn_worker.process.orders import Orders
from uvicorn_worker.scoreboard.phases import Phase

if TYPE_CHECKING:
    import asyncio
    from types import FrameType

    from uvicorn_worker.gunicorn.settings import Settings
    from uvicorn_worker.service import Service

# Of these a worker takes note only; nobody who knows Gunicorn sends it SIGHUP or SIGUSR2.
IGNORED: Final = (signal.SIGHUP, signal.SIGUSR2, signal.SIGWINCH)

QUIT_NOTICE: Final = 0.6  # seconds for a loop that is not blocked to notice that it is to end
ABORT_REPORT: Final = 0.8  # seconds for an abort: Gunicorn sends SIGKILL after one


class SignalledWorker(Worker):  # type: ignore[misc]  # Gunicorn ships no types
    """What a worker knows of its orders, its master and its siblings."""

    settings: Settings

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Called in the master, before the fork: no loop, signals, sockets or logging here."""
        super().__init__(*args, **kwargs)
        self.orders = Orders()
        self.reports = Reports(getattr(self.log, "error_log", None))
        self.int_called = False
        self.loading = Interruption()
        self._booting = False
        self._loop: asyncio.AbstractEventLoop | None = None  # while it is run
        self._server: Service | None = None
        self._watchdog: Watchdog | None = None
        self._guard: Guard | None = None
        self.board = masters.scoreboard()
        self.slot = masters.reserve(self.board, self.age)
        self.family = masters.Siblings(self.board, self.slot)
        masters.expect_fork(self)

    @property
    def graceful_timeout(self) -> float:
        """Seconds to end what it does."""
        return self.settings.graceful_timeout

    def forked(self) -> None:
        """Answer signals, and take the slot, before anything else happens in the child."""
        self._install_handlers()
        self.slot.claim(os.getpid(), time.monotonic())

    def notify(self) -> None:
        super().notify()
        if self.timeout > 0:
            if self._watchdog is None:
                self._watchdog = Watchdog((2 * self.timeout, self._report_stuck))
                self._watchdog.start()
            self._watchdog.beat()

    def interrupted(self) -> None:
        if not self.int_called:
            self.int_called = True
            self.cfg.worker_int(self)

    def init_signals(self) -> None:
        """Called by the base class, which has made `self.PIPE`."""
        self._install_handlers()
        self.reports.install(self.handle_abort)

    def _install_handlers(self) -> None:
        # `signal.signal`, not the loop's handlers: those lose what comes before the loop turns,
        # and do not run while it is blocked.
        handlers: dict[int, Any] = {
            signal.SIGTERM: self.handle_exit,
            signal.SIGQUIT: self.handle_quit,
            signal.SIGINT: self.handle_quit,
            signal.SIGABRT: self.handle_abort,
            signal.SIGUSR1: self.handle_usr1,
            **dict.fromkeys(IGNORED, self.handle_ignored),
        }
        for number, handler in handlers.items():
            signal.signal(number, handler)
            signal.siginterrupt(number, False)
        # The master's handlers for all others; children of the application want SIGCHLD.
        for number in set(self.SIGNALS) - handlers.keys():
            signal.signal(number, signal.SIG_DFL)

    def ignore_signals(self) -> None:
        """Called when the interpreter ends: it puts the default actions back, and SIGTERM, which
        Gunicorn repeats, would turn a good end into a death by signal."""
        for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT, signal.SIGUSR1, *IGNORED):
            signal.signal(number, signal.SIG_IGN)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM: go when the work is done."""
        if self.orders.overdue:
            raise SystemExit(EXIT_STOPPED)
        self.alive = False
        if self.orders.term(self.family.successor()):
            self.slot.set_phase(Phase.DRAINING)  # siblings do not count on this worker
            if self._booting and hasattr(self, "settings"):
                budget = Budget.graceful(time.monotonic(), self.graceful_timeout)
                self.arm_guard(budget)
        self._wake()

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """SIGQUIT and SIGINT: go now."""
        self.alive = False
        if self.orders.quit():
            self.slot.set_phase(Phase.DRAINING)
            now = time.monotonic()
            Guard(
                now + QUIT_NOTICE,
                self._break_in_unless_noticed,
                Budget.quick(now).end,
                EXIT_STOPPED,
                self.reports.descriptor,
            )
        if self._loop is not None:
            self._wake()
        elif self._booting:
            self._quit_boot(frame)

    def _quit_boot(self, frame: FrameType | None = None) -> NoReturn:
        """Leave from wherever the worker is: there is nothing yet that could be lost."""
        self.interrupted()
        self.loading.strike(frame)
        raise SystemExit(EXIT_STOPPED)

    def handle_abort(self, sig: int, frame: FrameType | None) -> None:
        """SIGABRT: the loop has not turned for Gunicorn's `timeout`. Say where it is, and go."""
        first, self.orders.aborted = not self.orders.aborted, True
        self.alive = False
        if first:
            now = time.monotonic()
            Guard(
                now + ABORT_REPORT,
                lambda: None,
                now + ABORT_REPORT,
                EXIT_ABORTED,
                self.reports.descriptor,
            )
            self._report_abort(frame)
            self._wake()
        raise SystemExit(EXIT_ABORTED)

    def _report_abort(self, frame: FrameType | None) -> None:
        try:
            known = self._watchdog is not None and self._watchdog.barked > 0
            self.log.critical(
                "Worker (pid:%s) aborted.%s", self.pid, "" if known else f" {self._where(frame)}"
            )
            self.cfg.worker_abort(self)
        except Exception:
            # Whatever is broken here: what matters is that the process ends.
            self.log.exception("Error while reporting the abort of a worker")

    def _report_stuck(self, silent: float) -> None:
        """Called by the watchdog, in its thread."""
        frame = sys._current_frames().get(threading.main_thread().ident or 0)
        self.log.critical(
            "Worker (pid:%s) is stuck, its event loop has not turned for %.1f s. %s",
            self.pid,
            silent,
            self._where(frame),
        )

    def _where(self, frame: FrameType | None) -> str:
        cycles = () if self._server is None else tuple(self._server.state.cycles)
        return self.reports.stuck(frame, self._loop, cycles)

    def handle_usr1(self, sig: int, frame: FrameType | None) -> None:
        """SIGUSR1: open the log files again, on the loop: logging takes locks."""
        self.orders.pending.append(sig)
        self._wake()

    def handle_ignored(self, sig: int, frame: FrameType | None) -> None:
        self.orders.pending.append(sig)
        self._wake()

    def _wake(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(OSError):
                os.write(self.PIPE[1], b".")

    def arm_guard(self, budget: Budget) -> None:
        """See to it that the process ends in time, whatever the application does."""
        self._guard = Guard(
            budget.interrupt, self.break_in, budget.end, EXIT_STOPPED, self.reports.descriptor
        )

    def disarm_guard(self) -> None:
        """Let the process live, however long: it is not certain any more that it has to end."""
        if self._guard is not None:
            self._guard.disarm()

    def break_in(self) -> None:
        """Interrupt what keeps the loop from ending; called by the guard, in its thread."""
        if self._loop is not None or self._booting:
            self.orders.overdue = True
            main = threading.main_thread().ident
            assert main is not None
            signal.pthread_kill(main, signal.SIGTERM)

    def _break_in_unless_noticed(self) -> None:
        if not self.orders.quit_noticed:
            self.break_in()
