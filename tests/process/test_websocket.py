"""WebSockets under real Gunicorn: stops, reloads, recycling, settings, and the access log."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.crowd import talk_until_closed
from tests.support.rawhttp import End
from tests.support.rawws import TEXT, RawWebSocket, close_frame, frame, request
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.gunicorn import RunningGunicorn, StartGunicorn

APP = "tests.apps.websocket:marking"
MANY = 500

pytestmark = pytest.mark.slow


@pytest.fixture
def connect() -> Iterator[Callable[..., RawWebSocket]]:
    """Return an open WebSocket to a server; `worker` on it is the process that serves it."""
    with contextlib.ExitStack() as stack:

        def run(server: RunningGunicorn, **options: Any) -> RawWebSocket:
            assert isinstance(server.address, tuple)
            client = stack.enter_context(RawWebSocket(server.address))
            client.open(**options)
            assert str(client.read_message()).isdigit()
            return client

        yield run


def see_close(client: RawWebSocket, code: int = 1012) -> None:
    """Check that the server closes with `code`, and in order."""
    assert client.read_close() == (code, "")
    client.send(close_frame(code))
    assert client.finish() is End.EOF


@pytest.mark.parametrize("worker", ["UvicornWorker", "UvicornH11Worker"])
def test_term_closes_every_websocket_with_1012(
    worker: str, gunicorn: StartGunicorn, connect: Callable[..., RawWebSocket]
) -> None:
    server = gunicorn(APP, "--workers=2", worker_class=f"uvicorn_worker.{worker}")
    clients = [connect(server) for _ in range(MANY)]

    talk_until_closed(clients, 1012, begin=lambda: server.signal(signal.SIGTERM))
    assert server.wait_exit() == 0
    lines = server.marks_file.read_text().splitlines()
    assert len([line for line in lines if line.startswith("left-1012 ")]) == MANY
    for pid in {line.split()[1] for line in lines}:  # the shutdown comes after the last goodbye
        assert [line for line in lines if line.endswith(f" {pid}")][-1] == f"shutdown {pid}"


@pytest.mark.parametrize("workers", [1, 2])
def test_hup_closes_every_websocket_with_1012(
    workers: int, gunicorn: StartGunicorn, connect: Callable[..., RawWebSocket]
) -> None:
    server = gunicorn(APP, f"--workers={workers}")
    clients = [connect(server) for _ in range(MANY)]
    old = server.worker_pids()

    talk_until_closed(clients, 1012, begin=lambda: server.signal(signal.SIGHUP))
    # Whoever comes back at once finds a worker.
    with_new = connect(server)
    with_new.send(frame(TEXT, b"hello"))
    assert with_new.read_message() == "hello"
    eventually(lambda: server.worker_pids().isdisjoint(old))
    assert len(server.marks("left-1012")) == MANY


def test_clients_of_a_lone_worker_stay_until_the_next_one_serves(
    gunicorn: StartGunicorn, connect: Callable[..., RawWebSocket]
) -> None:
    server = gunicorn(APP, "--workers=1", config="def post_fork(server, worker): pass")
    client = connect(server)
    server.signal(signal.SIGHUP)
    see_close(client)

    # It is there already: the very next connection is to it.
    newcomer = connect(server)
    newcomer.send(close_frame(1000))
    assert newcomer.read_close()[0] == 1000
    eventually(lambda: server.worker_pids() == set(server.marks("left-1000")))
    assert server.marks("left-1012") != server.marks("left-1000")


def test_a_worker_that_is_recycled_closes_with_1012(
    gunicorn: StartGunicorn, connect: Callable[..., RawWebSocket]
) -> None:
    server = gunicorn(APP, "--workers=1", "--max-requests=3")
    clients = [connect(server) for _ in range(3)]

    for client in clients:
        see_close(client)
    server.wait_for_log("Autorestarting worker")
    eventually(lambda: len(server.marks("left-1012")) >= 3)
    (pid, *_) = server.marks("left-1012")
    eventually(lambda: served_by_another(server, pid))


def served_by_another(server: RunningGunicorn, pid: int) -> bool:
    """Return whether a new conversation is with another process."""
    assert isinstance(server.address, tuple)
    with RawWebSocket(server.address) as client:
        client.open()
        received = client.read_frame()  # the close frame, if it came to the one that goes
        return received.opcode == TEXT and received.payload != str(pid).encode()


def test_a_quick_stop_closes_with_1012(
    gunicorn: StartGunicorn, connect: Callable[..., RawWebSocket]
) -> None:
    server = gunicorn(APP)
    clients = [connect(server) for _ in range(50)]
    server.signal(signal.SIGINT)

    for client in clients:
        see_close(client)
    assert server.wait_exit() == 0


def test_a_client_that_does_not_answer_does_not_keep_a_worker(
    gunicorn: StartGunicorn, connect: Callable[..., RawWebSocket]
) -> None:
    server = gunicorn(APP, "--graceful-timeout=3")
    client = connect(server)
    server.signal(signal.SIGTERM)

    assert client.read_close() == (1012, "")
    assert server.wait_exit(5) == 0
    assert len(server.marks("left-1012")) == len(server.marks("shutdown")) == 1


# -- settings


def test_the_environment_sets_every_option(gunicorn: StartGunicorn) -> None:
    server = gunicorn(
        APP,
        env={
            "UVICORN_WS": "wsproto",
            "UVICORN_WS_MAX_SIZE": "10",
            "UVICORN_WS_MAX_QUEUE": "2",
            "UVICORN_WS_PING_INTERVAL": "0.1",
            "UVICORN_WS_PING_TIMEOUT": "0.1",
            "UVICORN_WS_PER_MESSAGE_DEFLATE": "false",
        },
    )
    assert isinstance(server.address, tuple)
    with RawWebSocket(server.address) as client:
        client.open(headers=[("Sec-WebSocket-Extensions", "permessage-deflate")])
        assert client.handshake.all(b"sec-websocket-extensions") == []
        client.read_message()
        client.send(frame(TEXT, b"x" * 11))
        assert client.read_close() == (1009, "message is too big")
    with RawWebSocket(server.address) as client:
        client.open()
        client.read_message()
        assert client.read_frame().opcode == 9
        assert client.read_close() == (1011, "keepalive ping timeout")


def test_gunicorns_own_setting_limits_messages(
    gunicorn: StartGunicorn, connect: Callable[..., RawWebSocket]
) -> None:
    server = gunicorn(
        APP,
        worker_class="mine.Worker",
        files={
            "mine.py": "from uvicorn_worker import UvicornWorker\n"
            "class Worker(UvicornWorker):\n"
            "    CONFIG_KWARGS = {'ws_max_size': 5, 'ws_ping_interval': None}\n"
        },
    )
    client = connect(server)
    client.send(frame(TEXT, b"12345"))
    assert client.read_message() == "12345"
    client.send(frame(TEXT, b"123456"))

    assert client.read_close() == (1009, "message is too big")


def test_ws_none_is_plain_http(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, env={"UVICORN_WS": "none"})
    assert isinstance(server.address, tuple)
    with RawWebSocket(server.address) as client:
        client.send(request())
        answer = client.read_response()
    assert (answer.status, answer.body) == (200, b"http")


def test_the_access_log_has_a_line_when_it_is_over(
    gunicorn: StartGunicorn, connect: Callable[..., RawWebSocket]
) -> None:
    server = gunicorn(
        APP,
        "--access-logfile=-",
        "--access-logformat=ACCESS %(r)s %(s)s %(B)s %({upgrade}i)s %({upgrade}o)s %(M)s",
    )
    client = connect(server, path="/talk?a=1")
    client.send(frame(TEXT, b"x" * 1000))
    client.read_message()
    assert "ACCESS" not in server.log_text()
    client.send(close_frame(1000))
    client.read_close()

    log = server.wait_for_log("ACCESS GET /talk?a=1 HTTP/1.1 101 ")
    line = next(line for line in log.splitlines() if line.startswith("ACCESS"))
    sent = 1000 + len(str(server.marks("left-1000")[0]))
    assert line.split()[4:8] == ["101", str(sent), "websocket", "websocket"]
    with RawWebSocket(client._peer) as wrong:
        wrong.send(request(without=["Sec-WebSocket-Key"]))
        assert wrong.read_response().status == 400
    server.wait_for_log("ACCESS GET / HTTP/1.1 400 ")


def test_hooks_run_around_a_websocket(
    gunicorn: StartGunicorn, connect: Callable[..., RawWebSocket]
) -> None:
    server = gunicorn(
        APP,
        config="def pre_request(worker, req):\n"
        "    worker.log.warning('PRE %s %s', req.method, req.uri)\n"
        "def post_request(worker, req, environ, resp):\n"
        "    worker.log.warning('POST %s %s', resp.status_code, environ['HTTP_UPGRADE'])\n",
    )
    client = connect(server, path="/talk")
    server.wait_for_log("PRE GET /talk")
    client.send(close_frame(1000))
    client.read_close()

    server.wait_for_log("POST 101 websocket")
