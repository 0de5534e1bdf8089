"""The command's logs on real files, pipes and full disks."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

BASIC = "tests.apps.basic:app"


class Command:
    """A running `uvicorn-worker`; `stderr` is a file, standard output what the test gives."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, stderr: Path) -> None:
        self.process = process
        self.port = port
        self._stderr = stderr

    @property
    def stderr(self) -> list[str]:
        return self._stderr.read_text().splitlines()

    def get(self, *targets: str) -> list[int]:
        """Return the status of each of some requests on one connection."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, 10)) as client:
            found = []
            for target in targets:
                client.request("GET", target, headers={"X-Request-ID": f"id of {target[:9]}"})
                answer = client.getresponse()
                answer.read()
                found.append(answer.status)
            return found

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)


@contextlib.contextmanager
def running(folder: Path, stdout: int | Path, options: Sequence[str] = ()) -> Iterator[Command]:
    errors = folder / "stderr"
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        if not isinstance(stdout, int):
            stdout = opened.enter_context(stdout.open("wb")).fileno()
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "uvicorn_worker", BASIC),
                *("--fd", str(listener.fileno()), *options),
            ],
            pass_fds=[listener.fileno()],
            stdout=stdout,
            stderr=opened.enter_context(errors.open("wb")),
        )
        port = listener.getsockname()[1]
    command = Command(process, port, errors)
    try:
        yield command
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


def test_text_has_every_request_but_healthy_checks(tmp_path: Path) -> None:
    out = tmp_path / "stdout"
    options = ["--access-log-skip", "/pid", "--access-log-skip", "/nowhere"]
    with running(tmp_path, out, options) as command:
        assert command.get("/?a=%1b", "/pid", "/nowhere", "/fail", "/") == [200, 200, 404, 500, 200]
        assert command.stop() == 0

    lines = out.read_text().splitlines()
    assert [line.partition(' - "')[2] for line in lines] == [
        'GET /?a=%1b HTTP/1.1" 200 OK',
        'GET /nowhere HTTP/1.1" 404 Not Found',
        'GET /fail HTTP/1.1" 500 Internal Server Error',
        'GET / HTTP/1.1" 200 OK',
    ]
    assert all(line.startswith("INFO:     127.0.0.1:") for line in lines)
    assert not any("GET" in line for line in command.stderr if line.startswith("INFO"))


def test_json_is_one_object_per_line_everywhere(tmp_path: Path) -> None:
    out = tmp_path / "stdout"
    with running(tmp_path, out, ["--log-format", "json", "--log-level", "debug"]) as command:
        command.get("/", "/fail")
        assert command.stop() == 0

    access = [json.loads(line) for line in out.read_text().splitlines()]
    server = [json.loads(line) for line in command.stderr]
    assert [(one["path"], one["status"], one["request_id"]) for one in access] == [
        ("/", 200, "id of /"),
        ("/fail", 500, "id of /fail"),
    ]
    assert all(0 <= one["duration"] < 10 for one in access)
    assert "Traceback" in next(one["exception"] for one in server if one["level"] == "ERROR")


def test_sigusr1_opens_files_again(tmp_path: Path) -> None:
    log, old = tmp_path / "access.log", tmp_path / "access.log.1"
    about = {
        "version": 1,
        "formatters": {"access": {"()": "uvicorn.logging.AccessFormatter", "fmt": "%(message)s"}},
        "handlers": {
            "file": {"class": "logging.FileHandler", "filename": str(log), "formatter": "access"}
        },
        "loggers": {"uvicorn.access": {"handlers": ["file"], "level": "INFO", "propagate": False}},
    }
    (tmp_path / "log.json").write_text(json.dumps(about))
    options = ["--log-config", str(tmp_path / "log.json")]
    with running(tmp_path, subprocess.DEVNULL, options) as command:
        command.get("/one")
        eventually(lambda: "/one" in log.read_text())
        log.rename(old)
        command.get("/two")
        eventually(lambda: "/two" in old.read_text())
        command.process.send_signal(signal.SIGUSR1)
        eventually(log.exists)
        command.get("/three")
        assert command.stop() == 0

    assert [line.count("GET") for line in old.read_text().splitlines()] == [1, 1]
    assert log.read_text().count("GET /three HTTP/1.1") == 1


def test_a_pipe_that_nobody_reads_stops_no_request(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    with running(tmp_path, writer) as command:
        os.close(writer)
        target = "/" + "x" * 4000
        # more than the pipe and the server hold
        assert set(command.get(*[target] * 400)) == {404}
        os.set_blocking(reader, False)
        read = b""

        def read_on() -> bool:
            nonlocal read
            with contextlib.suppress(BlockingIOError):
                while part := os.read(reader, 65536):
                    read += part
            return any("The access log can be written again" in line for line in command.stderr)

        eventually(read_on)
        assert all(line.endswith(b' HTTP/1.1" 404 Not Found') for line in read.splitlines())
        os.close(reader)
        assert command.get("/", "/") == [200, 200]
        eventually(lambda: any("Broken pipe" in line for line in command.stderr))
        assert command.stop() == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no full device")
@pytest.mark.parametrize("options", [[], ["--log-format", "json"]])
def test_a_full_disk_stops_no_request(options: list[str], tmp_path: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with running(tmp_path, full, options) as command:
        os.close(full)
        assert command.get("/", "/", "/") == [200, 200, 200]
        assert command.stop() == 0

    assert [line.count("No space left on device") for line in command.stderr].count(1) == 1


def test_trace_shows_messages_and_no_contents(tmp_path: Path) -> None:
    with running(tmp_path, subprocess.DEVNULL, ["--log-level", "trace"]) as command:
        command.get("/")
        assert command.stop() == 0

    lines = [line for line in command.stderr if line.startswith("TRACE:")]
    assert any("ASGI [2] send {'type': 'http.response.body', 'body': '<" in line for line in lines)
    assert any("'headers': '<3 fields>'" in line for line in lines)
    assert "id of /" not in "".join(lines)
