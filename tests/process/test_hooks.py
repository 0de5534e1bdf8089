"""Gunicorn's hooks and its logging under a real Gunicorn."""

from __future__ import annotations

import json
import re
import signal
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.asking import ask, read_reply
from tests.support.gunicorn import MARKING_HOOKS
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.support.gunicorn import RunningGunicorn, StartGunicorn

APP = "tests.apps.report:app"

REQUEST_HOOKS = """
import json

def note(worker, **fields):
    worker.log.info("NOTE %s", json.dumps(fields))

def pre_request(worker, req):
    note(worker, hook="pre", method=req.method, uri=req.uri, path=req.path, query=req.query,
         version=req.version, headers=req.headers, scheme=req.scheme, body=req.body,
         peer=list(req.peer_addr), close=req.should_close(), nr=worker.nr, alive=worker.alive)
    if req.path == "/refused":
        raise ValueError("not today")

def post_request(worker, req, environ, resp):
    note(worker, hook="post", uri=req.uri, status=resp.status, code=resp.status_code,
         headers=resp.headers, sent=resp.sent, environ=environ)
    if req.path == "/raises":
        raise ValueError("too late to matter")
"""


def notes(server: RunningGunicorn, count: int) -> list[dict[str, Any]]:
    """Return what the first `count` notes say."""
    log = server.wait_for_log("NOTE ", count=count)
    return [json.loads(line) for line in re.findall(r"NOTE (\{.*)", log)]


# -- hooks


def test_hooks_of_requests_get_real_objects(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, config=REQUEST_HOOKS)
    reply = ask(server, "X-A: b", line="GET /%41/x?a=1 HTTP/1.1")

    before, after = notes(server, 2)

    assert (before["method"], before["uri"]) == ("GET", "/%41/x?a=1")
    assert (before["query"], before["version"], before["body"]) == ("a=1", [1, 1], None)
    assert ["X-A", "b"] in before["headers"]
    assert (before["scheme"], before["peer"][0], before["close"]) == ("http", "127.0.0.1", True)
    assert (before["nr"], before["alive"]) == (0, True)
    assert (after["status"], after["code"]) == ("200 OK", 200)
    assert after["sent"] == len(reply.body)
    names = {name.lower() for name, _ in after["headers"]}
    assert {"x-answer", "content-length", "server", "date", "connection"} <= names
    environ = after["environ"]
    assert environ["REQUEST_METHOD"] == "GET"
    assert (environ["RAW_URI"], environ["PATH_INFO"]) == ("/%41/x?a=1", "/A/x")
    assert (environ["HTTP_X_A"], environ["SERVER_PROTOCOL"]) == ("b", "HTTP/1.1")
    assert environ["SERVER_PORT"] == str(server.port)
    assert environ["wsgi.url_scheme"] == "http"


def test_an_exception_before_the_request_is_its_answer(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, config=REQUEST_HOOKS)

    assert ask(server, line="GET /refused HTTP/1.1").status == 500

    assert [one["hook"] for one in notes(server, 2)] == ["pre", "post"]
    assert notes(server, 2)[1]["code"] == 500
    assert "not today" in server.log_text()


def test_an_exception_after_the_request_is_only_logged(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, config=REQUEST_HOOKS)
    with server.connect() as sock:
        for _ in range(2):
            sock.sendall(b"GET /raises HTTP/1.1\r\nHost: a\r\n\r\n")
            assert read_reply(sock).status == 200

    log = server.wait_for_log("too late to matter", count=2)
    assert "Exception in the hook post_request" in log


@pytest.mark.parametrize("parameters", ["worker, req", "worker, req, environ"])
def test_post_request_may_have_fewer_parameters(gunicorn: StartGunicorn, parameters: str) -> None:
    server = gunicorn(
        APP, config=f"def post_request({parameters}): worker.log.info('AFTER %s', req.uri)"
    )
    ask(server, line="GET /x HTTP/1.1")

    server.wait_for_log("AFTER /x")


def test_a_failing_application_is_a_500_for_hooks_too(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, config=REQUEST_HOOKS)
    assert ask(server, line="GET /fail HTTP/1.1").status == 500

    assert notes(server, 2)[1]["status"] == "500 Internal Server Error"
    assert "this path always fails" in server.log_text()


def test_a_hook_recycles_its_worker(gunicorn: StartGunicorn) -> None:
    server = gunicorn(
        "tests.apps.basic:app",
        config=MARKING_HOOKS
        + "\ndef post_request(worker, req, environ, resp):\n    worker.alive = False\n",
    )
    [old] = server.wait_for_workers(1)
    assert server.get("/").status == 200

    [new] = server.wait_for_workers(1, without={old})
    assert new != old
    assert server.marks("stop") == server.marks("worker_exit") == [old]
    assert "exited with code" not in server.log_text()


def test_worker_int_and_worker_exit_run_once(gunicorn: StartGunicorn) -> None:
    server = gunicorn("tests.apps.basic:app", "--workers=2", config=MARKING_HOOKS)
    workers = server.wait_for_workers(2)
    server.signal(signal.SIGINT)
    server.wait_exit()

    for hook in ("worker_int", "worker_exit"):
        assert sorted(server.marks(hook)) == sorted(workers)


# -- the access log

