"""The command as a whole process: its lines, its signals, its ways to end."""

from __future__ import annotations

import os
import pty
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.command import BASIC, environment
from tests.support.rawhttp import RawClient
from tests.support.rawws import RawWebSocket, close_frame
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path

    from tests.support.command import StartCommand


def test_a_life_in_lines_of_the_log(command: StartCommand) -> None:
    server = command(*BASIC)
    assert server.get().status == 200
    host, port = server.tcp

    server.signal(signal.SIGTERM)

    assert server.wait_exit() == 0
    lines = [
        f"Started server process [{server.pid}]",
        "Proxy headers are believed from 127.0.0.1, ::1 and UNIX sockets",
        "Application startup complete",
        f"uvicorn-worker running on http://{host}:{port} (Press CTRL+C to quit)",
        "Shutting down",
        f"Finished server process [{server.pid}]",
    ]
    found = [line[10:] for line in server.log_text().splitlines() if line.startswith("INFO:")]
    assert [line for line in found if line in lines] == lines
    assert (server.marks("start"), server.marks("stop")) == (1, 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_answers_what_is_in_flight(
    number: int, command: StartCommand, clients: ThreadPoolExecutor
) -> None:
    server = command(*BASIC)
    with RawClient(server.tcp) as idle:
        idle.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert idle.read_response().status == 200
        reply = clients.submit(server.get, "/sleep?s=0.5")
        server.wait_for_mark("sleeping")

        server.signal(number)

        assert reply.result().status == 200
        assert server.wait_exit() == 0
    assert "Cut off" not in server.log_text()


def test_a_stop_tells_websockets_that_the_server_goes_away(command: StartCommand) -> None:
    server = command("tests.apps.websocket:echo", "--port", "0")
    with RawWebSocket(server.tcp) as client:
        client.open("/echo")

        server.signal(signal.SIGTERM)

        assert client.read_close()[0] == 1001
        client.send(close_frame(1001))
        assert server.wait_exit() == 0


def test_the_second_signal_cuts(command: StartCommand, clients: ThreadPoolExecutor) -> None:
    server = command(*BASIC)
    reply = clients.submit(server.get, "/sleep?s=60")
    server.wait_for_mark("sleeping")
    server.signal(signal.SIGINT)
    server.wait_for_log("Shutting down")

    server.signal(signal.SIGINT)

    assert server.wait_exit() == 0
    assert reply.exception() is not None or reply.result().status == 500
    assert (server.marks("cancelled"), server.marks("stop")) == (1, 1)


@pytest.mark.parametrize("path", ["/block?s=60", "/thread?s=60"])
def test_the_second_signal_ends_a_process_that_hangs(
    path: str, command: StartCommand, clients: ThreadPoolExecutor
) -> None:
    server = command(*BASIC)
    reply = clients.submit(server.get, path)
    server.wait_for_mark("sleeping")
    server.signal(signal.SIGTERM)
    server.signal(signal.SIGINT)

    code = server.wait_exit()

    assert code == 0
    reply.exception()  # whatever it is


def test_timeout_graceful_shutdown_bounds_a_stop(
    command: StartCommand, clients: ThreadPoolExecutor
) -> None:
    server = command(*BASIC, "--timeout-graceful-shutdown", "200ms")
    clients.submit(server.get, "/sleep?s=60")
    server.wait_for_mark("sleeping")

    server.signal(signal.SIGTERM)

    assert server.wait_exit() == 0
    assert "Cut off 1 connections" in server.log_text()


def test_a_signal_while_the_application_is_imported(command: StartCommand) -> None:
    server = command(*BASIC, env={"IMPORT_SECONDS": "60"})
    server.wait_for_mark("import")

    server.signal(signal.SIGTERM)

    assert server.wait_exit() == 0
    assert "Traceback" not in server.log_text()


DYING = """
import os, time
class Dying:
    def __del__(self):
        with open(os.environ["MARKS"], "a") as marks:
            marks.write("dying 0\\n")
        time.sleep(60)
Dying()
time.sleep(60)
"""


def test_a_signal_in_a_destructor_of_the_imported_application(
    command: StartCommand, tmp_path: Path
) -> None:
    (tmp_path / "dying.py").write_text(DYING)
    server = command("dying:app", "--app-dir", str(tmp_path))
    server.wait_for_mark("dying")

    server.signal(signal.SIGTERM)  # what its handler raises there, Python ignores

    assert server.wait_exit() == 0
    assert "Traceback" not in server.log_text()
    assert "ignored" not in server.log_text()


def test_a_signal_while_the_application_starts(command: StartCommand) -> None:
    server = command(*BASIC, env={"STARTUP_SECONDS": "0.5"})
    server.wait_for_mark("starting")

    server.signal(signal.SIGTERM)

    assert server.wait_exit() == 0
    assert (server.marks("start"), server.marks("stop")) == (1, 1)
    assert "running on" not in server.log_text()


def test_a_second_signal_while_the_application_starts(command: StartCommand) -> None:
    server = command(*BASIC, env={"STARTUP_SECONDS": "60"})
    server.wait_for_mark("starting")
    server.signal(signal.SIGINT)
    server.wait_for_log("Stopping when the application has started")

    server.signal(signal.SIGINT)

    assert server.wait_exit() == 0
    assert "Traceback" not in server.log_text()


SIGNALLED_LATE = """
import os
import signal

class Last:
    def __del__(self, write=os.write, kill=os.kill, number=signal.SIGTERM):
        write(2, b"last words")
        kill(os.getpid(), number)

last = Last()

async def app(scope, receive, send):
    raise NotImplementedError
"""


def test_a_second_signal_while_python_ends(command: StartCommand, tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(SIGNALLED_LATE)
    server = command("late:app", "--app-dir", str(tmp_path), "--port", "0")
    server.wait_for_log("running on")

    server.signal(signal.SIGTERM)

    assert server.wait_exit() == 0
    assert server.log_text().endswith("last words")


def test_requests_at_the_limit_end_the_process(command: StartCommand) -> None:
    server = command(*BASIC, "--limit-max-requests", "3", "--limit-max-requests-jitter", "2")
    count = 0
    while count < 6 and server.process.poll() is None and server.log_text().count("limit_max") == 0:
        try:
            server.get()
        except OSError:
            break
        count += 1

    assert server.wait_exit() == 0
    assert 3 <= count <= 6
    assert server.marks("stop") == 1


def test_usr1_opens_log_files_again_and_hup_reads_their_configuration(
    command: StartCommand,
) -> None:
    configuration = """
version: 1
formatters: {plain: {format: "%s%%(message)s"}}
handlers: {file: {class: logging.FileHandler, filename: server.log, formatter: plain}}
loggers: {uvicorn: {handlers: [file], level: INFO}}
"""
    server = command(
        *BASIC, "--log-config", "log.yaml", files={"log.yaml": configuration % "first "}
    )
    log, moved = server.folder / "server.log", server.folder / "moved.log"
    eventually(lambda: log.exists() and "running on" in log.read_text())

    log.rename(moved)
    server.signal(signal.SIGUSR1)
    eventually(lambda: log.exists() and "first SIGUSR1" in log.read_text())
    assert "SIGUSR1" not in moved.read_text()

    (server.folder / "log.yaml").write_text(configuration % "second ")
    server.signal(signal.SIGHUP)
    eventually(lambda: "SIGHUP" in log.read_text())
    server.signal(signal.SIGUSR1)
    eventually(lambda: "second SIGUSR1" in log.read_text())

    (server.folder / "log.yaml").write_text("version: 7")
    server.signal(signal.SIGHUP)
    eventually(lambda: "The log goes on as it was" in log.read_text())


def test_hup_of_a_terminal_that_has_gone_is_a_stop(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "uvicorn_worker", *BASIC]
    log = tmp_path / "log"
    code = (
        "import os, sys; log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT); os.dup2(log, 2);"
        "os.execv(sys.argv[2], sys.argv[2:])"
    )
    pid, terminal = pty.fork()
    if not pid:
        arguments = [sys.executable, "-c", code, str(log), *words]
        os.execve(sys.executable, arguments, environment({}))
    eventually(lambda: log.exists() and "running on" in log.read_text())

    os.close(terminal)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert "the terminal is gone" in log.read_text()


def test_an_application_that_exits_drains_and_has_a_code_of_its_own(
    command: StartCommand, clients: ThreadPoolExecutor
) -> None:
    server = command(*BASIC, expect_exit=70)
    reply = clients.submit(server.get, "/sleep?s=0.5")
    server.wait_for_mark("sleeping")

    clients.submit(server.get, "/leave?s=0")

    assert reply.result().status == 200
    assert server.wait_exit() == 70
    assert server.log_text().count("The application raised SystemExit(7)") == 1
    assert server.marks("stop") == 1
