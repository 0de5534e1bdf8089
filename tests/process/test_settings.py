"""Gunicorn's settings under a real Gunicorn: limits, connections, the event loop, the sockets."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.asking import ask, read_reply, told
from tests.support.gunicorn import VERSION
from tests.support.ports import free_port
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.support.gunicorn import StartGunicorn

APP = "tests.apps.report:app"
H11 = "uvicorn_worker.UvicornH11Worker"

# -- limits and parser strictness (Gunicorn counts a field with its line end)


@pytest.mark.parametrize("worker_class", ["uvicorn_worker.UvicornWorker", H11])
def test_limits_are_counted_as_gunicorn_does(gunicorn: StartGunicorn, worker_class: str) -> None:
    server = gunicorn(
        APP,
        "--limit-request-line=60",
        "--limit-request-fields=4",
        "--limit-request-field_size=50",
        worker_class=worker_class,
    )
    line = "GET /{} HTTP/1.1"
    field = "X-A: " + "x" * (50 - len("X-A: \r\n"))
    cases: dict[str, tuple[dict[str, Any], list[str], int]] = {
        "line at the limit": ({"line": line.format("x" * (60 - len(line) + 2))}, [], 200),
        "line above it": ({"line": line.format("x" * (61 - len(line) + 2))}, [], 414),
        "line far above it": ({"line": line.format("x" * 70_000)}, [], 414),
        "fields at the limit": ({}, ["X-A: 1", "X-B: 2"], 200),  # Host and Connection count
        "fields above it": ({}, ["X-A: 1", "X-B: 2", "X-C: 3"], 431),
        "field at the limit": ({}, [field], 200),
        "field above it": ({}, [field + "x"], 431),
        "field far above it": ({}, [field + "x" * 300_000], 431),
        "two hosts": ({}, ["Host: b"], 400),
        "two lengths": ({}, ["Content-Length: 0", "Content-Length: 1"], 400),
        "both framings": ({}, ["Content-Length: 0", "Transfer-Encoding: chunked"], 400),
        "unknown coding": ({}, ["Transfer-Encoding: gzip, chunked"], 501),
        "unknown expectation": ({}, ["Expect: tea"], 417),
        "version": ({"line": "GET / HTTP/1.7"}, [], 400),
        "space before the colon": ({}, ["X-A : 1"], 400),
        "folded field": ({}, ["X-A: 1", " 2"], 400),
    }

    found = {name: ask(server, *fields, **kw).status for name, (kw, fields, _) in cases.items()}

    assert found == {name: expected for name, (_, _, expected) in cases.items()}
    server.wait_for_log("Invalid request from ip=127.0.0.1: ")
    assert "[WARNING]" in server.log_text()


def test_limits_of_zero_are_wide(gunicorn: StartGunicorn) -> None:
    server = gunicorn(
        APP,
        "--limit-request-line=0",
        "--limit-request-fields=0",
        "--limit-request-field_size=0",
    )

    assert ask(server, line=f"GET /{'x' * 50_000} HTTP/1.1").status == 200
    assert ask(server, f"X-A: {'x' * 100_000}").status == 200
    assert ask(server, *[f"X-{number}: 1" for number in range(1000)]).status == 200
    assert ask(server, f"X-A: {'x' * 1_200_000}").status == 431  # ours: nothing is unbounded


def test_leniency_is_honoured_and_warned_about(gunicorn: StartGunicorn) -> None:
    folding = VERSION >= (23, 0)
    server = gunicorn(
        APP,
        "--permit-unconventional-http-version",
        *(["--permit-obsolete-folding"] if folding else []),
    )

    assert ask(server, line="GET / HTTP/1.7").status == 200
    if folding:
        assert ["x-a", "1 2"] in told(server, "X-A: 1", "  2")["headers"]
    assert server.log_text().count("unsafe, a proxy in front may read") == 1


# -- connections


def test_idle_connection_is_closed_after_keepalive(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, "--keep-alive=1")
    with server.connect() as sock:
        for version, fields in (("1.1", b""), ("1.0", b"Connection: keep-alive\r\n")):
            sock.sendall(b"GET / HTTP/%b\r\nHost: a\r\n%b\r\n" % (version.encode(), fields))
            reply = read_reply(sock)
            answered = time.monotonic()
            assert reply.headers.get("connection") == (None if version == "1.1" else "keep-alive")
        assert sock.recv(1) == b""

        assert 0.9 <= time.monotonic() - answered <= 1.8  # Gunicorn's default is 2


def test_keepalive_of_zero_is_announced(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, "--keep-alive=0")
    with server.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")

        assert read_reply(sock).headers["connection"] == "close"
        assert sock.recv(1) == b""


def test_connections_above_the_limit_wait_in_the_backlog(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, "--worker-connections=2", "--keep-alive=20")
    first, second, third = (server.connect() for _ in range(3))
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    try:
        for sock in (first, second, third):
            sock.sendall(request)
        assert read_reply(first).status == read_reply(second).status == 200
        server.wait_for_log("2 connections are open, the limit")
        first.sendall(request)  # the ones that are open go on
        assert read_reply(first).status == 200
        third.settimeout(0.2)
        with pytest.raises(TimeoutError):
            third.recv(1)

        second.close()
        third.settimeout(5)
        assert read_reply(third).status == 200
    finally:
        for sock in (first, second, third):
            sock.close()


def test_the_time_for_a_head_is_an_attribute_of_the_class(gunicorn: StartGunicorn) -> None:
    server = gunicorn(
        APP,
        worker_class="patient.Worker",
        files={
            "patient.py": "from uvicorn_worker import UvicornWorker\n"
            "class Worker(UvicornWorker):\n    request_head_timeout = 0.5\n"
        },
    )
    started = time.monotonic()
    with server.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n")

        assert read_reply(sock).status == 408
    assert time.monotonic() - started < 8


def test_backlog_of_the_listener_is_gunicorns(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, "--backlog=7", bind=["127.0.0.1:0"])
    server.get()
    port = server.address[1]
    try:
        listed = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        pytest.skip("no ss")

    [line] = [one for one in listed.splitlines() if f"127.0.0.1:{port} " in one]
    assert line.split()[2] == "7"


# -- the event loop and the lifespan


@pytest.mark.parametrize(
    ("args", "env", "worker_class", "loop"),
    [
        ([], {}, "uvicorn_worker.UvicornWorker", "uvloop"),
        ([], {}, H11, "asyncio"),
        (["--asgi-loop=asyncio"], {}, "uvicorn_worker.UvicornWorker", "asyncio"),
        (
            ["--asgi-loop=asyncio"],
            {"UVICORN_LOOP": "uvloop"},
            "uvicorn_worker.UvicornWorker",
            "uvloop",
        ),
        (["--env=UVICORN_LOOP=asyncio"], {}, "uvicorn_worker.UvicornWorker", "asyncio"),
    ],
)
def test_the_loop_is_the_one_that_was_asked_for(
    gunicorn: StartGunicorn, args: list[str], env: dict[str, str], worker_class: str, loop: str
) -> None:
    if VERSION < (24, 0) and "--asgi-loop=asyncio" in args:
        pytest.skip("Gunicorn has no asgi_loop yet")
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    server = gunicorn(APP, *args, env=env, worker_class=worker_class)

    assert told(server)["loop"] == loop


def test_lifespan_off_never_calls_the_application(gunicorn: StartGunicorn) -> None:
    off = ["--asgi-lifespan=off"] if VERSION >= (24, 0) else ["--env=UVICORN_LIFESPAN=off"]
    server = gunicorn(APP, *off)

    assert server.get("/").status == 200
    server.stop()

    assert server.marks("starting") == server.marks("stop") == []


RAISING_LIFESPAN = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        raise RuntimeError("no lifespan here")
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})
"""


