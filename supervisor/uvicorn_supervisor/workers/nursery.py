"""Where workers come from: releases that were read, and the forks.

Without `--preload` the supervisor forks its workers itself, and each loads the application. With
it, one process per release loads the application and forks them: see `preload`.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final

from uvicorn_supervisor.config import AUTO
from uvicorn_supervisor.decisions.limits import request_limit
from uvicorn_supervisor.decisions.messages import Forked, ForkFailed, Prepared, PrepareFailed
from uvicorn_supervisor.holdings.handover import Wishes
from uvicorn_supervisor.logs.setup import set_up
from uvicorn_supervisor.views import SupervisorView
from uvicorn_supervisor.workers.assignment import Assignment
from uvicorn_supervisor.workers.bulletin import Bulletin
from uvicorn_supervisor.workers.child import work
from uvicorn_supervisor.workers.line import Line
from uvicorn_supervisor.workers.once import Once
from uvicorn_supervisor.workers.preload import Loader
from uvicorn_worker.errors import WorkerError, exit_code
from uvicorn_worker.logs.levels import Levels

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Sequence

    from uvicorn_supervisor.config import SupervisorConfig
    from uvicorn_supervisor.decisions.messages import Event, Spawn
    from uvicorn_supervisor.hooks import Hooks
    from uvicorn_supervisor.mailbox import Mailbox
    from uvicorn_supervisor.system import Died, System
    from uvicorn_worker.scoreboard.board import Scoreboard
    from uvicorn_worker.scoreboard.slots import Slot

FIRST: Final = 1  # the number of a supervisor's first release

log: Final = logging.getLogger("uvicorn.supervisor")


class Nursery:
    """Makes releases and workers; `slots` are the workers' places on the scoreboard, by number.

    Whoever reaps a worker takes its slot out. `private` returns descriptors that are open now and
    nobody's but the supervisor's.
    """

    def __init__(
        self,
        first: SupervisorConfig,
        read: Callable[[], SupervisorConfig],
        sockets: Sequence[socket.socket],
        board: Scoreboard,
        mailbox: Mailbox,
        system: System,
        hooks: Hooks,
        private: Callable[[], Sequence[int]] = tuple,
    ) -> None:
        self.bulletin = Bulletin()
        self.line = Line()
        self.levels = Levels()
        self.slots: dict[int, Slot] = {}
        self.fitting = 1  # workers, with `--workers auto`
        self._wished = 0  # workers of the first release; 0: as configured
        self._next: SupervisorConfig | None = first
        self._read = read
        self._sockets = sockets
        self._board = board
        self._mailbox = mailbox
        self._system = system
        self._hooks = hooks
        self._private = private
        self.view = SupervisorView(os.getpid(), first, log)
        self._configs: dict[int, SupervisorConfig] = {}  # by release
        self._loaders: dict[int, Loader] = {}  # by release
        self._complaint = Once()
        self._life = os.pipe()  # for workers to see that this process is gone

    @property
    def loaders(self) -> list[Loader]:
        """What `select` is to wait for: then there is `news`."""
        return list(self._loaders.values())

    def begin(self, wishes: Wishes) -> None:
        """Go on with what a predecessor was told, until a reload goes by the configuration."""
        self._wished = wishes.workers
        self.bulletin.level = wishes.level
        self.levels.apply(wishes.level)

    def wishes(self, count: int, release: int) -> Wishes:
        """Return what a successor is to begin with; `count` workers of `release` are kept here."""
        config = self._configs.get(release)
        configured = config is None or count == self._configured(config)
        return Wishes(0 if configured else count, self.bulletin.level)

    def prepare(self, release: int) -> list[Event]:
        """Read the configuration, and log as it says from now on."""
        try:
            config = self._next or self._read()
            self._next = None
            set_up(config)
            self.levels.configured()
            if changed := config.fixed(self.view.config):
                log.warning("Until an upgrade (SIGUSR2) these stay: %s", ", ".join(changed))
            self._configs[release] = config
            if config.preload:
                self._loaders[release] = Loader(self._assignment(config, release), self._system)
                return []
        except (WorkerError, OSError) as exc:
            code = exit_code(exc) if isinstance(exc, WorkerError) else 1
            return [PrepareFailed(release, str(exc), code)]
        return [self._prepared(release)]

    def discard(self, release: int) -> None:
        self._configs.pop(release, None)
        if (loader := self._loaders.pop(release, None)) is not None:
            loader.close()

    def spawn(self, action: Spawn) -> list[Event]:
        """Fork a worker, or let its release's loader do it: then the answer is among the news."""
        number, chance = action.number, self._system.chance()
        config = self._configs[action.release]
        slot = self._board.reserve(number, self._system.now())
        if slot is None:
            return [ForkFailed(number, "there are too many workers", chance)]
        plan = self._assignment(config, action.release).to(
            slot, action.slot, request_limit(config.limits(), chance)
        )
        self._hooks.call("pre_fork", self.view, plan.view(0))
        try:
            if (loader := self._loaders.get(action.release)) is not None:
                loader.ask(plan, chance)
                self.slots[number] = slot
                return []
            pid = self._system.fork(lambda: work(plan))
        except OSError as exc:
            slot.release()
            return [ForkFailed(number, exc.strerror or str(exc), chance)]
        self.slots[number] = slot
        return [Forked(number, pid, chance)]

    def news(self) -> Iterator[Event]:
        """Yield what loaders have done, as far as it is known; never waits."""
        for release, loader in tuple(self._loaders.items()):
            for event in loader.read():
                yield self._noted(event)
            if loader.just_loaded():
                yield self._prepared(release)

    def _noted(self, event: Event) -> Event:
        """Take back the slot of a worker that has not come to be."""
        if isinstance(event, ForkFailed):
            self.slots.pop(event.number).release()
        return event

    def reaped(self, died: Died) -> Iterator[Event]:
        """Yield what follows from the end of a process that is no worker."""
        for release, loader in tuple(self._loaders.items()):
            if loader.pid == died.pid:
                yield from self.news()
                del self._loaders[release]
                for event in loader.ended(release, died.code):
                    yield self._noted(event)
                if loader.served:
                    log.error(
                        "The process that had loaded the application has ended: new workers load "
                        "it themselves until the next reload"
                    )

    def close(self) -> None:
        """Let go of what is left, at the end of the supervisor."""
        for release in tuple(self._loaders):
            self.discard(release)
        for descriptor in self._life:
            os.close(descriptor)
        self._complaint.close()
        self.line.close()

    def _prepared(self, release: int) -> Prepared:
        config = self._configs[release]
        count = self._wished if release == FIRST and self._wished else self._configured(config)
        return Prepared(release, count, config.limits())

    def _configured(self, config: SupervisorConfig) -> int:
        return self.fitting if config.workers == AUTO else config.count

    def _assignment(self, config: SupervisorConfig, release: int) -> Assignment:
        """Return what all workers of a release have in common."""
        reader, writer = self._life
        return Assignment(
            config=config,
            hooks=self._hooks,
            supervisor=self.view,
            release=release,
            sockets=self._sockets,
            board=self._board,
            parent=os.getpid(),
            mailbox=self._mailbox.writer,
            life=reader,
            closing=(self._mailbox.reader, writer, self.line.fileno(), *self._private()),
            bulletin=self.bulletin,
            line=self.line,
            complaint=self._complaint,
            levels=self.levels,
        )
