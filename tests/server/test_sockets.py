"""Listening where a configuration says: real sockets, files and inherited descriptors."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from uvicorn_worker.config import Config
from uvicorn_worker.errors import ConfigError
from uvicorn_worker.sockets.opening import bind_all, describe, remove_files

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
APP = "app:app"

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        return True
    return False


ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")


@contextlib.contextmanager
def listening(**options: Any) -> Iterator[list[socket.socket]]:
    """Bind, check that clients can connect, clean up."""
    sockets = bind_all(Config(APP, **options), {})
    try:
        for sock in sockets:
            assert reachable(sock.family, sock.getsockname())
            assert not sock.get_inheritable()
        yield sockets
    finally:
        remove_files(sockets)
        for sock in sockets:
            sock.close()


def reachable(family: int, address: Any) -> bool:
    with socket.socket(family) as client:
        client.settimeout(10)
        return client.connect_ex(address) == 0


def refusal(**options: Any) -> str:
    """Return what is said of a configuration, as one line."""
    with pytest.raises(ConfigError) as caught:
        bind_all(Config(APP, **options), {})
    message = str(caught.value)
    assert "\n" not in message
    return message


def names(sockets: list[socket.socket]) -> list[str]:
    return [describe(sock, tls=False) for sock in sockets]


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


@linux
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


# -- UNIX


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o177])
@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_the_mode_is_as_told_whatever_the_umask(umask: int, mode: int, tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    before = os.umask(umask)
    try:
        with listening(uds=str(path), uds_mode=mode) as sockets:
            assert names(sockets) == [f"unix:{path}"]
            assert stat.S_IMODE(path.stat().st_mode) == mode
    finally:
        os.umask(before)
    assert not path.exists()


def leave_behind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


def test_a_leftover_gives_way(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    leave_behind(path)

    with listening(uds=str(path)):
        pass


def test_a_socket_in_use_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with listening(uds=str(path)) as [sock]:
        message = refusal(uds=str(path))
        assert f"cannot listen on unix:{path}: another process listens there" in message
        assert reachable(sock.family, str(path))


def test_a_queue_that_is_full_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        server.bind(str(path))
        server.listen(0)
        full = 0
        while full == 0:
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            full = client.connect_ex(str(path))
        if full == errno.EAGAIN:
            assert "another process listens there" in refusal(uds=str(path))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("file", "a file that is no socket has that name"),
        ("folder", "a folder has that name"),
        ("dangling", "something that is no socket has that name"),
        ("missing/a.sock", "the folder does not exist"),
        ("file/a.sock", "a part of the path is no folder"),
        ("x" * 108, "UNIX sockets have room for"),
    ],
)
def test_paths_that_cannot_be_had_are_explained(name: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious", "utf-8")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")

    assert reason in refusal(uds=str(tmp_path / name))
    assert (tmp_path / "file").read_text("utf-8") == "precious"


def test_a_path_may_be_relative_and_the_folder_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    [sock] = bind_all(Config(APP, uds="a.sock"), {})
    monkeypatch.chdir("/")

    remove_files([sock])
    sock.close()

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_more_ours_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    [sock] = bind_all(Config(APP, uds=str(path)), {})
    path.unlink()
    leave_behind(path)

    remove_files([sock])
    sock.close()

    assert path.exists()


def test_a_forked_process_does_not_remove_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with listening(uds=str(path)) as sockets:
        pid = os.fork()
        if not pid:
            remove_files(sockets)
            os._exit(0)
        os.waitpid(pid, 0)
        assert path.exists()


def test_of_servers_that_start_at_once_one_gets_the_path(tmp_path: Path) -> None:
    path, count = tmp_path / "a.sock", 4
    for _ in range(5):
        leave_behind(path)
        start = threading.Barrier(count)
        won: list[socket.socket] = []
        lost: list[str] = []

        def run(start: threading.Barrier, won: list[socket.socket], lost: list[str]) -> None:
            start.wait(10)
            try:
                won += bind_all(Config(APP, uds=str(path)), {})
            except ConfigError as exc:
                lost.append(str(exc))

        threads = [threading.Thread(target=run, args=(start, won, lost)) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        [winner] = won
        assert reachable(winner.family, str(path))
        remove_files(won)
        winner.close()
        assert len(lost) == count - 1


@linux
def test_a_name_without_a_file_is_bound() -> None:
    name = f"unix:@uvicorn-worker-test-{os.getpid()}"
    with listening(bind=[name]) as sockets:
        assert names(sockets) == [name]
        assert "another process listens there" in refusal(bind=[name])
    assert "more than 107 bytes" in refusal(bind=["unix:@" + "x" * 108])


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


@linux
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


@linux
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


@linux
def test_sockets_for_another_process_are_left_to_it(two_sockets: list[socket.socket]) -> None:
    with activated(two_sockets, {**OURS, "LISTEN_PID": "1"}, port=0) as (child, log):
        assert len(child["names"]) == 1
        assert len(child["left"]) == 3
        assert "LISTEN_PID=1 is for another process" in log


@linux
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
