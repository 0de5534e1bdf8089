"""What a worker says when it is stuck: where every thread is, and what was being answered.

Whoever supervises a worker aborts it (SIGABRT) when its event loop has stopped to turn, and may ask
before (SIGUSR2). `faulthandler` writes the stacks of all threads in the signal handler itself, so
also when the loop is stuck in C code that never gives control back. The rest is Python, and comes
where any thread can still run it.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any, Final

from uvicorn_worker.diagnostics.stacks import stack_of

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterable
    from types import FrameType

STDERR: Final = 2
LOOP_RUNNER: Final = "_turn_loop"  # the function that runs the event loop, in all our workers
OURS: Final = ("uvicorn_worker", "uvicorn_supervisor")  # who calls the user's code
IMPORTLIB: Final = "importlib"
MOST_REQUESTS: Final = 50  # in a report: the oldest ones are what somebody looks for
MOST_TASKS: Final = 100
LONGEST_TARGET: Final = 200  # characters of a request's target


class Reports:
    """The reports of one worker process, written to the error log's own descriptor.

    `log` is the logger of errors; where it has no handlers, those of its parents count.
    """

    def __init__(self, log: logging.Logger | None) -> None:
        self._log = log
        self._inquiry = 0  # the signal that asks for stacks, 0: none does
        self._shown: list[str] = []  # the latest stack of the main thread in a report
        self.descriptor = STDERR
        # Whether the log is somewhere else than in a file: then `faulthandler`'s part is not there.
        self.apart = False

    def install(self, handler: Callable[[int, FrameType | None], None]) -> None:
        """Take over SIGABRT: first the stacks, then `handler`, when Python runs again.

        Crashes in C code (SIGSEGV and the like) write the stacks too.
        """
        # Enabled already (PYTHONFAULTHANDLER), it would not put its handler over ours.
        faulthandler.disable()
        signal.signal(signal.SIGABRT, handler)
        self.follow_log()

    def answer(self, number: int) -> None:
        """Write the stacks of all threads whenever this signal comes, and go on."""
        self._inquiry = number
        faulthandler.register(number, self.descriptor, all_threads=True)

    def follow_log(self) -> None:
        """Write to where the error log writes now; call it again when the log was reopened."""
        found = _descriptor(self._log)
        old, self.apart = self.descriptor, found is None
        # A copy of our own: the log's may be closed by anybody who configures logging, and its
        # number then belongs to a client's connection.
        self.descriptor = os.dup(STDERR if found is None else found)
        faulthandler.enable(self.descriptor, all_threads=True)
        if self._inquiry:
            self.answer(self._inquiry)
        if old != STDERR:
            os.close(old)

    def hush(self) -> None:
        """Write no stacks when SIGABRT comes, until `follow_log`: a thread has said what is new."""
        faulthandler.disable()

    def live(
        self,
        frame: FrameType | None,
        loop: asyncio.AbstractEventLoop | None,
        exchanges: Iterable[Any],
    ) -> str:
        """Return what a worker is doing that goes on; arguments as of `stuck`.

        Called in the main thread, in a signal handler: the loop may stand still.
        """
        stack = _stack(frame) or ["  the event loop waits\n"]
        parts = ["Main thread (most recent call last):\n", *stack, *_other_threads(frame)]
        if loop is not None:
            parts += _tasks(loop)
            parts += _in_flight(exchanges, loop.time())
        return "".join(parts)

    def stuck(
        self,
        frame: FrameType | None,
        loop: asyncio.AbstractEventLoop | None,
        exchanges: Iterable[Any],
    ) -> str:
        """Return what a worker is doing whose main thread is at `frame`.

        `exchanges` are the calls of the application that have not returned (state.Exchange).
        """
        self._shown = _stack(frame)
        parts = ["It is here (most recent call last):\n", *self._shown]
        if loop is not None:
            parts += _running_task(loop)
            parts += _in_flight(exchanges, loop.time())
        if self.apart:
            parts += _other_threads(frame)
        return "".join(parts).rstrip()

    def moved(self, frame: FrameType | None) -> str:
        """Return where the main thread is, if that is another place than in the latest report."""
        before, self._shown = self._shown, _stack(frame)
        if self._shown == before:
            return "It is where it was"
        return "".join(["It is here now (most recent call last):\n", *self._shown]).rstrip()

    def rest(
        self,
        frame: FrameType | None,
        loop: asyncio.AbstractEventLoop | None,
        exchanges: Iterable[Any],
    ) -> str:
        """Return what `stuck` has not said: other threads, all tasks, and requests as of now.

        Called in a thread that is not worth showing.
        """
        parts = [self.moved(frame), "\n"]
        if not self.apart:  # else they were in the first report
            parts += _other_threads(frame)
        if loop is not None:
            parts += _tasks(loop)
            parts += _in_flight(exchanges, loop.time())
        return "".join(parts).rstrip()


def _descriptor(log: logging.Logger | None) -> int | None:
    """Return the descriptor of the file behind a logger, None where there is none."""
    while log is not None:
        for handler in log.handlers:
            try:
                number: int = handler.stream.fileno()  # type: ignore[attr-defined]  # or has none
            except (AttributeError, OSError, ValueError):
                continue  # syslog, memory, a file that is not open
            return number
        log = log.parent if log.propagate else None
    return None


def _stack(frame: FrameType | None) -> list[str]:
    """Return the lines of a stack, without those that led to the event loop, or to user's code."""
    if frame is None:
        return traceback.format_stack()
    frames = [one for one, _ in traceback.walk_stack(frame)][::-1]
    inside = [number for number, one in enumerate(frames) if one.f_code.co_name == LOOP_RUNNER]
    begin = inside[-1] + 1 if inside else _users_code(frames)
    return traceback.format_list(traceback.extract_stack(frame)[begin:])


