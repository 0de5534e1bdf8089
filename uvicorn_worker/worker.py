"""The worker classes that Gunicorn is told to use: `-k uvicorn_worker.UvicornWorker`.

Gunicorn makes the object in the master and runs the rest in the forked child: `init_process`,
there `load_wsgi` and `run`. What happens on the event loop is in `gunicorn/life.py`.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import random
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn

from uvicorn_worker.application.errorpage import error_page
from uvicorn_worker.application.loading import resolve_application
from uvicorn_worker.errors import (
    EXIT_ABORTED,
    EXIT_BOOT_ERROR,
    EXIT_STOPPED,
    AppLoadError,
    LifespanError,
    WorkerError,
)
from uvicorn_worker.gunicorn.endpoint import of_master, prepare
from uvicorn_worker.gunicorn.life import Life
from uvicorn_worker.gunicorn.observer import make_observer
from uvicorn_worker.gunicorn.settings import Settings, read_settings, settings_without_effect
from uvicorn_worker.gunicorn.signalled import SignalledWorker
from uvicorn_worker.gunicorn.tls import make_tls
from uvicorn_worker.loops import clean_up, new_event_loop
from uvicorn_worker.process.heap import keep_inherited
from uvicorn_worker.proxies.headers import trust_summary
from uvicorn_worker.scoreboard.neighbours import Neighbours
from uvicorn_worker.service import Service
from uvicorn_worker.sockets.balance import Balance

if TYPE_CHECKING:
    from collections.abc import Mapping

    from uvicorn_worker.gunicorn.endpoint import Endpoint
    from uvicorn_worker.metrics.desk import Desk
    from uvicorn_worker.tls.renewal import TLSContexts

RELOAD_PAUSE: Final = 1.0  # longest pause of a worker that cannot boot, when code is being edited
PAUSE_LOOK: Final = 0.05  # seconds between looks at the orders, in such a pause

# Workers that cannot boot leave one after the other: Gunicorn halts for the first, and stumbles
# over a second that it finds while it halts.
QUEUE_STEP: Final = 0.3
QUEUE_LONGEST: Final = 3.0


class UvicornWorker(SignalledWorker):
    """Serves an ASGI application with uvloop and httptools.

    Subclasses may set `CONFIG_KWARGS` (server options by Uvicorn's names, stronger than
    Gunicorn's settings) and `request_head_timeout` (seconds for a request's head; 0: no limit).
    """

    CONFIG_KWARGS: ClassVar[Mapping[str, Any]] = {}
    request_head_timeout: ClassVar[float] = 30.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Called in the master, before the fork: no loop, signals, sockets or logging here."""
        super().__init__(*args, **kwargs)
        self._life: Life | None = None
        self._tls: TLSContexts | None = None
        self._desk: Desk | None = None
        self._masters_sockets = self.sockets
        if (endpoint := of_master(os.getpid())) is not None:
            endpoint.pass_on(self.cfg)

    @property
    def own_queue(self) -> bool:
        """Whether nobody else accepts from this worker's sockets (`reuse_port`)."""
        return self.sockets is not self._masters_sockets

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Called in the master, once: refuse what cannot be honoured, warn of what is ignored.

        Raises:
            RuntimeError: Gunicorn prints the message and ends.
        """
        try:
            settings = cls._read_settings(cfg)
            if settings.metrics is not None:
                prepare(settings.metrics, os.environ)
        except WorkerError as exc:
            raise RuntimeError(str(exc)) from exc
        for text in settings.warnings:
            log.warning("%s", text)
        log.info("%s", trust_summary(settings.config))
        for name in settings_without_effect(cfg):
            log.debug("%s has no effect on an event loop", name)

    @classmethod
    def _read_settings(cls, cfg: Any) -> Settings:
        return read_settings(
            cfg,
            cls.CONFIG_KWARGS,
            os.environ,
            owner=cls.__name__,
            head_timeout=cls.request_head_timeout,
        )

    # -- boot, in the child

    def init_process(self) -> None:
        self._booting = True
        keep_inherited()
        self.slot.claim(os.getpid(), time.monotonic())
        atexit.register(self.ignore_signals)
        try:
            if self.orders.quit_at is not None:
                self._quit_boot()
            self.settings = self._read_settings(self.cfg)
            self._wait_for_orders(0)
            self._draw_max_requests()
            # Before the base class drops privileges: the key may be for root's eyes only.
            self._tls = make_tls(self.cfg, self.log)
            super().init_process()
        except SystemExit as exc:
            if self.booted or self.orders.to_go:
                raise
            error = AppLoadError(f"the application exited while it was loaded: {exc}")
            error.__cause__ = exc
            self._cannot_boot(error)
        except Exception as exc:
            self._cannot_boot(exc)
        finally:
            self._booting = False
            self.slot.exit()

    def _draw_max_requests(self) -> None:
        if self.settings.max_requests is not None:
            limit, jitter = self.settings.max_requests
            self.max_requests = limit + random.randint(0, jitter) if limit else sys.maxsize

    def load_wsgi(self) -> None:
        try:
            self.wsgi = self.loading.run(self.app.wsgi)
        except SyntaxError as exc:
            if not self.cfg.reload:
                raise
            self.log.exception("Error while loading the application")
            if self.reloader is not None and exc.filename is not None:
                self.reloader.add_extra_file(exc.filename)
            self.wsgi = error_page(exc)

    def _cannot_boot(self, exc: Exception) -> NoReturn:
        """End a worker that cannot serve, and the whole server with it if none ever could."""
        if self.board.boots.ever_ready:
            self._boot_later(exc)
        self._wait_for_orders(min(QUEUE_STEP * (self.age - 1), QUEUE_LONGEST))
        if not isinstance(exc, WorkerError) and not self.booted:
            raise exc  # Gunicorn has words and an exit code of its own for it
        self.log.error("Worker cannot boot: %s", _describe(exc), exc_info=_unless_plain(exc))
        raise SystemExit(EXIT_BOOT_ERROR) from None

    def _boot_later(self, exc: Exception) -> NoReturn:
        """End a worker that cannot serve although others of this master can, or could.

        Exit code 3 or 4 would end the whole server. The next worker may have better luck after a
        pause; the siblings go on serving.
        """
        pause = self.board.boots.failed(time.monotonic())
        if self.cfg.reload:
            pause = min(pause, RELOAD_PAUSE)
        self.log.error(
            "Worker cannot boot, another one tries again in %g s: %s",
            pause,
            _describe(exc),
            exc_info=_unless_plain(exc),
        )
        self._wait_for_orders(pause)
        raise SystemExit(EXIT_ABORTED)

    def _wait_for_orders(self, timeout: float) -> None:
        """Wait, as a worker that cannot boot; leave at once when it is told to."""
        end = time.monotonic() + timeout
        while time.monotonic() < end and os.getppid() == self.ppid and not self.orders.to_go:
            time.sleep(PAUSE_LOOK)
        if self.orders.to_go:
            raise SystemExit(EXIT_STOPPED)

    # -- serve

    def run(self) -> None:
        """Called by the base class when everything is loaded; returning ends the process."""
        if self.orders.to_go:
            return
        settings = self.settings
        application = resolve_application(
            self.wsgi, factory=settings.factory, interface=settings.interface, log=self.log
        )
        loop = new_event_loop(settings.config.loop)
        asyncio.set_event_loop(loop)
        loop.set_exception_handler(self._loop_complains)
        endpoint = of_master(self.ppid)
        server = Service(
            settings.config,
            application,
            sockets=[getattr(listener, "sock", listener) for listener in self.sockets],
            log=self.log,
            loop=loop,
            tls=self._tls,
            observer=make_observer(self),
            balance=None if self.own_queue else Balance(Neighbours(self.board, self.slot)),
            room=None if endpoint is None else self.slot.room(),
            lease=self.board.lease,
            owns_process=True,
        )
        server.state.healthy = lambda: not server.state.draining or self.family.ready() > 0
        if endpoint is not None:
            self._desk = self._open_desk(endpoint, loop)
        self._loop, self._server = loop, server
        self._life = life = Life(self, server, loop)
        try:
            self._run_loop(loop, life, server)
        except Exception as exc:
            if not life.served:
                raise
            self.log.error("Worker failed while serving", exc_info=exc)
            raise SystemExit(EXIT_ABORTED) from exc
        finally:
            self._life = self._loop = None  # signals find nobody any more
            if not self.orders.aborted:
                asyncio.set_event_loop(None)
                loop.close()

    def _open_desk(self, endpoint: Endpoint, loop: asyncio.AbstractEventLoop) -> Desk:
        """Answer questions about all workers of this master."""
        from uvicorn_worker.metrics.answers import Answers
        from uvicorn_worker.metrics.desk import Desk

        answers = Answers(
            self.board,
            ready=lambda: self.board.ready(time.monotonic()) > 0,
            now=time.monotonic,
        )
        desk = Desk(endpoint.sockets, self.board, answers, log=self.log, loop=loop)
        desk.start()
        return desk

    def _run_loop(self, loop: asyncio.AbstractEventLoop, life: Life, server: Service) -> None:
        loop.add_reader(self.PIPE[0], life.signalled, self.PIPE[0])
        whole_life = loop.create_task(life.run())
        life.signalled(self.PIPE[0])  # what came before there was a loop
        while not whole_life.done():
            self._turn_loop(loop, whole_life)
        whole_life.result()
        loop.remove_reader(self.PIPE[0])
        if self._desk is not None:
            loop.run_until_complete(self._desk.stop())
        loop.run_until_complete(clean_up([cycle.task for cycle in server.state.cycles]))

    def _turn_loop(self, loop: asyncio.AbstractEventLoop, whole_life: asyncio.Task[None]) -> None:
        """Run the loop until the task is done, or somebody has asked the process to exit."""
        try:
            loop.run_until_complete(whole_life)
        except (SystemExit, KeyboardInterrupt) as exc:
            if self.orders.aborted:
                raise
            if self.orders.overdue:
                if self.orders.quit_at is not None:
                    self.interrupted()
                raise SystemExit(EXIT_STOPPED) from None
            self._application_exited(exc)
        except RuntimeError:
            if not self.orders.aborted:  # `loop.stop()` else
                raise
            raise SystemExit(EXIT_ABORTED) from None

    def _loop_complains(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle what nobody caught on the loop."""
        exc = context.get("exception")
        if not isinstance(exc, (SystemExit, KeyboardInterrupt)):
            loop.default_exception_handler(context)
        elif not (self.orders.aborted or self.orders.overdue):
            # uvloop keeps what a protocol raises to itself.
            self._application_exited(exc)

    def _application_exited(self, exc: BaseException) -> None:
        """Others' requests are in flight: let them end before the worker exits."""
        if self._life is not None and self.alive:
            self.log.error("The application raised %r: this worker drains and exits", exc)
            self.alive = False
            self._life.wake()


def _describe(exc: Exception) -> str:
    return f"application startup failed: {exc}" if isinstance(exc, LifespanError) else str(exc)


def _unless_plain(exc: Exception) -> Exception | None:
    """Return what to log the traceback of: nothing where the message says it all."""
    return None if isinstance(exc, WorkerError) and exc.__cause__ is None else exc


class UvicornH11Worker(UvicornWorker):
    """Serves an ASGI application with asyncio, h11 and wsproto: nothing compiled, for PyPy too."""

    CONFIG_KWARGS: ClassVar[Mapping[str, Any]] = {
        "loop": "asyncio",
        "http": "h11",
        "ws": "wsproto",
    }
