"""What people's subclasses, commands and applications rely on; and what is refused at the start."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.asking import ask
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.support.gunicorn import StartGunicorn

APP = "tests.apps.report:app"

SUBCLASS = """
from uvicorn_worker import UvicornWorker

class Worker(UvicornWorker):
    CONFIG_KWARGS = {{{}}}
"""


def test_config_kwargs_of_a_subclass_win(gunicorn: StartGunicorn) -> None:
    kwargs = (
        "'loop': 'asyncio', 'http': 'h11', 'root_path': '/mine', 'server_header': False, "
        "'date_header': False, 'headers': [('X-Mine', 'yes')], 'timeout_keep_alive': 0"
    )
    server = gunicorn(
        APP,
        "--keep-alive=9",
        env={"UVICORN_ROOT_PATH": "/environment"},
        worker_class="mine.Worker",
        files={"mine.py": SUBCLASS.format(kwargs)},
    )

    reply = ask(server)

    assert (reply.json()["root_path"], reply.json()["loop"]) == ("/mine", "asyncio")
    assert reply.headers["x-mine"] == "yes"
    assert "server" not in reply.headers
    assert "date" not in reply.headers


@pytest.mark.parametrize(
    ("app", "kwargs"),
    [
        ("tests.apps.report:create_app", ""),
        ("tests.apps.report:create_app", "'factory': True"),
        ("tests.apps.report:create_app('x')", ""),
        ("tests.apps.report:DoubleCallable", ""),
    ],
)
def test_applications_of_every_shape_are_served(
    gunicorn: StartGunicorn, app: str, kwargs: str
) -> None:
    server = gunicorn(app, worker_class="mine.Worker", files={"mine.py": SUBCLASS.format(kwargs)})

    assert ask(server).status == 200
    warned = "is a factory, not an application" in server.log_text()
    assert warned is (app.endswith(":create_app") and not kwargs)


def test_a_hook_may_wrap_the_application(gunicorn: StartGunicorn) -> None:
    server = gunicorn(
        APP,
        config="def post_worker_init(worker):\n"
        "    inner = worker.wsgi\n"
        "    async def outer(scope, receive, send):\n"
        "        await inner({**scope, 'path': '/wrapped'}, receive, send)\n"
        "    worker.wsgi = outer\n",
    )

    assert ask(server).json()["path"] == "/wrapped"


REFUSED = [
    pytest.param(["--keyfile=gunicorn.conf.py"], "", "", "without certfile", id="lone-key"),
    pytest.param([], "'bogus': 1", "", "CONFIG_KWARGS['bogus']", id="unknown-key"),
    pytest.param([], "", "trio", "UVICORN_LOOP='trio'", id="variable"),
]


@pytest.mark.parametrize(("args", "kwargs", "loop", "words"), REFUSED)
def test_what_cannot_be_honoured_stops_the_start(
    gunicorn: StartGunicorn, args: list[str], kwargs: str, loop: str, words: str
) -> None:
    server = gunicorn(
        APP,
        *args,
        env={"UVICORN_LOOP": loop},
        worker_class="mine.Worker",
        files={"mine.py": SUBCLASS.format(kwargs)},
        expect_exit=1,
    )

    assert server.wait_exit() == 1
    assert server.log_text().count("Error: ") == 1
    assert words in server.log_text()
    assert "Traceback" not in server.log_text()
    assert "Booting worker" not in server.log_text()


def test_a_refused_setting_does_not_end_a_server_that_reloads(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, "--graceful-timeout", "1")
    old = ask(server).json()["pid"]
    (server.folder / "gunicorn.conf.py").write_text("strip_header_spaces = True\n")

    server.signal(signal.SIGHUP)
    server.wait_for_log("Worker cannot boot, another one tries again in 1 s")
    assert "strip_header_spaces=True" in server.log_text()
    server.wait_for_log("Reload called off")
    (server.folder / "gunicorn.conf.py").write_text("")
    server.signal(signal.SIGHUP)

    [new] = server.wait_for_workers(1, without={old})
    assert eventually(lambda: ask(server).json()["pid"] == new)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def app(environ, start_response): return []\n", "looks like a WSGI application"),
        ("app = lambda a, b, c, d: None\n", "is not an ASGI application"),
    ],
)
def test_what_is_no_asgi_application_halts_the_server(
    gunicorn: StartGunicorn, text: str, words: str
) -> None:
    server = gunicorn("wrong:app", files={"wrong.py": text}, expect_exit=3)

    assert server.wait_exit() == 3
    assert words in server.log_text()
    assert "Traceback" not in server.log_text()


def test_ignored_settings_are_warned_about_once(gunicorn: StartGunicorn) -> None:
    server = gunicorn(
        APP, "--threads=4", "--workers=2", "--log-level=debug", "--do-handshake-on-connect"
    )
    server.wait_for_workers(2)

    log = server.log_text()
    assert log.count("threads=4 is ignored") == 1
    assert log.count("do_handshake_on_connect has no effect") == 1
