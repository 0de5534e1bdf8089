"""Programs that people have written for Uvicorn: what they call is here, or says why not."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import uvicorn_worker
from tests.support.command import environment
from tests.support.ports import free_port
from tests.support.rawhttp import RawClient
from tests.support.replies import ask
from tests.support.waiting import eventually
from uvicorn_worker.config import Config
from uvicorn_worker.errors import AppLoadError, ConfigError
from uvicorn_worker.main import Server, run

if TYPE_CHECKING:
    from pathlib import Path

    from uvicorn_worker.asgi import Receive, Scope, Send

pytestmark = pytest.mark.usefixtures("own_loggers")

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
    port = free_port()
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
            return ask(("127.0.0.1", port), "/").text
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


@pytest.mark.parametrize("step", ["startup", "main_loop", "on_tick"])
def test_steps_that_would_never_be_called_are_refused(step: str) -> None:
    with pytest.raises(TypeError, match=rf"Mine\.{step} would never be called: \S"):
        type("Mine", (uvicorn_worker.Server,), {step: lambda self: None})
