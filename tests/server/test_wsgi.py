"""WSGI applications: what they are given, what becomes of them when clients leave."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.rawhttp import RawClient
from tests.support.serving import RunningServer, serve
from tests.support.waiting import eventually
from uvicorn_worker.application.loading import resolve_application
from uvicorn_worker.application.wsgi import THREADS, adapt_wsgi
from uvicorn_worker.process.daemonthreads import DaemonThreads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    StartResponse = Callable[..., Callable[[bytes], None]]

GET = b"GET %b HTTP/1.1\r\nHost: example.org\r\n\r\n"
POST = b"POST %b HTTP/1.1\r\nHost: example.org\r\nContent-Length: 5\r\n\r\n"


class Endless:
    """Chunks without an end; counts the responses that were closed."""

    def __init__(self, app: App) -> None:
        self._app = app

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield b"x" * 65536

    def close(self) -> None:
        self._app.closed += 1


class App:
    """A WSGI application with one behaviour for each path."""

    def __init__(self) -> None:
        self.closed = 0
        self.raised: list[BaseException] = []
        self.environ: dict[str, Any] = {}
        self.threads: set[str] = set()
        self.barrier = threading.Barrier(THREADS)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        self.environ = environ
        self.threads.add(threading.current_thread().name)
        behaviour = getattr(self, environ["PATH_INFO"].strip("/"))
        chunks: Iterable[bytes] = behaviour(environ, start_response)
        return chunks

    def echo(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        try:
            body = environ["wsgi.input"].read()
        except OSError as exc:
            self.raised.append(exc)
            raise
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    def lines(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("X-Kind", "lines")])
        yield b""
        for line in environ["wsgi.input"]:
            yield b"[" + line.strip() + b"]"

    def written(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("201 Created", [])
        write(b"one ")
        write(b"two ")
        return [b"three"]

    def together(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        self.barrier.wait(10)
        start_response("204 No Content", [])
        return []

    def endless(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return Endless(self)

    def writing(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", [])
        try:
            while True:
                write(b"x" * 65536)
        except OSError as exc:
            self.raised.append(exc)
            raise

    def headless(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        return [b"x"] * 50  # more than wait in a2wsgi's queue

    def text(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[Any]:
        start_response("200 OK", [])
        return ["x"] * 50

    def fails(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        raise KeyError("SECRET_KEY")


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def server(app: App) -> Iterator[RunningServer]:
    with serve(adapt_wsgi(app), disconnect_grace_period=None) as running:
        yield running
        # A call goes on for a moment after its response; the loop must not be closed under it.
        eventually(lambda: not running.server.state.cycles)


def connect(server: RunningServer) -> RawClient:
    return RawClient(server.address)


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        pytest.param(POST % b"/echo" + b"hello", b"hello", id="length"),
        pytest.param(GET % b"/echo", b"", id="none"),
        pytest.param(
            b"POST /lines HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"4\r\na\nb\n\r\n3\r\ncd\n\r\n0\r\n\r\n",
            b"[a][b][cd]",
            id="chunked",
        ),
        pytest.param(GET % b"/written", b"one two three", id="write"),
    ],
)
def test_bodies_pass_in_both_directions(
    request_: bytes, body: bytes, server: RunningServer
) -> None:
    with connect(server) as client:
        client.send(request_)
        assert client.read_response().body == body
        client.send(GET % b"/written")  # the connection is left in order
        assert client.read_response().status == 201


def test_the_environment_is_that_of_pep_3333(app: App, server: RunningServer) -> None:
    with connect(server) as client:
        client.send(b"GET /echo/?a=b%20c HTTP/1.1\r\nHost: example.org\r\nX-Some-Field: 1\r\n\r\n")
        assert client.read_response().status == 200

    expected = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/echo/",
        "QUERY_STRING": "a=b%20c",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "example.org",
        "HTTP_X_SOME_FIELD": "1",
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_PORT": str(server.port),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.input_terminated": True,
    }
    assert {key: app.environ.get(key) for key in expected} == expected


def assert_all_threads_are_free(server: RunningServer) -> None:
    """Check that as many calls as there are threads can meet each other."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(server)) for _ in range(THREADS)]
        for client in clients:
            client.send(GET % b"/together")
        assert [client.read_response().status for client in clients] == [204] * THREADS


def test_calls_run_beside_each_other_in_a_fixed_number_of_threads(
    app: App, server: RunningServer
) -> None:
    for _ in range(2):
        assert_all_threads_are_free(server)

    assert app.threads == {f"WSGI-{number}" for number in range(THREADS)}


