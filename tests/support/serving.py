"""Run the server inside the test process: a thread, a real socket, the records of its log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from tests.support.logstate import Records
from uvicorn_worker.serverconfig import ServerConfig
from uvicorn_worker.service import Service
from uvicorn_worker.tls.context import Loaded
from uvicorn_worker.tls.renewal import TLSContexts

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

    from uvicorn_worker.asgi import Application
    from uvicorn_worker.state import RequestObserver

STOP_TIMEOUT = 10.0


@dataclass
class RunningServer:
    """A server that accepts on `address`; `log` grows while it runs."""

    address: Any
    server: Service
    loop: asyncio.AbstractEventLoop
    log: list[logging.LogRecord] = field(default_factory=list)

    @property
    def host(self) -> str:
        return str(self.address[0])

    @property
    def port(self) -> int:
        return int(self.address[1])

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def messages(self, level: int = logging.DEBUG) -> list[str]:
        """Return the texts logged so far, from `level` on."""
        return [record.getMessage() for record in self.log if record.levelno >= level]

    def call(self, function: Any, *args: Any) -> Any:
        """Call a function on the server's loop and return its result."""

        async def run() -> Any:
            result = function(*args)
            return await result if asyncio.iscoroutine(result) else result

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(STOP_TIMEOUT)


class Held:
    """Keeps the server's loop busy until it is left: what comes meanwhile waits in the kernel."""

    def __init__(self, loop: Any) -> None:
        self._held, self._release = threading.Event(), threading.Event()
        self._loop = loop

    def __enter__(self) -> None:
        self._loop.call_soon_threadsafe(self._hold)
        assert self._held.wait(10)

    def _hold(self) -> None:
        self._held.set()
        self._release.wait(10)

    def __exit__(self, *_: object) -> None:
        self._release.set()


def new_loop(name: Literal["auto", "asyncio", "uvloop"]) -> asyncio.AbstractEventLoop:
    from uvicorn_worker.loops import new_event_loop

    return new_event_loop(name)


@contextlib.contextmanager
def serve(
    app: Application,
    *,
    http: Literal["auto", "httptools", "h11"] = "httptools",
    loop: Literal["auto", "asyncio", "uvloop"] | None = None,
    uds: Path | None = None,
    tls: TLSContexts | None = None,
    ssl_context: ssl.SSLContext | None = None,
    observer: RequestObserver | None = None,
    room: memoryview | None = None,
    **config: Any,
) -> Iterator[RunningServer]:
    """Serve `app`; `config` are ServerConfig fields. The loop follows the parser unless given."""
    if uds is None:
        listener = socket.create_server(("127.0.0.1", 0))
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(uds))
        listener.listen()
    address = listener.getsockname()
    event_loop = new_loop(loop or ("asyncio" if http == "h11" else "auto"))
    log = logging.Logger("test")  # not in the registry: tests do not see each other's records
    records = Records()
    log.addHandler(records)
    if ssl_context is not None:
        context = ssl_context
        tls = TLSContexts(lambda: Loaded(context), (), log)
    settings: dict[str, Any] = {"timeout_graceful_shutdown": 2.0, **config}
    server = Service(
        ServerConfig(http=http, **settings),
        app,
        sockets=[listener],
        log=log,
        loop=event_loop,
        tls=tls,
        observer=observer,
        room=room,
    )
    ready = threading.Event()
    failures: list[BaseException] = []
    stop = asyncio.Event()

    async def main() -> None:
        await server.startup()
        server.start_accepting()
        ready.set()
        await stop.wait()
        await server.quit(1.0)
        await server.shutdown(2.0)

    def run() -> None:
        try:
            event_loop.run_until_complete(main())
        except BaseException as exc:
            failures.append(exc)
        finally:
            event_loop.close()
            ready.set()

    thread = threading.Thread(target=run, name="server")
    thread.start()
    ready.wait(STOP_TIMEOUT)
    if failures:
        thread.join(STOP_TIMEOUT)
        raise failures[0]
    running = RunningServer(address, server, event_loop, records.records)
    try:
        yield running
    finally:
        if not event_loop.is_closed():
            event_loop.call_soon_threadsafe(stop.set)
        thread.join(STOP_TIMEOUT)
        assert not thread.is_alive(), "the server did not stop"
        if failures:
            raise failures[0]
