"""Every example runs as it stands and answers the clients that its docstring names.

Those of the frameworks have a test of their own: tests/process/test_frameworks.py.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.gunicorn import RunningGunicorn, StartGunicorn

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))
COMMAND = "gunicorn -k uvicorn_worker.UvicornWorker --chdir examples {name}:app"

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")

pytestmark = pytest.mark.slow


@pytest.fixture
def serve(gunicorn: StartGunicorn) -> Callable[..., RunningGunicorn]:
    """Start the example of that name, with these options."""
    # The fixture finds its processes by their working directory: no --chdir here.
    return lambda name, *options: gunicorn(f"{name}:app", "--pythonpath", str(EXAMPLES), *options)


def url(server: RunningGunicorn, path: str) -> str:
    return f"http://127.0.0.1:{server.port}{path}"


def curl(*arguments: str) -> str:
    """Return what curl prints; an answer of 400 or above fails."""
    command = ["curl", "--silent", "--show-error", "--fail", "--max-time", "10", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_the_command_stands_in_the_example_and_in_the_readme(name: str) -> None:
    docstring = ast.get_docstring(ast.parse((EXAMPLES / f"{name}.py").read_text("utf-8")))

    assert COMMAND.format(name=name) in (docstring or "")
    assert f"`{COMMAND.format(name=name)}`" in (EXAMPLES / "README.md").read_text("utf-8")


def test_hello_answers_httpx(serve: Callable[..., RunningGunicorn]) -> None:
    server = serve("hello")

    with httpx.Client() as client:
        answers = [client.get(url(server, "/")) for _ in range(3)]  # one connection

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert {answer.text for answer in answers} == {"Hello, world!\n"}
    assert {answer.headers["content-type"] for answer in answers} == {"text/plain; charset=utf-8"}
    assert {answer.headers["content-length"] for answer in answers} == {"14"}


@needs_curl
def test_hello_answers_curl(serve: Callable[..., RunningGunicorn]) -> None:
    server = serve("hello")

    assert curl(url(server, "/any?thing")) == "Hello, world!\n"
    head = curl("--head", url(server, "/")).splitlines()
    assert head[0] == "HTTP/1.1 200 OK"
    assert "content-length: 14" in head


def test_opentelemetry_traces_from_workers_that_were_forked_later(
    serve: Callable[..., RunningGunicorn],
) -> None:
    server = serve("opentelemetry_app", "--preload", "--workers", "2")
    traces = [f"{number:032x}" for number in range(1, 11)]

    for trace in traces:
        fields = {"traceparent": f"00-{trace}-00000000000000aa-01"}
        assert httpx.get(url(server, "/"), headers=fields).text == f"Hello, trace {trace}!\n"
    workers = server.worker_pids()
    server.stop()

    log = server.log_text()
    for trace in traces:
        assert log.count(f'"trace_id": "0x{trace}"') >= 2, "the request's span and its part"
    assert '"parent_id": "0x00000000000000aa"' in log
    assert any(f'"service.instance.id": "worker-{pid}"' in log for pid in workers)


def test_the_scheduler_runs_in_one_worker(serve: Callable[..., RunningGunicorn]) -> None:
    server = serve("scheduler_app", "--workers", "3", "--env", "EVERY=0.02")
    log = server.wait_for_log("Newsletter sent by worker", count=20)
    [worker] = set(re.findall(r"sent by worker (\d+), term 1\n", log))

    while (answer := httpx.get(url(server, "/")).text) != f"Worker {worker} leads.\n":
        assert answer.endswith(" does not lead.\n")
