"""A worker's way out: drain or quit, then shut the application down, all in time.

Carries out what `leaving.py` decides. Why the worker goes, and when, its owner finds out.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, Protocol

from uvicorn_worker.process.leaving import RELOAD_TIMEOUT, Budget, Shedding, Why
from uvicorn_worker.scoreboard.phases import Phase

if TYPE_CHECKING:
    from uvicorn_worker.process.family import Family
    from uvicorn_worker.process.news import News
    from uvicorn_worker.process.orders import Orders
    from uvicorn_worker.scoreboard.slots import Slot
    from uvicorn_worker.service import Service

# A stop reaches all workers within milliseconds: look at the others when it has reached them too.
SETTLE: Final = 0.05


class Leaving(Protocol):
    """What is needed of a worker here."""

    alive: bool  # it is not to go
    family: Family
    orders: Orders
    slot: Slot

    @property
    def graceful_timeout(self) -> float:
        """Seconds to end what it does; 0: none."""

    @property
    def own_queue(self) -> bool:
        """Whether nobody else accepts from this worker's sockets."""

    def interrupted(self) -> None:
        """Called when the worker is told to go at once."""

    def arm_guard(self, budget: Budget) -> None:
        """See to it that the process ends in time, whatever the application does."""


class Departure:
    """The end of one worker; `run` is all of it, in two steps.

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
        await self.shut_down(await self.leave(why, at))

    async def leave(self, why: Why, at: float) -> Budget:
        """Return when nobody is served any more: with what time is left for the rest."""
        worker = self._worker
        worker.alive = False
        worker.slot.set_phase(Phase.DRAINING)
        if why is Why.QUIT or worker.graceful_timeout <= 0:
            return await self._quit(why, at)
        budget = self._guarded(Budget.graceful(at, worker.graceful_timeout))
        return await self._drain(why, budget) if self._served else budget

    async def shut_down(self, budget: Budget) -> None:
        """Stop the application."""
        await self._server.shutdown(max(0.05, budget.shutdown - time.monotonic()))

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