def test_clients_that_leave_give_their_threads_back(app: App, server: RunningServer) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(server)) for _ in range(2 * THREADS)]
        for client in clients:
            client.send(GET % b"/endless")
        eventually(lambda: len(app.threads) == THREADS)
        for client in clients:
            client.reset()

    eventually(lambda: not server.server.state.cycles)
    assert_all_threads_are_free(server)
    assert app.closed >= THREADS  # the others may not have begun


@pytest.mark.parametrize(
    ("request_", "read"),
    [
        pytest.param(POST % b"/echo" + b"he", 0, id="while-it-sends"),
        pytest.param(GET % b"/writing", 200_000, id="while-it-is-written-to"),
    ],
)
def test_a_client_that_leaves_is_an_oserror(
    request_: bytes, read: int, app: App, server: RunningServer
) -> None:
    with connect(server) as client:
        client.send(request_)
        eventually(lambda: app.environ)
        if read:
            client.read_bytes(read)
        client.reset()

    [error] = eventually(lambda: app.raised)
    assert isinstance(error, OSError)
    eventually(lambda: not server.server.state.cycles)
    assert server.messages(logging.ERROR) == []


@pytest.mark.parametrize(
    ("path", "log"),
    [
        pytest.param(b"/headless", "http.response.start", id="no-start-response"),
        pytest.param(b"/text", "str", id="text-for-bytes"),
        pytest.param(b"/fails", "Exception in ASGI application", id="exception"),
    ],
)
def test_mistakes_are_answered_and_cost_no_thread(
    path: bytes, log: str, server: RunningServer
) -> None:
    for _ in range(THREADS + 1):
        with connect(server) as client:
            client.send(GET % path)
            assert client.read_response().status == 500

    assert_all_threads_are_free(server)
    complaints = [
        record
        for record in server.log
        if record.levelno >= logging.ERROR
        and log in record.getMessage() + str(record.exc_info and record.exc_info[1])
    ]
    assert len(complaints) == THREADS + 1, server.messages()


def test_lifespan_is_answered_and_websockets_are_refused(app: App) -> None:
    with serve(adapt_wsgi(app), lifespan="on") as server, connect(server) as client:
        client.send(
            b"GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        )
        assert client.read_response().status == 403
    assert app.environ == {}
    assert server.messages(logging.ERROR) == []


def test_django_is_found_by_its_shape(app: App) -> None:
    django_conf = pytest.importorskip("django.conf")
    if not django_conf.settings.configured:
        django_conf.settings.configure(ROOT_URLCONF="", ALLOWED_HOSTS=["*"], SECRET_KEY="x")
    from django.core.handlers.wsgi import WSGIHandler

    handler = WSGIHandler()

    assert resolve_application(handler, serve_wsgi=True) is not handler


HANGS = """
import asyncio, threading
from uvicorn_worker.application.wsgi import adapt_wsgi

called = threading.Event()

def app(environ, start_response):
    called.set()
    threading.Event().wait()

async def main():
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": [],
             "http_version": "1.1", "server": ("127.0.0.1", 80)}
    task = asyncio.ensure_future(adapt_wsgi(app)(scope, None, None))
    while not called.is_set():
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    print(task.cancelled())

asyncio.run(main())
"""


def test_a_call_that_hangs_does_not_keep_the_process_alive() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=20, check=False
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "True\n", "")


# -- the threads


def test_threads_begin_only_when_they_are_needed() -> None:
    threads = DaemonThreads(3, "test-lazy")

    names = {threads.submit(lambda: threading.current_thread().name).result(10) for _ in range(20)}

    assert names <= {"test-lazy-0", "test-lazy-1", "test-lazy-2"}


@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(3)])
def test_a_thread_outlives_what_it_raises(error: BaseException) -> None:
    def fail() -> None:
        raise error

    threads = DaemonThreads(1, "test-errors")

    assert threads.submit(fail).exception(10) is error
    assert threads.submit(lambda: 1).result(10) == 1


def test_a_call_cancelled_before_its_turn_is_not_made() -> None:
    threads, gate = DaemonThreads(1, "test-cancel"), threading.Event()
    threads.submit(gate.wait)
    cancelled, next_ = threads.submit(gate.clear), threads.submit(gate.is_set)

    assert cancelled.cancel()
    gate.set()

    assert next_.result(10) is True
