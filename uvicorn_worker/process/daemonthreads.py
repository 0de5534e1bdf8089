"""An executor whose threads do not keep the process alive.

The interpreter waits at its end for every thread of `concurrent.futures.ThreadPoolExecutor`: a
call that hangs would outlive the time that a stop has been given.
"""

from __future__ import annotations

import functools
import queue
import threading
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


class DaemonThreads(Executor):
    """Calls functions in up to `count` threads, which begin when they are needed.

    `submit` is for one thread only, that of the event loop.
    """

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._started = 0
        self._idle = threading.Semaphore(0)
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        self._calls.put((future, functools.partial(fn, *args, **kwargs)))
        if not self._idle.acquire(blocking=False) and self._started < self._count:
            name = f"{self._name}-{self._started}"
            self._started += 1
            threading.Thread(target=self._work, name=name, daemon=True).start()
        return future

    def _work(self) -> None:
        while True:
            self._run(*self._calls.get())  # nothing of a call is kept until the next one
            self._idle.release()

    @staticmethod
    def _run(future: Future[Any], call: Callable[[], Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = call()
        except BaseException as exc:  # exits too are for whoever waits
            future.set_exception(exc)
        else:
            future.set_result(result)
