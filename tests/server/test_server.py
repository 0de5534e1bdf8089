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
import subprocess
import sys
import threading
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

import uvicorn_worker
from tests.apps.basic import app as basic
from tests.support.command import environment
from tests.support.logstate import Lines
from tests.support.rawhttp import RawClient
from tests.support.waiting import eventually, eventually_async
from uvicorn_worker.config import Config
from uvicorn_worker.errors import AppLoadError, ConfigError, LifespanError
from uvicorn_worker.main import Server, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from uvicorn_worker.asgi import Receive, Scope, Send

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


# -- what people have in their programs

PROGRAMS = {
    "run": """
import uvicorn_worker
if __name__ == "__main__":
    uvicorn_worker.run("tests.apps.basic:app", port={port}, log_level="info", access_log=True,
                       reload=False)
""",
    "config and server": """
import uvicorn_worker
config = uvicorn_worker.Config("tests.apps.basic:app", port={port}, log_level="info")
server = uvicorn_worker.Server(config)
server.run()
""",
    "names from modules": """
import asyncio
from uvicorn_worker.config import Config
from uvicorn_worker.main import Server
config = Config(app="tests.apps.basic:app", host="0.0.0.0", port={port}, workers=2)
server = Server(config=config)
asyncio.run(server.serve())
""",
    "log_config": """
import uvicorn_worker
LOG_CONFIG = {{
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {{"json": {{
        "()": "pythonjsonlogger.jsonlogger.JsonFormatter",
        "format": "%(asctime)s %(name)s %(levelname)s %(message)s",
    }}}},
    "handlers": {{"default": {{
        "class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stdout",
    }}}},
    "loggers": {{name: {{"handlers": ["default"], "level": "INFO"}} for name in
        ("uvicorn", "uvicorn.error", "uvicorn.access")}},
}}
uvicorn_worker.run("tests.apps.basic:app", port={port}, log_config=LOG_CONFIG)
""",
    "in a coroutine": """
import asyncio
import uvicorn_worker
async def main():
    config = uvicorn_worker.Config("tests.apps.basic:app", port={port}, log_level="info")
    await uvicorn_worker.Server(config).serve()
if __name__ == "__main__":
    asyncio.run(main())
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_of_tutorials_run(name: str, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = PROGRAMS[name].format(port=port)
    if name == "log_config":
        pytest.importorskip("pythonjsonlogger")
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=tmp_path,
        env=environment({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )

    def answered() -> str:
        try:
            return get(f"http://127.0.0.1:{port}")
        except OSError:
            return ""

    try:
        assert eventually(answered) == "Hello, world!\n"
    finally:
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=10)[0].decode()
    assert process.returncode == 0, output
    assert "Finished server process" in output


def test_the_package_has_the_public_names() -> None:
    assert uvicorn_worker.Config is Config
    assert uvicorn_worker.Server is Server
    assert uvicorn_worker.run is run


# -- what else Uvicorn's `Config` can do


def test_a_configuration_loads_its_application_once() -> None:
    config = Config("tests.apps.basic:app", port=0)
    assert not config.loaded

    config.load()
    loaded = config.loaded_app

    assert config.loaded
    assert Server(config)._load() is loaded
    with pytest.raises(AppLoadError):
        Config("tests.apps.basic:application").load()


def test_a_configuration_binds_and_makes_loops() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
        server.should_exit = True

    config = Config(app, port=0, lifespan="off", log_config=None)
    config.configure_logging()
    server = Server(config)
    sock = config.bind_socket()
    assert sock.get_inheritable()
    with RawClient(sock.getsockname()) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        loop = config.get_loop_factory()()
        try:
            loop.run_until_complete(server.serve(sockets=[sock]))
        finally:
            loop.close()
        assert client.read_response().status == 204


def test_a_callback_is_called_while_the_server_runs(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[bool] = []

    async def notify() -> None:
        calls.append(server.started)
        server.should_exit = len(calls) == 3
        raise RuntimeError("nobody listens")

    config = Config(
        "tests.apps.basic:app", port=0, log_config=None, callback_notify=notify,
        timeout_notify=0.001, access_log=False,
    )  # fmt: skip
    server = Server(config)
    asyncio.run(server.serve())

    assert calls[:3] == [True, True, True]
    assert "callback_notify failed" in caplog.text


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"http2": True}, "http2=True: HTTP/2 is not served here"),
        ({"callback_notify": 1}, "callback_notify=1: expected a coroutine function"),
        ({"timeout_notify": 0}, "timeout_notify=0: expected a number of at least 0.001"),
    ],
)
def test_keywords_of_uvicorn_that_cannot_be_honoured(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=f"^{says}"):
        Config("a:b", **options)


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


@pytest.mark.parametrize("step", ["startup", "main_loop", "on_tick"])
def test_steps_that_would_never_be_called_are_refused(step: str) -> None:
    with pytest.raises(TypeError, match=rf"Mine\.{step} would never be called: \S"):
        type("Mine", (uvicorn_worker.Server,), {step: lambda self: None})
