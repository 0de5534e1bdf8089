"""`Server` and `run` from code: in somebody else's loop, in a thread, in a `with` block."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import re
import signal
import socket
import threading
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from tests.apps.basic import app as basic
from tests.support.logstate import Lines
from tests.support.waiting import eventually, eventually_async
from uvicorn_worker.config import Config
from uvicorn_worker.errors import AppLoadError, ConfigError, LifespanError
from uvicorn_worker.main import Server, run

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("own_loggers")


def config(**options: Any) -> Config:
    return Config(**{"app": basic, "port": 0, "log_config": None, **options})


def get(url: str, path: str = "/") -> str:
    with urllib.request.urlopen(f"{url}{path}", timeout=10) as reply:
        text: str = reply.read().decode()
        return text


async def refused(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no"})


async def broken(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    raise OSError("no database")


# -- in somebody else's loop


def test_a_server_in_a_with_block() -> None:
    async def main() -> tuple[str, Server]:
        async with Server(config()) as server:
            return await asyncio.to_thread(get, server.url), server

    frozen = gc.get_freeze_count()
    text, server = asyncio.run(main())

    assert text == "Hello, world!\n"
    assert gc.get_freeze_count() == frozen  # the program's memory is its own affair
    with pytest.raises(RuntimeError, match="does not listen"):
        _ = server.url


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"app": "nowhere:app"}, AppLoadError, "there is no module 'nowhere'"),
        ({"app": refused}, LifespanError, "no"),
        ({"app": broken, "lifespan": "on"}, LifespanError, "raised OSError('no database')"),
        ({"host": "192.0.2.1"}, ConfigError, "this machine has no such address"),
    ],
)
def test_what_cannot_start_raises(
    options: dict[str, Any], error: type[Exception], said: str
) -> None:
    async def serve() -> None:
        await Server(config(**options)).serve()

    async def block() -> None:
        async with Server(config(**options)):
            raise AssertionError("it has started")

    for main in (serve, block):
        with pytest.raises(error, match=re.escape(said)):
            asyncio.run(main())


def test_serve_leaves_signals_to_others_and_ends_when_told() -> None:
    before = signal.getsignal(signal.SIGTERM)

    async def main() -> None:
        server = Server(config())
        serving = asyncio.create_task(server.serve())
        await eventually_async(lambda: server.started)
        assert signal.getsignal(signal.SIGTERM) is before
        port = server.servers[0].sockets[0].getsockname()[1]
        assert server.url == f"http://127.0.0.1:{port}"
        await server.shutdown()
        assert serving.done()
        with pytest.raises(RuntimeError, match="serves once"):
            await server.serve()

    asyncio.run(main())


def test_serve_answers_signals_when_asked() -> None:
    before = signal.getsignal(signal.SIGTERM)
    server = Server(config())

    async def main() -> None:
        serving = asyncio.create_task(server.serve(signals=True))
        await eventually_async(lambda: server.started)
        os.kill(os.getpid(), signal.SIGTERM)
        await serving

    asyncio.run(main())

    assert signal.getsignal(signal.SIGTERM) is before


def test_serve_answers_signals_where_nobody_else_would() -> None:
    """`asyncio.run(server.serve())`, as tutorials have it: nothing else could drain then."""
    before = signal.getsignal(signal.SIGTERM)
    server = Server(config())

    def stop() -> None:
        eventually(lambda: server.started)
        os.kill(os.getpid(), signal.SIGTERM)

    stopper = threading.Thread(target=stop)
    stopper.start()
    asyncio.run(server.serve())
    stopper.join()

    assert signal.getsignal(signal.SIGTERM) is before


def test_cancelling_serve_stops_quickly_and_in_order() -> None:
    ended = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            ended.append("lifespan")
            await send({"type": "lifespan.shutdown.complete"})
        else:
            ended.append("begun")
            await asyncio.sleep(60)

    async def main() -> None:
        server = Server(config(app=app))
        serving = asyncio.create_task(server.serve())
        await eventually_async(lambda: server.started)
        reader, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await eventually_async(lambda: ended)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert (await reader.read()).startswith(b"HTTP/1.1 500")
        writer.close()

    asyncio.run(asyncio.wait_for(main(), 10))

    assert ended == ["begun", "lifespan"]


def test_a_server_that_was_told_to_exit_before_does_not_start() -> None:
    server = Server(config(app="nowhere:app"))
    server.should_exit = True

    asyncio.run(server.serve())

    assert not server.started


def test_running_inside_a_loop_is_refused_with_what_to_do() -> None:
    async def notebook() -> None:
        run(basic, port=0, log_config=None)

    with pytest.raises(
        RuntimeError, match=r"runs here already: `await Server\(config\).serve\(\)`"
    ):
        asyncio.run(notebook())


# -- in a thread


class InThread(Server):
    """What people write to test against a real server."""

    def install_signal_handlers(self) -> None:
        pass

    @contextlib.contextmanager
    def run_in_thread(self) -> Iterator[None]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            eventually(lambda: self.started)
            yield
        finally:
            self.should_exit = True
            thread.join(10)
            assert not thread.is_alive()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_server_in_a_thread(loop: str) -> None:
    server = InThread(config(loop=loop))

    with server.run_in_thread():
        assert get(server.url) == "Hello, world!\n"


def test_sockets_may_be_given_bound_or_listening() -> None:
    bound, listening = socket.socket(), socket.create_server(("127.0.0.1", 0))
    bound.bind(("127.0.0.1", 0))
    server = InThread(config())
    thread = threading.Thread(target=lambda: server.run(sockets=[bound, listening]))
    thread.start()
    eventually(lambda: server.started)

    texts = [get(f"http://127.0.0.1:{sock.getsockname()[1]}") for sock in (bound, listening)]
    server.should_exit = True
    thread.join(10)

    assert texts == ["Hello, world!\n"] * 2
    assert (bound.fileno(), listening.fileno()) == (-1, -1)


def test_force_exit_ends_what_waits() -> None:
    server = InThread(config())
    with server.run_in_thread():
        address = server.servers[0].sockets[0].getsockname()
        with socket.create_connection(address) as client:
            client.sendall(b"GET /sleep?s=60 HTTP/1.1\r\nHost: a\r\n\r\n")
            eventually(lambda: server._service is not None and server._service.state.cycles)
            server.force_exit = True
            server.should_exit = True
            assert client.recv(100).startswith(b"HTTP/1.1 500")


# -- run


def test_run_refuses_what_only_a_supervisor_can_do() -> None:
    with pytest.raises(ConfigError, match=r"workers=2 needs a supervisor: uvicorn_supervisor.run"):
        run("a:b", workers=2)
    with pytest.raises(ConfigError, match="reload needs a supervisor"):
        run("a:b", reload=True)


def test_server_says_that_it_is_one_process(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("uvicorn").propagate = True

    Server(config(workers=2))

    assert "Server is one process" in caplog.text


@pytest.mark.parametrize(
    ("options", "code"),
    [({"app": "nowhere:app"}, 4), ({"app": refused}, 3), ({"host": "192.0.2.1"}, 1)],
)
def test_run_exits_with_the_code_of_the_command(options: dict[str, Any], code: int) -> None:
    with pytest.raises(SystemExit) as caught:
        run(**{"app": basic, "port": 0, "log_config": None, **options})

    assert caught.value.code == code


# -- the access log comes when somebody wants to see it


@pytest.mark.parametrize("when", ["at the application's startup", "before a reload"])
def test_a_handler_that_comes_late_sees_requests(when: str) -> None:
    lines = Lines()
    access = logging.getLogger("uvicorn.access")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan" and when != "before a reload":
            access.addHandler(lines)
        await basic(scope, receive, send)

    async def main() -> None:
        async with Server(config(app=app, log_level="info")) as server:
            if when == "before a reload":
                await asyncio.to_thread(get, server.url, "/?unseen")
                access.addHandler(lines)
                server.handle_other(signal.SIGHUP, None)
                await eventually_async(lambda: not server._orders.pending)
            await asyncio.to_thread(get, server.url, "/?seen")

    asyncio.run(main())

    assert [line.split()[3] for line in lines.lines] == ["/?seen"]
