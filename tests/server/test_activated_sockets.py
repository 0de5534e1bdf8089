"""Sockets that systemd has opened, taken by a process that is started as it starts one."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.binding import names

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def activated(
    sockets: list[socket.socket],
    variables: dict[str, str],
    *,
    explicit: bool = False,
    **options: Any,
) -> Iterator[tuple[dict[str, Any], str]]:
    """Start a child as systemd does; yield what it says, and what it logs where it has ended."""
    descriptors = [sock.fileno() for sock in sockets]
    arguments = (descriptors, variables, options, {"explicit": explicit})
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.support.activated", *map(json.dumps, arguments)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, pass_fds=descriptors,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        said = child.stdout.readline()
        log = child.communicate(timeout=10)[1] if "LISTEN_FDS" in said or "error" in said else ""
        yield json.loads(said), log
        assert child.wait(10) == 0
    finally:
        child.kill()
        child.communicate()


OURS = {"LISTEN_PID": "{pid}", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "web:other"}


@pytest.fixture
def two_sockets(tmp_path: Path) -> Iterator[list[socket.socket]]:
    """What systemd would have opened."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "a.sock"))
        other.listen()
        yield [one, other]


def test_sockets_of_systemd_are_served_and_its_variables_removed(
    two_sockets: list[socket.socket],
) -> None:
    with activated(two_sockets, OURS) as (child, _):
        assert child == {
            "names": names(two_sockets),
            "numbers": [3, 4],
            "inheritable": [False, False],
            "left": [],
        }
        for sock in two_sockets:
            with socket.socket(sock.family) as client:
                client.settimeout(10)
                client.connect(sock.getsockname())
                assert client.recv(100) == b"from the child"


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"explicit": True, "port": 0}, id="port"),
        pytest.param({"bind": ["127.0.0.1:0"]}, id="bind"),
    ],
)
def test_what_the_user_names_wins_over_systemd(
    options: dict[str, Any], two_sockets: list[socket.socket]
) -> None:
    with activated(two_sockets, OURS, **options) as (child, log):
        assert len(child["names"]) == 1
        assert child["names"][0] not in names(two_sockets)
        assert log == ""


def test_sockets_for_another_process_are_left_to_it(two_sockets: list[socket.socket]) -> None:
    with activated(two_sockets, {**OURS, "LISTEN_PID": "1"}, port=0) as (child, log):
        assert len(child["names"]) == 1
        assert len(child["left"]) == 3
        assert "LISTEN_PID=1 is for another process" in log


@pytest.mark.parametrize(
    ("variables", "error"),
    [
        pytest.param({"LISTEN_FDS": "two"}, "LISTEN_FDS='two': expected a number", id="text"),
        pytest.param({"LISTEN_FDS": "3"}, "cannot listen on fd://5: it is not", id="too-many"),
    ],
)
def test_wrong_variables_are_named(
    variables: dict[str, str], error: str, two_sockets: list[socket.socket]
) -> None:
    with activated(two_sockets, {**OURS, **variables}) as (child, _):
        assert child["error"].startswith(error)