def test_lifespan_auto_serves_an_application_that_raises_in_it(gunicorn: StartGunicorn) -> None:
    server = gunicorn("raising:app", files={"raising.py": RAISING_LIFESPAN})

    assert server.get("/").status == 204
    assert server.log_text().count("no lifespan here") == 1
    assert "[WARNING]" in server.log_text()


def test_lifespan_on_insists(gunicorn: StartGunicorn) -> None:
    server = gunicorn(
        "raising:app",
        env={"UVICORN_LIFESPAN": "on"},
        files={"raising.py": RAISING_LIFESPAN},
        expect_exit=3,
    )

    assert server.wait_exit() == 3
    assert "application startup failed" in server.log_text()


# -- sockets and processes


def test_every_bound_socket_is_served(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, bind=["unix:{folder}/a.sock", "127.0.0.1:0", "unix:{folder}/b.sock"])
    server.wait_for_log("Listening at: ")

    by_unix = told(server)
    assert (by_unix["server"], by_unix["client"]) == ([f"{server.folder}/a.sock", None], None)
    port = int(re.findall(r"http://127\.0\.0\.1:(\d+)", server.wait_for_log("Listening at"))[0])
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        by_tcp = read_reply(sock).json()
        assert by_tcp["server"] == ["127.0.0.1", port]
        assert by_tcp["client"] == list(sock.getsockname())
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(f"{server.folder}/b.sock")
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_reply(sock).json()["server"] == [f"{server.folder}/b.sock", None]
    server.stop()

    assert list(server.folder.glob("*.sock")) == []


def test_reuse_port_gives_each_worker_its_own_queue(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, "--reuse-port", "--workers=2", bind=[f"127.0.0.1:{free_port()}"])
    workers = server.wait_for_workers(2)
    address = ("127.0.0.1", int(server.binds[0].rpartition(":")[2]))

    def answering() -> set[int]:
        pids = set()
        for _ in range(20):
            with socket.create_connection(address, 5) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                pids.add(read_reply(sock).json()["pid"])
        return pids

    assert answering() == workers
    server.signal(signal.SIGHUP)
    renewed = server.wait_for_workers(2, without=workers)
    assert eventually(lambda: answering() == renewed)


def test_preloaded_application_is_imported_once_and_started_in_every_worker(
    gunicorn: StartGunicorn,
) -> None:
    server = gunicorn("tests.apps.basic:app", "--preload", "--workers=2")

    workers = server.wait_for_workers(2)

    assert server.marks("import") == [server.pid]
    assert set(server.marks("start")) == workers
