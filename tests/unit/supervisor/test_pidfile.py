"""The pid file: whose it is, and when it is in the way."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from uvicorn_supervisor.holdings.pidfile import PidFile
from uvicorn_worker.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def other() -> Iterator[int]:
    """Return a process that is not this one."""
    process = subprocess.Popen(["sleep", "60"])
    yield process.pid
    process.kill()
    process.wait()


def test_the_file_has_the_pid_while_it_is_ours(tmp_path: Path) -> None:
    path = tmp_path / "server.pid"
    pidfile = PidFile(str(path))

    pidfile.write()
    assert path.read_text() == f"{os.getpid()}\n"
    pidfile.write()  # its own is not in the way
    pidfile.remove()

    assert list(tmp_path.iterdir()) == []


def test_a_running_instance_is_named_and_left_alone(tmp_path: Path, other: int) -> None:
    path = tmp_path / "server.pid"
    path.write_text(f"{other}\n")
    pidfile = PidFile(str(path))

    with pytest.raises(ConfigError, match=f"server.pid': process {other} runs with this file"):
        pidfile.write()
    pidfile.remove()

    assert path.read_text() == f"{other}\n"


@pytest.mark.parametrize("content", ["", "x", "0", "-1", "99999999999999999999", "4194304\n"])
def test_a_file_without_a_running_instance_is_replaced(content: str, tmp_path: Path) -> None:
    path = tmp_path / "server.pid"
    path.write_text(content)

    PidFile(str(path)).write()

    assert path.read_text() == f"{os.getpid()}\n"


@pytest.mark.skipif(sys.platform != "linux", reason="ages of processes are read from /proc")
def test_a_pid_that_is_used_again_is_not_in_the_way(tmp_path: Path, other: int) -> None:
    path = tmp_path / "server.pid"
    path.write_text(f"{other}\n")
    before = time.time() - 3600  # long before that process was started
    os.utime(path, (before, before))

    PidFile(str(path)).write()

    assert path.read_text() == f"{os.getpid()}\n"


def test_a_successor_has_another_name_until_it_takes_over(tmp_path: Path, other: int) -> None:
    path = tmp_path / "server.pid"
    path.write_text(f"{other}\n")
    pidfile = PidFile(str(path), successor=True)

    pidfile.write()
    assert (tmp_path / "server.pid.2").read_text() == f"{os.getpid()}\n"
    path.unlink()  # its predecessor has ended
    pidfile.take_name()
    pidfile.take_name()

    assert [one.name for one in tmp_path.iterdir()] == ["server.pid"]
    assert path.read_text() == f"{os.getpid()}\n"
    pidfile.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = tmp_path / "none" / "server.pid"

    with pytest.raises(ConfigError, match=re.escape(f"pid={str(path)!r}: No such file")):
        PidFile(str(path)).write()


def test_a_folder_in_its_place_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "server.pid").mkdir()

    with pytest.raises(ConfigError, match="Is a directory"):
        PidFile(str(tmp_path / "server.pid")).write()

    assert [one.name for one in tmp_path.iterdir()] == ["server.pid"]


def test_the_file_of_a_successor_that_was_killed_is_removed(tmp_path: Path, other: int) -> None:
    path = tmp_path / "pid"
    pidfile = PidFile(str(path))
    pidfile.write()
    left = tmp_path / "pid.2"
    pidfile.clear_after(other)  # there is none
    left.write_text("4711\n")

    pidfile.clear_after(other)
    assert left.exists(), "somebody else's"
    left.write_text(f"{other}\n")
    pidfile.clear_after(other)

    assert [file.name for file in tmp_path.iterdir()] == ["pid"]
