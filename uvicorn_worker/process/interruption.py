"""Ends what the main thread does when it is told to, for certain and without a word.

While an application is imported there is no loop to wake, and it may take a minute: a signal
handler has to raise. But Python ignores what is raised in a destructor or in the callback of a
weak reference, and prints it; a bare `except:` swallows it, too. So it is raised again until it
has its way, and `Guard` is there for what does not run Python at all.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

from uvicorn_worker.errors import EXIT_STOPPED

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

T = TypeVar("T")

# Nothing happens to a process that gets it late, when the handler is not there any more.
AGAIN: Final = signal.SIGURG

PAUSE: Final = 0.01  # seconds, for a destructor to end
PATIENCE: Final = 0.3  # seconds that whatever is on the way out may take to clean up


class Interrupted(SystemExit):
    """Raised in the code that is interrupted; nobody needs to catch it for the process to end."""


class Interruption:
    """Calls functions that a signal handler may interrupt.

    Attributes: `struck`, whether somebody has; `running`, whether there is something to interrupt.
    """

    __slots__ = ("_hook", "_ignored", "running", "struck")

    def __init__(self) -> None:
        self.struck = False
        self.running = False
        self._ignored = False  # what was raised last has been lost
        self._hook = sys.unraisablehook

    def strike(self, frame: FrameType | None) -> None:
        """Raise Interrupted where `run` is under way, else let the next one raise it.

        To be called by signal handlers, with their frame.
        """
        first, self.struck = not self.struck, True
        if not self.running:
            return
        if first:
            # Not `threading`: its locks may be held by the very code that is interrupted.
            _thread.start_new_thread(self._insist, (threading.get_ident(),))
        self._raise(frame)

    def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns; only in the main thread can it be interrupted.

        Raises:
            Interrupted: `strike` was called, before or meanwhile, whatever `work` has made of it.
        """
        if threading.current_thread() is not threading.main_thread():
            return work()
        self._hook, before = sys.unraisablehook, signal.getsignal(AGAIN)
        try:
            self.running = True
            sys.unraisablehook = self._note_ignored
            signal.signal(AGAIN, partial(self._again, before))
            return self._attempt(work)
        finally:
            self.running = False
            sys.unraisablehook = self._hook
            signal.signal(AGAIN, signal.SIG_DFL if before is None else before)

    def _again(self, before: object, sig: int, frame: FrameType | None) -> None:
        """Strike once more; where nobody has, the signal is for whoever had it `before`."""
        if not self.struck and callable(before):
            before(sig, frame)
        self._raise(frame)

    def _attempt(self, work: Callable[[], T]) -> T:
        try:
            if self.struck:
                _stop()
            result = work()
        except BaseException:
            if not self.struck:
                raise
        finally:
            self.running = False
        if self.struck:
            _stop()
        return result

    def _note_ignored(self, args: sys.UnraisableHookArgs) -> None:
        """Called by Python with what it ignores."""
        if isinstance(args.exc_value, Interrupted):
            self._ignored = True
        else:
            self._hook(args)

    def _raise(self, frame: FrameType | None) -> None:
        """Raise where it can be of use: what its hook raises, Python prints."""
        if frame is not None and frame.f_code is Interruption._note_ignored.__code__:
            self._ignored = True
        elif self.struck and self.running:
            _stop()

    def _insist(self, main: int) -> None:
        """Strike again until `run` is over; in a thread of its own."""
        due = time.monotonic() + PATIENCE
        while self.running:
            if self._ignored or time.monotonic() >= due:
                self._ignored = False
                due = time.monotonic() + PATIENCE
                signal.pthread_kill(main, AGAIN)
            time.sleep(PAUSE)


def _stop() -> NoReturn:
    raise Interrupted(EXIT_STOPPED)
