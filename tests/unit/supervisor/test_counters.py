"""Where a supervisor is asked: addresses, their sockets, and what an upgrade passes on."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from typing import TYPE_CHECKING, Any

import pytest

from uvicorn_supervisor.config import SupervisorConfig
from uvicorn_supervisor.control.counters import addresses, is_loopback, open_counters
from uvicorn_supervisor.control.deskhttp import Request
from uvicorn_supervisor.control.webpage import web_routes
from uvicorn_supervisor.workers.bulletin import Bulletin
from uvicorn_worker.errors import ConfigError
from uvicorn_worker.sockets.binds import TCP, Unix
from uvicorn_worker.sockets.opening import remove_files

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {}),
        ({"control": "/run/ctl"}, {"control": Unix("/run/ctl")}),
        ({"control": "unix:/run/ctl"}, {"control": Unix("/run/ctl")}),
        ({"control": "ctl"}, {"control": Unix(os.path.abspath("ctl"))}),
        ({"control": "@ctl"}, {"control": Unix("@ctl")}),
        ({"web": "8001"}, {"web": TCP("127.0.0.1", 8001)}),
        ({"web": "[::1]:8001"}, {"web": TCP("::1", 8001)}),
        ({"web": ":8001"}, {"web": TCP("0.0.0.0", 8001)}),
    ],
)
def test_addresses(options: dict[str, Any], expected: dict[str, TCP | Unix]) -> None:
    assert addresses(SupervisorConfig("shop:app", **options)) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("localhost", "web='localhost': the port is missing; expected HOST:PORT"),
        ("unix:page", "web='unix:page': expected HOST:PORT"),
        ("fd://3", "web='fd://3': expected HOST:PORT"),
        ("a:b", "web='a:b': 'b' is not a port"),
    ],
)
def test_other_addresses_are_refused(text: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        addresses(SupervisorConfig("shop:app", web=text))

    assert str(caught.value).startswith(why)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"web": "8000"}, "web='127.0.0.1:8000': the server listens there itself"),
        ({"bind": [":9"], "web": ":9"}, "web='0.0.0.0:9': the server listens there itself"),
        ({"uds": "/a/b", "control": "/a/b"}, "control='unix:/a/b': the server listens there"),
        ({"metrics": "9", "web": "9"}, "web='127.0.0.1:9': metrics is there"),
    ],
)
def test_addresses_that_are_taken_are_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        addresses(SupervisorConfig("shop:app", **options))

    assert str(caught.value).startswith(why)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("shop.example", False)],
)  # fmt: skip
def test_loopback_is_this_machine_only(host: str, loopback: bool) -> None:
    assert is_loopback(TCP(host, 8001)) is loopback
    assert is_loopback(Unix("/run/ctl"))


def test_sockets_of_a_predecessor_are_taken_where_they_fit(tmp_path: Path) -> None:
    path = str(tmp_path / "ctl")
    wanted: dict[str, TCP | Unix] = {"control": Unix(path), "web": TCP("127.0.0.1", 0)}
    with socket.socket() as passed, contextlib.ExitStack() as stack:
        found = open_counters(wanted, {("web", "127.0.0.1:0"): [passed]})
        for sock in found["control"]:
            stack.enter_context(sock)
            stack.callback(remove_files, [sock])

        assert found["web"] == [passed]
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        with pytest.raises(ConfigError, match=r"control: cannot listen on unix:.*another process"):
            open_counters({"control": Unix(path)}, {})


@pytest.mark.parametrize(
    ("host", "local", "status"),
    [
        ("localhost:8001", True, 200),
        ("LOCALHOST", True, 200),
        ("shop.localhost:1", True, 200),
        ("127.0.0.1:8001", True, 200),
        ("[::1]:8001", True, 200),
        ("evil.example", True, 403),
        ("127.0.0.1.evil.example", True, 403),
        ("[::1", True, 200),
        ("", True, 403),
        ("evil.example", False, 200),
    ],
)
def test_a_page_for_this_machine_is_asked_for_by_its_names(
    host: str, local: bool, status: int
) -> None:
    scene: Any = None  # the page itself shows nothing of it
    page = web_routes(scene, local=local)["GET", "/"]

    answer: Any = page(Request("GET", "/", {}, {"host": host} if host else {}))

    assert answer.status == status


def test_what_is_on_the_bulletin_is_seen_by_forked_processes() -> None:
    bulletin = Bulletin(4)
    pid = os.fork()
    if pid == 0:
        bulletin.level = 10
        bulletin.ask(3)
        os._exit(0)
    os.waitpid(pid, 0)

    assert bulletin.level == 10
    assert [bulletin.asked(slot) for slot in range(4)] == [0, 0, 0, 1]
