"""The command `uvicorn-worker` from its start to its end: signals, exit codes, what it says."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.command import environment, run_command
from tests.support.rawhttp import RawClient
from tests.support.rawws import RawWebSocket, close_frame
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path

    from tests.support.command import StartCommand

BASIC = ("tests.apps.basic:app", "--port", "0")


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


# -- exit codes


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


EXIT_IN_LIFESPAN = """
import sys

async def app(scope, receive, send):
    sys.exit(5)
"""


@pytest.mark.parametrize(
    ("words", "files", "code", "said"),
    [
        (("x:app",), {}, 4, "there is no module 'x'"),
        (("x:app",), {"x.py": ""}, 4, "has no attribute 'app'"),
        (("x:app",), {"x.py": "app = 1"}, 4, "is not an ASGI application"),
        (("x:app",), {"x.py": "import y"}, 4, "ModuleNotFoundError: No module named 'y'"),
        (("x:app",), {"x.py": "raise SystemExit(0)"}, 4, "SystemExit: 0"),
        (
            ("x:app", "--port", "0"),
            {"x.py": EXIT_IN_LIFESPAN},
            3,
            "The application raised SystemExit(5)",
        ),
        (("x",), {}, 4, "did you mean 'x:app'"),
        ((*BASIC, "--app-dir", "no"), {}, 1, "app_dir='no': no such folder"),
        ((*BASIC, "--host", "192.0.2.1"), {}, 1, "this machine has no such address"),
        ((BASIC[0], "--fd", "77"), {}, 1, "cannot listen on fd://77: it is not open"),
        ((BASIC[0], "--uds", "no/sock"), {}, 1, "the folder does not exist"),
        ((BASIC[0], "--bind", "a:b:c"), {}, 1, "Error: --bind='a:b:c'"),
        ((*BASIC, "--ssl-certfile", "no.pem"), {}, 1, "ssl_certfile='no.pem'"),
        ((*BASIC, "--log-config", "no.ini"), {}, 1, "Error: --log-config='no.ini': No such file"),
    ],
)
def test_what_cannot_start_says_why_and_how_it_failed(
    words: tuple[str, ...], files: dict[str, str], code: int, said: str, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    done = run_command(tmp_path, *words)

    assert done.returncode == code
    assert done.stdout == ""
    assert said in done.stderr
    users_fault = any(name in done.stderr for name in ("ModuleNotFound", "SystemExit: 0"))
    assert done.stderr.count("Traceback") == users_fault
    assert "Stopping when" not in done.stderr  # nobody has asked for it


def test_a_startup_that_fails(tmp_path: Path) -> None:
    (tmp_path / "fails").touch()

    done = run_command(tmp_path, *BASIC, env={"STARTUP_FAILS_WHILE": "fails"})

    assert done.returncode == 3
    assert "ERROR:    Application startup failed: no database today" in done.stderr


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        done = run_command(tmp_path, BASIC[0], "--port", str(port))

    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    assert done.returncode == 1
    assert len(errors) == 1
    assert f"127.0.0.1:{port}: the port is in use" in errors[0]


# -- check


def test_check_tells_places_and_risks_and_serves_nothing(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.uvicorn]\nlimit-request-line = '1KiB'\n")
    env = {"UVICORN_LOG_LEVEL": "debug", "MARKS": str(tmp_path / "marks"), "UVICORN_PROT": "1"}

    done = run_command(
        tmp_path, "check", *BASIC, "--forwarded-allow-ips", "*", "--ssl-keyfile-password", "x",
        env={**env, "UVICORN_SSL_CERTFILE": "none"},
    )  # fmt: skip

    assert done.returncode == 1  # a password for nothing
    assert "ssl_keyfile_password needs ssl_certfile" in done.stderr

    done = run_command(tmp_path, "check", *BASIC, "--forwarded-allow-ips", "*", env=env)

    assert (done.returncode, done.stderr) == (0, "")
    rows = [re.split(r"\s{2,}", line.strip()) for line in done.stdout.splitlines()]
    assert ["log_level", "debug", "UVICORN_LOG_LEVEL"] in rows
    assert [
        "limit_request_line",
        "1KiB",
        "pyproject.toml [tool.uvicorn] limit-request-line",
    ] in rows
    assert ["host", "127.0.0.1", "default"] in rows
    assert "UVICORN_PROT has no effect; did you mean 'UVICORN_PORT'?" in done.stdout
    assert "forwarded_allow_ips trusts everybody" in done.stdout
    assert "log_level=debug is for finding faults" in done.stdout
    assert "would be served on 127.0.0.1:0" in done.stdout
    assert (tmp_path / "marks").read_text().split()[::2] == ["import"]  # no lifespan


def test_check_says_what_would_end_the_start(tmp_path: Path) -> None:
    done = run_command(tmp_path, "check", "x:app")

    assert done.returncode == 4
    assert done.stderr.startswith("Error: cannot load 'x:app'")


def test_check_ends_quietly_where_nobody_reads_on(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)

    done = subprocess.run(
        [sys.executable, "-m", "uvicorn_worker", "check", *BASIC],
        stdout=writer, stderr=subprocess.PIPE, env=environment({}), cwd=tmp_path, check=False,
    )  # fmt: skip
    os.close(writer)

    assert (done.returncode, done.stderr) == (1, b"")


# -- completion


def test_the_shell_completes_flags_and_values(tmp_path: Path) -> None:
    def complete(words: str) -> list[str]:
        env = {
            "_UVICORN_WORKER_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        }
        done = run_command(tmp_path, env=env)
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert complete("uvicorn-worker --ssl-k") == ["--ssl-keyfile", "--ssl-keyfile-password"]
    assert complete("uvicorn-worker --log-level d") == ["debug"]


def test_the_installed_script_is_the_command(tmp_path: Path) -> None:
    script = f"{os.path.dirname(sys.executable)}/uvicorn-worker"
    if not os.path.exists(script):
        pytest.skip("installed before there was a command")

    done = subprocess.run(
        [script, "--version"], capture_output=True, text=True, cwd=tmp_path, check=True
    )

    assert done.stdout.startswith("Running uvicorn-worker ")
