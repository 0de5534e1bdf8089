"""How a new supervisor is started; what it does then is tested with real ones."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from uvicorn_supervisor.holdings.handover import VARIABLE
from uvicorn_supervisor.holdings.upgrade import CannotUpgrade, Program, Successor

if TYPE_CHECKING:
    from pathlib import Path

# Writes what it has been given to the first descriptor that was passed, as a mailbox is.
TELLS = f"""
import json, os, socket, sys
given = json.loads(os.environ[{VARIABLE!r}])
listener = socket.socket(fileno=given["sockets"][0][0])
os.write(given["mailbox"], json.dumps([
    given["pid"], os.getcwd(), listener.getsockname()[1], sys.argv[1:]
]).encode())
"""


def test_the_program_is_started_as_it_was_with_the_sockets_open(tmp_path: Path) -> None:
    program = Program((sys.executable, "-c", TELLS, "app:app", "--workers", "2"), str(tmp_path))
    reader, writer = os.pipe()
    successor = Successor(program)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pid = successor.start([listener], writer)
        told = json.loads(os.read(reader, 4096))
        port = listener.getsockname()[1]

    assert told == [os.getpid(), str(tmp_path), port, ["app:app", "--workers", "2"]]
    assert not successor.reaped(pid + 1)
    assert os.waitpid(pid, 0) == (pid, 0)
    assert successor.reaped(pid)
    assert not successor.reaped(pid)
    successor.end(pid, signal.SIGTERM)  # nobody's pid any more: nothing is sent
    os.close(reader)
    os.close(writer)


def test_a_program_that_is_gone_is_told(tmp_path: Path) -> None:
    successor = Successor(Program((str(tmp_path / "python"),), str(tmp_path)))

    with pytest.raises(CannotUpgrade, match="No such file"):
        successor.start([], sys.stderr.fileno())


def test_it_can_be_ended_and_left_alone(tmp_path: Path) -> None:
    successor = Successor(Program(("sleep", "60"), str(tmp_path)))
    pid = successor.start([], 2)

    successor.end(pid, signal.SIGTERM)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM
    successor.leave()
    successor.leave()
    assert not successor.reaped(pid)


def test_the_words_are_the_interpreters(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "release").mkdir()
    (tmp_path / "current").symlink_to(tmp_path / "release")
    monkeypatch.chdir(tmp_path / "release")

    monkeypatch.setenv("PWD", str(tmp_path / "current"))
    assert Program.current().folder == str(tmp_path / "current")
    for elsewhere in ("/", "", "current", str(tmp_path / "none")):
        monkeypatch.setenv("PWD", elsewhere)
        assert Program.current().folder == str(tmp_path / "release")
    assert Program.current().words == (sys.executable, *sys.orig_argv[1:])
