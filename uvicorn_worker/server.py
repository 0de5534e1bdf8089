"""The public server of one process: `Server(config).run()`, or on somebody else's event loop.

What it does from its start to its end is in `process.single`; here is who may tell it what, and
when.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from uvicorn_worker.application.importing import load_application
from uvicorn_worker.config import TLS, Config
from uvicorn_worker.errors import (
    EXIT_APP_EXITED,
    EXIT_BOOT_ERROR,
    EXIT_STOPPED,
    LifespanError,
    WorkerError,
    exit_code,
)
from uvicorn_worker.logs.setup import configure_logging, reopen_logs
from uvicorn_worker.logs.tracing import trace
from uvicorn_worker.loops import clean_up, new_event_loop
from uvicorn_worker.options.declared import options_of
from uvicorn_worker.options.files import load_env_file
from uvicorn_worker.process.interruption import Interrupted
from uvicorn_worker.process.signalled import SignalledServer
from uvicorn_worker.process.single import SingleLife
from uvicorn_worker.proxies.headers import trust_summary
from uvicorn_worker.service import Service
from uvicorn_worker.sockets.inherited import ACCEPTING
from uvicorn_worker.sockets.opening import bind_all, describe, remove_files

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from types import TracebackType

    from uvicorn_worker.asgi import Application
    from uvicorn_worker.logs.access import AccessLog
    from uvicorn_worker.tls.renewal import TLSContexts


class Listening(NamedTuple):
    """What `Server.servers` has in it, for people who look for the port there."""

    sockets: tuple[socket.socket, ...]


# What subclasses of Uvicorn's server override, and what does the same here.
NOT_STEPS: Final = {
    "startup": "use `async with server:`, the lifespan, or callback_notify and `started`",
    "main_loop": "await serve(), or use `async with server:`",
    "on_tick": "callback_notify of Config is called each timeout_notify seconds",
}


class Server(SignalledServer):
    """Serves the application of one configuration, once.

    Logging is configured when the server is made, so that whatever the program changes in it
    afterwards holds.

    Attributes: `started`, true from the first connection that is accepted on; `owns_process`, set
    by the command: nothing else lives here, see `process.heap`.
    """

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Refuse steps of Uvicorn's server that are not called here: TypeError."""
        super().__init_subclass__(**kwargs)
        for name, instead in NOT_STEPS.items():
            if name in vars(cls):
                raise TypeError(f"{cls.__name__}.{name} would never be called: {instead}")

    def __init__(self, config: Config) -> None:
        """Take a configuration; raises ConfigError where its `log_config` cannot be used."""
        super().__init__()
        self.config = config
        self.started = False
        self.owns_process = False
        self.log = logging.getLogger("uvicorn.error")
        self._exit_code = EXIT_STOPPED
        self._exited: BaseException | None = None  # what the application has raised to end us
        self._listeners: tuple[socket.socket, ...] = ()
        self._tls: TLSContexts | None = None
        self._service: Service | None = None
        self._ready: asyncio.Event | None = None
        self._ended: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None
        self._notifying: asyncio.Task[None] | None = None
        self._access_log: AccessLog | None = None
        configure_logging(config)
        if (config.workers or 1) > 1 or config.reload:
            self.log.warning(
                "Server is one process: for workers and reload run uvicorn-supervisor, "
                "or uvicorn_supervisor.run() from code"
            )

    @property
    def servers(self) -> list[Listening]:
        """The sockets it listens on, once it does: `server.servers[0].sockets[0]`."""
        return [Listening(self._listeners)] if self._listeners else []

    @property
    def url(self) -> str:
        """Where it listens first, such as `http://127.0.0.1:8000`; RuntimeError before it does."""
        if not self._listeners:
            raise RuntimeError("the server does not listen: it has not started, or has stopped")
        return describe(self._listeners[0], tls=self.config.is_ssl)

    # -- running it

    def run(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Serve on an event loop of its own until told to stop; in the main thread by signals too.

        `sockets` take the place of those that the configuration names, and are closed at the end.

        Raises:
            RuntimeError: a loop runs in this thread already.
            SystemExit: it could not start, or the application has ended it; the log says why. See
                `errors` for the codes.
        """
        _refuse_running_loop()
        with self.capture_signals():
            try:
                self._run(sockets)
            except WorkerError as exc:
                self._say_why(exc)
                raise SystemExit(exit_code(exc)) from None
        if self._exit_code != EXIT_STOPPED:
            raise SystemExit(self._exit_code)

    async def serve(
        self, sockets: Sequence[socket.socket] | None = None, *, signals: bool | None = None
    ) -> None:
        """Serve on the running event loop until told to stop; cancelling it stops it quickly.

        `sockets` as in `run`. With `signals` the server answers them as in `run` while it serves,
        and nothing else does; without, they are left to whoever owns the loop. None: it answers
        them where nobody else would, as in `asyncio.run(server.serve())`.

        Raises:
            WorkerError: it could not start: AppLoadError, ConfigError or LifespanError.
        """
        if signals is None:
            signals = _alone_on_the_loop()
        with self.capture_signals() if signals else contextlib.nullcontext():
            await self._serve(sockets)

    async def shutdown(self, sockets: object = None) -> None:
        """Stop a server that serves on this loop, and wait for its end. No request may do so."""
        self.should_exit = True
        if self._ended is not None:
            await self._ended.wait()

    async def __aenter__(self) -> Server:
        """Return the server when it accepts; raises as `serve` where it cannot."""
        self._ready = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self.serve())
        ready = asyncio.ensure_future(self._ready.wait())
        try:
            await asyncio.wait((self._task, ready), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._task.cancel()
            raise
        finally:
            ready.cancel()
        if self._task.done():
            self._task.result()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.should_exit = True
        if self._task is not None:
            await self._task

    # -- signals that are not the end

    def _answer(self, sig: int) -> None:
        """Do what a signal asks for that does not mean the end; on the loop."""
        if sig == signal.SIGUSR1:
            reopen_logs()
            self.log.info("SIGUSR1: log files have been opened again")
        elif self._terminal_is_gone():
            self.log.info("SIGHUP: the terminal is gone")
            self.should_exit = True
        else:
            self._reload()

    def _reload(self) -> None:
        self.log.info("SIGHUP: reading certificates and the configuration of the log again")
        try:
            # One that is no file has not changed; what the program has changed since, holds.
            if isinstance(self.config.log_config, str):
                configure_logging(self.config)
            reopen_logs()
            self._observe()
        except WorkerError as exc:
            self.log.error("The log goes on as it was: %s", exc)
        if self._tls is not None:
            self._tls.reload()

    # -- a life

    def _run(self, sockets: Sequence[socket.socket] | None) -> None:
        loop = new_event_loop(self.config.loop)
        asyncio.set_event_loop(loop)
        loop.set_exception_handler(self._loop_complains)
        try:
            serving = loop.create_task(self._serve(sockets))
            while not serving.done():
                self._turn(loop, serving)
            serving.result()
        finally:
            cycles = () if self._service is None else tuple(self._service.state.cycles)
            loop.run_until_complete(clean_up([cycle.task for cycle in cycles]))
            asyncio.set_event_loop(None)
            loop.close()
            self._flush()

    def _turn(self, loop: asyncio.AbstractEventLoop, serving: asyncio.Task[None]) -> None:
        """Run the loop until the task is done, or somebody has asked the process to exit."""
        try:
            loop.run_until_complete(serving)
        except (SystemExit, KeyboardInterrupt) as exc:
            if self._overdue:
                raise SystemExit(EXIT_STOPPED) from None
            if not serving.done():
                self._application_exited(exc)

    def _loop_complains(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle what nobody caught on the loop."""
        exc = context.get("exception")
        if not isinstance(exc, (SystemExit, KeyboardInterrupt)):
            loop.default_exception_handler(context)
        elif not self._overdue:  # uvloop keeps what a protocol raises to itself
            self._application_exited(exc)

    def _application_exited(self, exc: BaseException) -> None:
        """Others' requests are in flight: let them end before the process does."""
        if exc is self._exited:  # told by the loop, and by its handler of exceptions
            return
        self._exited = exc
        if not isinstance(exc, SystemExit) or exc.code:
            # Not its own code, which may be one of those that supervisors act on.
            self._exit_code = EXIT_APP_EXITED if self.started else EXIT_BOOT_ERROR
        if self.started:
            self.log.error("The application raised %r: the server drains and exits", exc)
        else:
            self.log.error("The application raised %r when it was started", exc)
            self.force_exit = True  # it will not say any more that it has started
        self.should_exit = True

    async def _serve(self, sockets: Sequence[socket.socket] | None) -> None:
        if self._ended is not None:
            raise RuntimeError("a server serves once: make another one")
        self._ended = asyncio.Event()
        self._orders.attach(asyncio.get_running_loop())
        try:
            self.log.info("Started server process [%d]", os.getpid())
            self.log.info("%s", trust_summary(self.config))
            app = None if self.should_exit else self._load()
            if app is None or self.should_exit:
                return
            self._tls = self._make_tls()
            if sockets is None:
                sockets = bind_all(self.config, os.environ, explicit=self._named(), log=self.log)
            self._listeners = tuple(map(self._listen, sockets))
            await self._live(app)
            self.log.info("Finished server process [%d]", os.getpid())
        finally:
            remove_files(self._listeners)
            for sock in self._listeners:
                sock.close()
            self._listeners = ()
            self._orders.attach(None)
            self._flush()
            self._ended.set()

    def _load(self) -> Application | None:
        """Return the application, None where a signal has put an end to its loading."""
        load_env_file(self.config.env_file, os.environ)
        if self.config.loaded:
            return trace(self.config.loaded_app)
        try:
            return trace(self._loading.run(lambda: load_application(self.config, self.log)))
        except Interrupted:
            return None

    def _say_why(self, exc: WorkerError) -> None:
        if isinstance(exc, LifespanError):
            self.log.error("Application startup failed: %s", exc)
        else:
            self.log.error("%s", exc, exc_info=exc.__cause__)

    def _make_tls(self) -> TLSContexts | None:
        options = [option for option in options_of(Config).values() if option.group == TLS]
        if all(getattr(self.config, option.name) == option.default for option in options):
            return None  # 3 ms less of a start than to ask those who know
        from uvicorn_worker.tls.renewal import make_tls

        return make_tls(self.config, self.log)

    def _named(self) -> bool:
        """Whether somebody has named a host or port; else sockets of systemd's are taken."""
        return (self.config.host, self.config.port) != ("127.0.0.1", 8000)

    def _listen(self, sock: socket.socket) -> socket.socket:
        if ACCEPTING is None or not sock.getsockopt(socket.SOL_SOCKET, ACCEPTING):
            sock.listen(self.config.backlog)
        return sock

    async def _live(self, app: Application) -> None:
        loop = asyncio.get_running_loop()
        self._service = service = Service(
            self.config,
            app,
            sockets=self._listeners,
            log=self.log,
            loop=loop,
            tls=self._tls,
            owns_process=self.owns_process,
        )
        life = SingleLife(
            self.config,
            service,
            self._orders,
            self.log,
            on_ready=self._accepts,
            on_stop=lambda: remove_files(self._listeners),
            on_signal=self._answer,
        )
        try:
            await life.run()
        finally:
            if self._notifying is not None:
                self._notifying.cancel()

    async def _notify(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Await the callback again and again, whatever comes of it."""
        while True:
            try:
                await callback()
            except Exception:
                self.log.exception("callback_notify failed")
            await asyncio.sleep(self.config.timeout_notify)

    def _observe(self) -> None:
        """Log requests from now on, where somebody wants to see them and none are yet."""
        if self._service is None or self._service.state.observer or not self.config.access_log:
            return
        from uvicorn_worker.logs.access import make_access_log  # 5 ms of a start

        self._access_log = self._service.state.observer = make_access_log(self.config)

    def _flush(self) -> None:
        """Write the lines of what has just ended: no turn of the loop will come for that."""
        if self._access_log is not None:
            self._access_log.flush()

    def _accepts(self) -> None:
        """Connections are accepted: tell people, and programs that wait for it."""
        self._observe()  # after the application's startup, which may have added handlers
        self.log.info("Application startup complete")
        for sock in self._listeners:
            self.log.info(
                "uvicorn-worker running on %s (Press CTRL+C to quit)",
                describe(sock, tls=self.config.is_ssl),
            )
        self.started = True
        if (callback := self.config.callback_notify) is not None:
            self._notifying = asyncio.get_running_loop().create_task(self._notify(callback))
        if self._ready is not None:
            self._ready.set()


def _alone_on_the_loop() -> bool:
    """Return whether the running loop has no other task, and a stop of the process no handler."""
    stops = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    return stops and asyncio.all_tasks() == {asyncio.current_task()}


def _refuse_running_loop() -> None:
    """Raise RuntimeError where a loop runs already, as in notebooks: none can run inside it."""
    if asyncio._get_running_loop() is not None:
        raise RuntimeError(
            "an event loop runs here already: `await Server(config).serve()` serves on it, "
            "`async with Server(config)` in the background"
        )
