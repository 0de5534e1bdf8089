"""Listening where a configuration says: TCP, and inherited descriptors."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.binding import listening, names, reachable, refusal
from uvicorn_worker.sockets.opening import describe

if TYPE_CHECKING:
    from pathlib import Path


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        return True
    return False


ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")


# -- TCP


def test_port_0_is_one_that_is_free() -> None:
    with listening(port=0) as [sock]:
        port = sock.getsockname()[1]
        assert port
        assert names([sock]) == [f"http://127.0.0.1:{port}"]
        assert describe(sock, tls=True) == f"https://127.0.0.1:{port}"


@ipv6
def test_an_empty_host_is_all_of_the_machine_on_one_port() -> None:
    with listening(host="", port=0) as sockets:
        port = sockets[0].getsockname()[1]
        assert set(names(sockets)) == {f"http://0.0.0.0:{port}", f"http://[::]:{port}"}


def test_a_name_is_bound_at_its_addresses() -> None:
    with listening(host="localhost", port=0) as sockets:
        assert {sock.getsockname()[0] for sock in sockets} <= {"127.0.0.1", "::1"}


@ipv6
def test_every_ipv6_address_is_every_ipv4_address_too() -> None:
    with listening(host="::", port=0) as [sock]:
        port = sock.getsockname()[1]
        assert names([sock]) == [f"http://[::]:{port}"]
        assert reachable(socket.AF_INET, ("127.0.0.1", port))


@ipv6
@pytest.mark.parametrize("beside", ["0.0.0.0", "127.0.0.1"])
@pytest.mark.parametrize("turn", [1, -1])
def test_ipv6_leaves_ipv4_to_a_bind_of_its_own(beside: str, turn: int) -> None:
    with listening(port=0) as [free]:
        port = free.getsockname()[1]
    with listening(bind=[f"{beside}:{port}", f"[::]:{port}"][::turn]) as sockets:
        [only] = [sock for sock in sockets if sock.family == socket.AF_INET6]
        assert only.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


def test_several_binds_are_several_sockets_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with listening(bind=["127.0.0.1:0", f"unix:{path}", "127.0.0.1:0"]) as sockets:
        first, second, third = names(sockets)
        assert second == f"unix:{path}"
        assert first != third


def test_a_port_in_use_is_one_line_and_leaves_nothing_open(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with listening(port=0) as [sock]:
        port = sock.getsockname()[1]
        message = refusal(bind=[f"unix:{path}", f"127.0.0.1:{port}"])

    assert message.startswith(f"cannot listen on 127.0.0.1:{port}: the port is in use")
    assert f"'sport = {port}'" in message
    assert not path.exists()


def test_a_port_is_never_shared_with_another_server() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_REUSEPORT", 15), 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert "in use" in refusal(port=other.getsockname()[1])


def test_connections_that_linger_do_not_keep_a_port() -> None:
    with listening(port=0) as [sock]:
        port = sock.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted = sock.accept()[0]
            while accepted.getpeername() != client.getsockname():  # the one of `listening`
                accepted.close()
                accepted = sock.accept()[0]
            accepted.close()  # first: it is the server's side that lingers
            assert client.recv(1) == b""
    with listening(port=port):
        pass


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param({"host": "192.0.2.1"}, "this machine has no such address", id="address"),
        pytest.param({"host": "no.such.host.invalid"}, "is not known", id="name"),
        pytest.param({"host": "a" * 64 + ".invalid"}, "is not known", id="no-name"),
        pytest.param({"fd": 0, "port": 1}, "it is not a socket", id="fd-file"),
        pytest.param({"fd": 9999}, "it is not open", id="fd-closed"),
    ],
)
def test_places_that_cannot_be_had_are_explained(options: dict[str, Any], reason: str) -> None:
    with open(os.devnull, "rb") as null:
        saved = os.dup(0)
        os.dup2(null.fileno(), 0)
        try:
            message = refusal(**options)
        finally:
            os.dup2(saved, 0)
            os.close(saved)
    assert message.startswith("cannot listen on ")
    assert reason in message


DROPPED = """
import os, sys
from uvicorn_worker.config import Config
from uvicorn_worker.errors import ConfigError
from uvicorn_worker.sockets.opening import bind_all
"a".encode("idna")  # imported now: afterwards Python's own files may be out of reach
os.setuid(65534)
for options in ({"port": 1}, {"uds": sys.argv[1]}):
    try:
        bind_all(Config("app:app", **options), {})
    except ConfigError as exc:
        print(exc)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_permissions_that_lack_are_explained(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    done = subprocess.run(
        [sys.executable, "-c", DROPPED, str(path)],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip

    lines = done.stdout.splitlines()
    assert any(line.startswith(f"cannot listen on unix:{path}: permission") for line in lines)
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as start:
        if int(start.read()) > 1:
            assert lines[0].startswith("cannot listen on 127.0.0.1:1: permission denied")


# -- inherited


@pytest.mark.parametrize("listens", [True, False])
def test_a_descriptor_is_taken_as_it_is(listens: bool) -> None:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    if listens:
        sock.listen(7)
    address = sock.getsockname()

    with listening(fd=sock.detach()) as [taken]:
        assert taken.getsockname() == address


def test_a_descriptor_among_binds_is_taken() -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    address = sock.getsockname()

    with listening(bind=[f"fd://{sock.detach()}", "127.0.0.1:0"]) as [taken, _]:
        assert taken.getsockname() == address


def one_of_a_pair(stack: contextlib.ExitStack) -> socket.socket:
    one, other = socket.socketpair()
    stack.enter_context(other)
    return one


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda stack: socket.socket(type=socket.SOCK_DGRAM), "no stream socket"),
        (lambda stack: socket.socket(), "bound to no address"),
        (lambda stack: socket.socket(socket.AF_UNIX), "bound to no address"),
        (one_of_a_pair, "it is a connection"),
    ],
    ids=["datagrams", "unbound", "unbound-unix", "connection"],
)
def test_a_descriptor_that_cannot_listen_is_explained_and_left_open(make: Any, reason: str) -> None:
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(make(stack))
        message = refusal(fd=sock.fileno())
        assert message.startswith(f"cannot listen on fd://{sock.fileno()}: ")
        assert reason in message
        assert sock.getsockname() is not None  # still open