def _users_code(frames: list[FrameType]) -> int:
    """Return the index of the first frame that is neither ours nor how we import; 0: none is."""
    packages = [one.f_globals.get("__name__", "").partition(".")[0] for one in frames]
    last = max((number for number, name in enumerate(packages) if name in OURS), default=-1)
    following = range(last + 1, len(frames))
    return next((number for number in following if packages[number] != IMPORTLIB), 0)


def _running_task(loop: asyncio.AbstractEventLoop) -> list[str]:
    task = asyncio.current_task(loop)
    if task is None:
        return ["Running task: none\n"]
    coroutine = task.get_coro()
    name = getattr(coroutine, "__qualname__", repr(coroutine))
    return [f"Running task: {task.get_name()}, {name}\n"]


def _tasks(loop: asyncio.AbstractEventLoop) -> list[str]:
    tasks = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    lines = [f"Tasks: {len(tasks)}\n"]
    for task in tasks[:MOST_TASKS]:
        coroutine = task.get_coro()
        name = getattr(coroutine, "__qualname__", repr(coroutine))
        lines.append(f"Task {task.get_name()}, {name} (most recent call last):\n")
        lines += stack_of(task).format()
    if len(tasks) > MOST_TASKS:
        lines.append(f"and {len(tasks) - MOST_TASKS} more tasks\n")
    return lines


def _in_flight(exchanges: Iterable[Any], now: float) -> list[str]:
    ages = sorted(((now - one.started, one) for one in exchanges), key=lambda pair: -pair[0])
    lines = [f"Requests in flight: {len(ages)}\n"]
    lines += [f"  {age:.3f} s  {_line(one)}\n" for age, one in ages[:MOST_REQUESTS]]
    if len(ages) > MOST_REQUESTS:
        lines.append(f"  and {len(ages) - MOST_REQUESTS} younger ones\n")
    return lines


def _line(exchange: Any) -> str:
    target = exchange.target.decode("latin-1")
    if len(target) > LONGEST_TARGET:
        target = target[:LONGEST_TARGET] + "..."
    answer = f"answered {exchange.status} so far" if exchange.status else "not answered yet"
    peer = exchange.peer[0] if exchange.peer else "a UNIX socket"
    return f"{exchange.scope.get('method', 'WebSocket')} {target} from {peer}, {answer}"


def _other_threads(but: FrameType | None) -> list[str]:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    lines = []
    for ident, frame in sys._current_frames().items():
        if ident != threading.get_ident() and frame is not but:
            lines.append(f"Thread {names.get(ident, ident)} (most recent call last):\n")
            lines += traceback.format_stack(frame)
    return lines
