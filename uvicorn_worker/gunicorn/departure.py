"""A worker's way out: drain or quit, then shut the application down, all in time.

Carries out what `leaving.py` decides. Why the worker goes, and when, is found in `life.py`.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from uvicorn_worker.gunicorn.leaving import RELOAD_TIMEOUT, Budget, Shedding, Why
from uvicorn_worker.scoreboard import Phase

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from uvicorn_worker.gunicorn.masters import Family
    from uvicorn_worker.gunicorn.orders import Orders
    from uvicorn_worker.gunicorn.settings import Settings
    from uvicorn_worker.scoreboard import Slot
    from uvicorn_worker.service import Service

T = TypeVar("T")

# A stop reaches all workers within milliseconds: look at the others when it has reached them too.
SETTLE: Final = 0.05

RELOADER_TIMEOUT: Final = 0.5  # for Gunicorn's reloader, which ends 0.1 s after its hook
RELOADER_LOOK: Final = 0.05


class Leaving(Protocol):
    """What is needed of the worker class here."""

    alive: bool
    cfg: Any
    log: Any
    reloader: threading.Thread | None

    family: Family
    orders: Orders
    settings: Settings
    slot: Slot

    @property
    def own_queue(self) -> bool:
        """Whether nobody else accepts from this worker's sockets."""

    def interrupted(self) -> None:
        """Run the hook `worker_int`, the first time only."""

    def arm_guard(self, budget: Budget) -> None:
        """See to it that the process ends in time, whatever the application does."""


class News:
    """Wakes the one task that acts, whenever there may be something to do."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def tell(self) -> None:
        self._event.set()

    async def find(self, look: Callable[[], T | None]) -> T:
        """Return what `look` returns as soon as that is not None; it is asked at all news."""
        while True:
            self._event.clear()
            found = look()
            if found is not None:
                return found
            await self._event.wait()

    async def done(self, task: asyncio.Task[Any], enough: Callable[[], bool]) -> bool:
        """Wait for a task; return False, with the task running, when it is `enough`."""
        task.add_done_callback(lambda _: self.tell())
        return await self.find(lambda: True if task.done() else False if enough() else None)


class Departure:
    """The end of one worker; `run` is all of it.

    Args:
        served: whether the worker has accepted connections.
    """

    def __init__(self, worker: Leaving, server: Service, news: News, *, served: bool) -> None:
        self._worker = worker
        self._server = server
        self._news = news
        self._served = served

    async def run(self, why: Why, at: float) -> None:
        """Return when everything is done, and the process may exit; `at` is when it was told."""
        worker = self._worker
        worker.alive = False
        worker.slot.set_phase(Phase.DRAINING)
        graceful_timeout = worker.settings.graceful_timeout
        if why is Why.QUIT or graceful_timeout <= 0:
            budget = await self._quit(why, at)
        else:
            budget = self._guarded(Budget.graceful(at, graceful_timeout))
            if self._served:
                budget = await self._drain(why, budget)
        if why is Why.RELOAD:
            await self._reloader_ended()
        await self._server.shutdown(max(0.05, budget.shutdown - time.monotonic()))

    async def _reloader_ended(self) -> None:
        """Wait for Gunicorn's reloader, which calls the hook `worker_int` as its last act."""
        reloader, end = self._worker.reloader, time.monotonic() + RELOADER_TIMEOUT
        while reloader is not None and reloader.is_alive() and time.monotonic() < end:  # noqa: ASYNC110  # a thread tells no event
            await asyncio.sleep(RELOADER_LOOK)

    async def _quit(self, why: Why, at: float) -> Budget:
        budget = self._guarded(Budget.quick(at))
        if why is Why.QUIT:
            self._worker.interrupted()
        if self._served:
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
        timeout = budget.drain - time.monotonic()
        if why is Why.RELOAD:
            timeout = min(timeout, RELOAD_TIMEOUT)
        drain = asyncio.get_running_loop().create_task(
            server.drain(
                max(0.0, timeout),
                idle_timeout=0.0 if why is Why.RELOAD else shedding.idle_timeout,
                keep_accepting=shedding.keep_accepting,
                hold_websockets=shedding.hold_websockets,
                # The other half is for lifespan shutdown.
                cancel_timeout=(budget.shutdown - budget.drain) / 2,
            )
        )
        if not await self._news.done(drain, lambda: worker.orders.quit_at is not None):
            worker.orders.quit_noticed = True
            worker.interrupted()
            budget = self._guarded(Budget.quick(worker.orders.quit_at or time.monotonic()))
            server.hurry(0.0)
        await drain
        return budget

    def _guarded(self, budget: Budget) -> Budget:
        self._worker.arm_guard(budget)
        return budget
