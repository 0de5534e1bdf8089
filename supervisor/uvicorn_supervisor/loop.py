"""The supervisor: waits, collects what has happened, asks the pool, does what it says.

The only loop. It never waits for one worker, and nobody else reaps.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from uvicorn_supervisor.config import AUTO
from uvicorn_supervisor.control.closed import Closed
from uvicorn_supervisor.decisions.deaths import describe_exit
from uvicorn_supervisor.decisions.lifecycle import READY, STOPPED
from uvicorn_supervisor.decisions.limits import NEVER
from uvicorn_supervisor.decisions.messages import (
    CloseListeners,
    Discard,
    EndUpgrade,
    Examine,
    Exit,
    Exited,
    Prepare,
    Reload,
    Reopen,
    Say,
    Spawn,
    StartUpgrade,
    Stop,
    Tell,
    Tick,
    UpgradeFailed,
    UpgradeReady,
    Upgrading,
)
from uvicorn_supervisor.decisions.pool import Pool
from uvicorn_supervisor.holdings.handover import TAKEN_OVER
from uvicorn_supervisor.holdings.upgrade import CannotUpgrade
from uvicorn_supervisor.hooks import Hooks, load_hooks
from uvicorn_supervisor.logs.journal import Journal
from uvicorn_supervisor.mailbox import ORDERS
from uvicorn_supervisor.observation.observer import Observer
from uvicorn_supervisor.observation.tally import Tally
from uvicorn_supervisor.reloading.patterns import resolve
from uvicorn_supervisor.reloading.watching import Watcher
from uvicorn_supervisor.systemd.manager import Systemd
from uvicorn_supervisor.views import WorkerView
from uvicorn_supervisor.workers.child import INQUIRY
from uvicorn_supervisor.workers.line import FAILED, SUCCESSOR
from uvicorn_supervisor.workers.nursery import Nursery
from uvicorn_worker.logs.setup import reopen_logs
from uvicorn_worker.metrics.figures import lag_of
from uvicorn_worker.metrics.heritage import bequeath, inherit, make_rooms
from uvicorn_worker.scoreboard.board import Scoreboard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from uvicorn_supervisor.config import SupervisorConfig
    from uvicorn_supervisor.control.reception import Reception
    from uvicorn_supervisor.decisions.lifecycle import Worker
    from uvicorn_supervisor.decisions.messages import Action, Event
    from uvicorn_supervisor.holdings.place import Place
    from uvicorn_supervisor.mailbox import HasFileno, Mailbox
    from uvicorn_supervisor.system import System
    from uvicorn_worker.scoreboard.memory import SlotView

TICK: Final = 1.0  # seconds between looks at the scoreboard, at most

# What hears of workers that have come to these states.
HOOKS_OF: Final = {READY: "worker_ready", STOPPED: "child_exit"}

LEVELS: Final = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO}

log: Final = logging.getLogger("uvicorn.supervisor")


class Supervisor:
    """Keeps workers serving on listening sockets until it is told to stop.

    Args:
        config: the first release.
        read: returns the configuration as it is now, for a reload; raises WorkerError.
        place: the sockets listen already; whoever has made it closes it.
    """

    def __init__(
        self,
        config: SupervisorConfig,
        read: Callable[[], SupervisorConfig],
        place: Place,
        mailbox: Mailbox,
        system: System,
    ) -> None:
        self._first = config
        self._read = read
        self._place = place
        self._mailbox = mailbox
        self._system = system
        self._pool = Pool(config.limits())
        self._board = Scoreboard(rooms=make_rooms() if config.counts else None)
        self._observer = Observer(self._pool, self._board, system)
        self._journal = Journal()
        self._tally = Tally(self._board)
        self._queue: deque[Event] = deque()
        self._announced = False
        # Those that this process was started with; who closes the window takes them away.
        self._terminals = [descriptor for descriptor in range(3) if os.isatty(descriptor)]
        self._unsized = config.workers == AUTO
        self._exit_code: int | None = None
        self._watcher: Watcher | None = None
        self._hooks = load_hooks(config.hooks) if config.hooks else Hooks()
        self._nursery = Nursery(
            config,
            read,
            place.sockets,
            self._board,
            mailbox,
            system,
            self._hooks,
            lambda: self._reception.descriptors,
        )
        if place.succeeding:
            self._nursery.begin(place.wishes)
            inherit(self._board.rooms, place.rooms)
            self._board.lease.wait_for(place.predecessor)
            self._nursery.view = replace(self._nursery.view, predecessor=place.predecessor)
        self._line = self._nursery.line
        self._words: dict[int, str] = {}  # why a worker has failed, by number
        self._reception = self._make_reception() if place.counters else Closed()
        self._systemd = Systemd(place, self._pool, self._board, system.now)

    def _make_reception(self) -> Reception:
        # Here: who cannot be asked does not load what answers.
        from uvicorn_supervisor.control.reception import Reception
        from uvicorn_supervisor.control.scene import Scene
        from uvicorn_supervisor.control.status import Sources

        app = self._first.app
        return Reception(
            Scene(
                pool=self._pool,
                board=self._board,
                now=self._system.now,
                take=self._take,
                sources=Sources(memory=self._observer.memory, lag=self._lag),
                bulletin=self._nursery.bulletin,
                levels=self._nursery.levels,
                app=app if isinstance(app, str) else type(app).__name__,
                place=str(self._place),
                started=self._system.now(),
            )
        )

    def run(self) -> int:
        """Return the exit code, when no worker is left."""
        if self._first.reload:
            self._watcher = watch(self._first)
        self._hooks.start(self._nursery.view)
        if not self._place.succeeding:  # until a predecessor goes, it is the one to be asked
            self._reception.open(self._place.counters)
        self._take(Reload())
        while self._exit_code is None:
            for event in self._happened(self._wait()):
                self._take(event)
            self._reception.settle()
        if self._watcher is not None:
            self._watcher.close()
        self._hooks.call("on_exit", self._nursery.view)
        self._reception.close()
        if self._exit_code:
            self._place.explain(self._pool.refusal)
        self._nursery.close()
        return self._exit_code

    def _wait(self) -> list[int]:
        """Return the signals that came; wait for one, or for anything else to do."""
        others: list[HasFileno] = [*self._nursery.loaders, self._line, *self._reception.readers]
        if self._watcher is not None:
            others.append(self._watcher)
        return self._mailbox.wait(self._timeout(), others, self._reception.writers)

    def _timeout(self) -> float | None:
        deadline = min(self._pool.next_deadline(), self._reception.deadline, self._systemd.deadline)
        if self._pool.workers:
            deadline = min(deadline, self._system.now() + TICK)
        return None if deadline == NEVER else max(0.0, deadline - self._system.now())

    def _take(self, event: Event) -> None:
        """Let the pool know of an event, and do what follows."""
        if event == Reload() and self._announced:
            self._hooks.call("on_reload", self._nursery.view)
        if event == Reload():
            self._systemd.reloading()
        self._queue.append(event)
        while self._queue:
            actions = self._pool.step(self._queue.popleft(), self._system.now())
            self._call_hooks(self._journal.note(self._pool.workers, self._pool.gone))
            for action in actions:
                self._queue.extend(self._do(action))
        self._announce()
        self._systemd.turn()

    # -- what has happened

    def _happened(self, signals: Sequence[int]) -> Iterator[Event]:
        """Yield what has happened, orders early: who goes because of one has not died."""
        self._place.look()
        if signals:  # an order is for those who are there
            yield from self._observer.booted()
        for number in signals:
            if number == TAKEN_OVER:
                self._place.passed_on()
                self._reception.leave()
                yield UpgradeReady()
            if number in ORDERS:
                yield self._meant(ORDERS[number])
        self._listen()
        self._reception.turn()
        if self._watcher is not None:
            yield from self._changes(self._watcher)
        yield from self._observer.observe(self._first.worker_memory_interval)
        if self._unsized and (size := self._observer.fit()) is not None:
            self._unsized = False
            self._nursery.fitting = size.count
            if not self._place.wishes.workers:
                yield size
        yield from self._nursery.news()
        yield from self._reap()
        yield Tick()

    def _listen(self) -> None:
        """Take note of what others have said."""
        for word in self._line.read():
            if word.kind == FAILED:
                self._words[word.number] = word.text
            else:
                self._reception.heard(word)

    def _meant(self, order: Event) -> Event:
        """Return what a signal means here."""
        if order == Reopen():
            reopen_logs()
        if order == Reload() and self._terminals and not any(map(os.isatty, self._terminals)):
            log.info("SIGHUP: the terminal is gone")
            return Stop()
        return order

    def _changes(self, watcher: Watcher) -> Iterator[Event]:
        news = watcher.read()
        for note in news.notes:
            log.info("%s", note)
        if news.changed:
            more = f" and {len(news.changed) - 1} more" if len(news.changed) > 1 else ""
            log.info("%s%s changed: reloading", os.path.relpath(news.changed[0]), more)
            yield Reload()
        if news.ended:
            log.error("Files are not watched any more: the process that did has ended")
            watcher.close()
            self._watcher = None

    def _reap(self) -> Iterator[Event]:
        ended = self._system.reap()
        self._listen()  # to what they have said at their end
        for died in ended:
            number = next(
                (one.number for one in self._pool.workers.values() if one.pid == died.pid), None
            )
            if self._place.reaped(died.pid):
                yield UpgradeFailed(self._why_no_upgrade(died.code))
                continue
            if number is None:
                yield from self._nursery.reaped(died)
                continue
            slot = self._nursery.slots.pop(number)
            view = slot.snapshot()
            # What it said last, and nobody has seen yet: who has served has not failed to boot.
            yield from self._observer.changed_phase(view)
            words = self._words.pop(number, "")
            words = self._observer.died(self._pool.workers[number], view, died.code, words)
            slot.release()
            yield Exited(number, died.code, self._system.chance(), words)

    def _why_no_upgrade(self, code: int) -> str:
        words = self._words.pop(SUCCESSOR, "")
        how = f"the new supervisor has ended: {describe_exit(code)}"
        return f"{how}: {words}" if words else how

    # -- what is to be done

    def _do(self, action: Action) -> list[Event]:
        """Carry out an action; return what is known to have happened by it."""
        match action:
            case Spawn():
                return self._nursery.spawn(action)
            case Prepare(release=release):
                return self._nursery.prepare(release)
            case Examine():
                return [self._examine(action)]
            case Tell(pid=pid, signal=number):
                self._system.kill(pid, number)
            case Discard(release=release):
                self._nursery.discard(release)
            case CloseListeners():
                self._place.stopping(accepting=self._pool.limits.drain_delay > 0)
            case Say(level=level, text=text):
                log.log(LEVELS[level], "%s", text[:1].upper() + text[1:])
            case Exit(code=code):
                self._exit_code = code
            case StartUpgrade() | EndUpgrade():
                return self._upgrade(action)
        return []

    def _examine(self, action: Examine) -> Event:
        """Log why a worker's loop does not turn, and where, unless it has said so itself."""
        slot = self._nursery.slots[action.number]
        if not slot.explained(slot.snapshot().heartbeat):
            self._system.kill(action.pid, INQUIRY)
        return self._observer.examine(action)

    def _upgrade(self, action: StartUpgrade | EndUpgrade) -> list[Event]:
        """Start the new supervisor, or send it a signal."""
        if isinstance(action, EndUpgrade):
            self._place.successor.end(action.pid, action.signal)
            return []
        try:
            wishes = self._nursery.wishes(self._pool.count, self._pool.releases.serving)
            pid = self._place.succeed(
                self._mailbox.writer,
                self._line.theirs.fileno(),
                wishes,
                bequeath(self._board.rooms),
            )
        except CannotUpgrade as exc:
            return [UpgradeFailed(str(exc))]
        log.info("Upgrade: the new supervisor is process [%d]", pid)
        return [Upgrading(pid)]

    def _announce(self) -> None:
        """Say once that the server serves."""
        pool = self._pool
        if (
            self._announced
            or self._unsized
            or not pool.count
            or pool.ready < pool.count
            or pool.ending
        ):
            return
        self._announced = True
        log.info(
            "Serving on %s with %d %s, supervisor process [%d]",
            self._place,
            pool.ready,
            "worker" if pool.ready == 1 else "workers",
            os.getpid(),
        )
        if self._place.succeeding:
            self._reception.open(self._place.counters)
        self._place.serving()
        self._hooks.call("when_ready", self._nursery.view)

    def _lag(self, view: SlotView) -> float:
        return lag_of(self._board, view.index)

    def _call_hooks(self, changed: Sequence[tuple[Worker, int]]) -> None:
        for worker, pid in changed:
            self._tally.note(worker, self._pool.releases.serving)
            name = HOOKS_OF.get(worker.state)
            if name is not None and pid:
                view = WorkerView(worker.number, worker.slot, worker.release, pid)
                self._hooks.call(name, self._nursery.view, view)


def watch(config: SupervisorConfig) -> Watcher:
    """Watch what the configuration names; raises ConfigError where there is no such folder."""
    watched = resolve(
        config.reload_dirs, config.reload_includes, config.reload_excludes, Path.cwd()
    )
    return Watcher(watched, config.reload_delay)
