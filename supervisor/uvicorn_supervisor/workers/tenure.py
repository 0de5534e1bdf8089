"""A worker's time on the event loop: start the application, serve, go.

Signal handlers note orders and wake the loop (`child.py`); everything that follows from them
happens here, in one task, in order.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Final, Protocol

from uvicorn_worker.logs.setup import reopen_logs
from uvicorn_worker.loops import CLEAN_UP
from uvicorn_worker.process.departure import SETTLE, Departure, Leaving
from uvicorn_worker.process.leaving import Why
from uvicorn_worker.scoreboard.phases import Phase

if TYPE_CHECKING:
    import logging

    from uvicorn_supervisor.workers.assignment import Assignment
    from uvicorn_worker.process.news import News
    from uvicorn_worker.service import Service

BEAT: Final = 1.0  # seconds between heartbeats, at most
BEATS: Final = 6  # heartbeats in the time that the loop may be silent, at least


class Worker(Leaving, Protocol):
    """What is needed of a worker's process."""

    log: logging.Logger
    plan: Assignment

    def beaten(self) -> None:
        """Show that the loop turns."""

    def tell_supervisor(self) -> None:
        """Let it look at the scoreboard now."""

    def reopened(self) -> None:
        """Follow log files that were opened again."""

    def show(self, what: str) -> None:
        """Show in lists of processes what the worker does."""


class Tenure:
    """One worker's time on the loop; `run` is all of it."""

    def __init__(self, worker: Worker, service: Service, news: News) -> None:
        self.served = False  # has accepted connections
        self._worker = worker
        self._service = service
        self._news = news
        self._orphan = False
        self._due = False  # for replacement, and the supervisor knows
        limit = worker.plan.config.timeout_worker_healthcheck
        self._interval = min(BEAT, limit / BEATS) if limit else BEAT
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Return when the worker has done everything and may exit.

        Raises:
            LifespanError: the application refused to start.
        """
        loop = asyncio.get_running_loop()
        life = self._worker.plan.life
        loop.add_reader(life, self._orphaned, life)
        self._beat()
        try:
            if await self._start():
                why, at = await self._serve()
            else:
                why, at = await self._news.find(self._told)
            self._worker.show("draining")
            departure = Departure(self._worker, self._service, self._news, served=self.served)
            await departure.run(why, at)
        finally:
            loop.remove_reader(life)
            if self._timer is not None:
                self._timer.cancel()

    async def _start(self) -> bool:
        """Start the application and accept; return False when the worker is to go already."""
        worker, service = self._worker, self._service
        starting = asyncio.get_running_loop().create_task(service.startup())
        if not await self._news.done(starting, lambda: worker.orders.to_go):
            # Nobody has been served yet: there is nothing to wait for.
            starting.cancel()
            await asyncio.wait({starting}, timeout=CLEAN_UP)
            return False
        starting.result()
        if worker.orders.to_go:
            return False
        if worker.plan.requests:
            service.state.on_request_ended = self._request_ended
        service.start_accepting()
        self.served = True
        self._show_beat()  # before the phase: others go by the beats of those that are ready
        worker.slot.set_phase(Phase.READY)
        worker.tell_supervisor()
        return True

    async def _serve(self) -> tuple[Why, float]:
        why, at = await self._news.find(self._told)
        if why is Why.STOP and self._worker.plan.config.drain_delay:
            await asyncio.sleep(SETTLE)
            if not self._worker.family.ready():  # the whole server stops
                return why, await self._announce(at)
        return why, at

    async def _announce(self, at: float) -> float:
        """Go on accepting for the drain delay while answers announce the end; return that end."""
        self._service.announce_end()
        end = at + self._worker.plan.config.drain_delay
        delay = asyncio.get_running_loop().create_task(asyncio.sleep(end - time.monotonic()))
        orders = self._worker.orders
        await self._news.done(delay, lambda: orders.quit_at is not None or self._is_orphan())
        delay.cancel()
        return time.monotonic()

    def _told(self) -> tuple[Why, float] | None:
        """Return why the worker is to go, and since when; None: it is not."""
        worker, orders = self._worker, self._worker.orders
        while orders.pending:
            orders.pending.pop()
            reopen_logs()
            worker.reopened()
        if orders.quit_at is not None:
            orders.quit_noticed = True
            return Why.QUIT, orders.quit_at
        if orders.told is not None:
            return self._why_told(), orders.told.at
        return None if worker.alive else (Why.RECYCLE, time.monotonic())

    def _why_told(self) -> Why:
        """Return why SIGTERM came; the kernel sends it too, when the supervisor ends."""
        orphan = self._is_orphan()
        if self._worker.plan.config.reload:
            return Why.RELOAD
        return Why.ORPHAN if orphan else Why.STOP

    def _request_ended(self) -> None:
        if not self._due and self._service.state.requests_total >= self._worker.plan.requests:
            self._due = True
            self._show_beat()
            self._worker.tell_supervisor()

    def _orphaned(self, life: int) -> None:
        """The other end of the pipe is closed: the supervisor is gone."""
        asyncio.get_running_loop().remove_reader(life)
        if self._is_orphan():
            self._worker.orders.term()
            self._news.tell()

    def _is_orphan(self) -> bool:
        """Whether the supervisor is gone; the first to notice says so."""
        plan = self._worker.plan
        if not self._orphan and os.getppid() != plan.parent:
            self._orphan = True
            self._worker.log.warning("The supervisor is gone: worker %d goes too", plan.seat)
        return self._orphan

    def _beat(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._interval, self._beat)
        self._show_beat()

    def _show_beat(self) -> None:
        state, worker = self._service.state, self._worker
        worker.slot.beat(
            time.monotonic(),
            in_flight=len(state.cycles),
            connections=len(state.connections),
            total=state.requests_total,
        )
        worker.beaten()
        if worker.alive:
            worker.show(f"ready, {len(state.cycles)} in flight" if self.served else "booting")
