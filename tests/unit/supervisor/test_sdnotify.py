"""What systemd gets to read."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from uvicorn_supervisor.systemd.sdnotify import READY, main_process, notify

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("abstract", [False, True])
def test_assignments_arrive_in_one_datagram(abstract: bool, tmp_path: Path) -> None:
    if abstract and sys.platform != "linux":
        pytest.skip("names without a file are Linux's only")
    name = f"@uvicorn-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + name[1:] if abstract else name)

        assert notify({"NOTIFY_SOCKET": name}, READY, main_process())

        expected = f"READY=1\nMAINPID={os.getpid()}"
        assert systemd.recv(4096).decode() == expected


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "relative"}])
def test_nobody_is_told_who_has_not_asked(environ: dict[str, str]) -> None:
    assert not notify(environ, READY)


def test_a_systemd_that_does_not_listen_ends_nothing(tmp_path: Path) -> None:
    assert notify({"NOTIFY_SOCKET": str(tmp_path / "none")}, READY)


def test_another_process_can_be_named() -> None:
    assert main_process(7) == "MAINPID=7"