FORMAT = (
    "%(h)s|%(l)s|%(u)s|%(r)s|%(m)s|%(U)s|%(q)s|%(H)s|%(s)s|%(B)s|%(b)s|%(f)s|%(a)s|%(p)s|"
    "%({x-a}i)s|%({X-Answer}o)s|%({server}o)s|%({server_name}e)s|%({wsgi.url_scheme}e)s|%({none}i)s"
)


def access_lines(server: RunningGunicorn, count: int) -> list[list[str]]:
    path = server.folder / "access.log"
    eventually(lambda: path.exists() and path.read_text().count("\n") >= count)
    return [line.split("|") for line in path.read_text().splitlines()]


def test_all_atoms_of_the_access_log(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, "--access-logfile=access.log", f"--access-logformat={FORMAT}")
    fields = [
        "X-A: b",
        'User-Agent: a "quoted" one',
        "Referer: http://there/",
        "Authorization: Basic dXNlcjpwYXNz",
        "X-Forwarded-For: 203.0.113.7",
    ]
    got = ask(server, *fields, line="GET /%41/x?a=1 HTTP/1.1")
    assert ask(server, line="GET /fail HTTP/1.1").status == 500
    assert ask(server, line="HEAD / HTTP/1.1").status == 200
    assert ask(server, "Host: b").status == 400

    full, failed, head, refused = access_lines(server, 4)

    size = str(len(got.body))
    assert full[:4] == ["127.0.0.1", "-", "user", "GET /%41/x?a=1 HTTP/1.1"]
    assert full[4:11] == ["GET", "/A/x", "a=1", "HTTP/1.1", "200", size, size]
    assert full[11:13] == ["http://there/", 'a \\"quoted\\" one']
    assert full[13] == f"<{got.json()['pid']}>"
    assert full[14:] == ["b", "yes", "uvicorn", "127.0.0.1", "http", "-"]
    assert failed[8] == "500"
    assert (head[4], head[8], head[9], head[10]) == ("HEAD", "200", "0", "0")
    assert (refused[3], refused[8]) == ("GET / HTTP/1.1", "400")


def test_durations_of_the_access_log(gunicorn: StartGunicorn) -> None:
    server = gunicorn(
        "tests.apps.basic:app",
        "--access-logfile=access.log",
        "--access-logformat=%(T)s|%(M)s|%(D)s|%(L)s",
    )
    server.get("/stream?s=0.1&n=3")

    [[whole, milliseconds, microseconds, exact]] = access_lines(server, 1)

    assert whole == "0"
    assert 300 <= int(milliseconds) < 2000
    assert int(microseconds) // 1000 == int(milliseconds)
    assert float(exact) == pytest.approx(int(microseconds) / 1e6)


def test_a_logger_with_nothing_but_the_documented_methods(gunicorn: StartGunicorn) -> None:
    methods = "critical error warning info debug exception"
    logger = (
        "import sys\n"
        "class Plain:\n"
        "    def __init__(self, cfg): pass\n"
        "    def setup(self, cfg): pass\n"
        "    def log(self, level, msg, *args, **kwargs): pass\n"
        "    def reopen_files(self): self.info('REOPENED')\n"
        "    def close_on_exec(self): pass\n"
        "    def access(self, resp, req, environ, request_time):\n"
        "        self.info('ACCESS %s %s %s %s', req.uri, resp.status, environ['RAW_URI'],\n"
        "                  request_time.total_seconds() >= 0)\n"
        + "".join(
            f"    def {name}(self, msg, *args, **kwargs):\n"
            "        print('PLAIN', msg % args if args else msg, file=sys.stderr, flush=True)\n"
            for name in methods.split()
        )
    )
    server = gunicorn(APP, "--logger-class=plain.Plain", files={"plain.py": logger})

    assert ask(server, line="GET /x HTTP/1.1").status == 200

    server.wait_for_log("PLAIN ACCESS /x 200 OK /x True")
    server.signal(signal.SIGUSR1)
    server.wait_for_log("PLAIN REOPENED", count=2)


def test_statsd_counts_every_request(gunicorn: StartGunicorn) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as metrics:
        metrics.bind(("127.0.0.1", 0))
        metrics.settimeout(5)
        server = gunicorn(APP, f"--statsd-host=127.0.0.1:{metrics.getsockname()[1]}")
        assert ask(server, line="GET /fail HTTP/1.1").status == 500

        seen = ""
        wanted = (
            "gunicorn.requests:1",
            "gunicorn.request.duration:",
            "gunicorn.request.status.500",
        )
        while not all(name in seen for name in wanted):
            seen += metrics.recv(4096).decode() + "\n"


def test_log_configuration_is_left_alone(gunicorn: StartGunicorn) -> None:
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"short": {"format": "MINE %(name)s %(message)s"}},
        "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "short"}},
        "root": {"level": "INFO", "handlers": ["out"]},
        "loggers": {
            "gunicorn.error": {"level": "INFO", "handlers": ["out"], "propagate": False},
            "gunicorn.access": {"level": "INFO", "handlers": ["out"], "propagate": False},
        },
    }
    server = gunicorn(APP, config=f"logconfig_dict = {config!r}")

    assert ask(server, line="GET /x HTTP/1.1").status == 200
    assert ask(server, "Host: b").status == 400

    server.wait_for_log("MINE gunicorn.access")
    server.wait_for_log("MINE gunicorn.error Invalid request from ip=127.0.0.1")
