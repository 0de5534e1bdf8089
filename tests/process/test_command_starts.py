"""Starts of the command that fail or are only tried: exit codes, --check, what shells complete."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.command import BASIC, environment, run_command

if TYPE_CHECKING:
    from pathlib import Path

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
