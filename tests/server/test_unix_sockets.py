"""Listening on files and names of UNIX sockets."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.binding import APP, listening, names, reachable, refusal
from uvicorn_worker.config import Config
from uvicorn_worker.errors import ConfigError
from uvicorn_worker.sockets.opening import bind_all, remove_files

if TYPE_CHECKING:
    from pathlib import Path


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


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
def test_a_name_without_a_file_is_bound() -> None:
    name = f"unix:@uvicorn-worker-test-{os.getpid()}"
    with listening(bind=[name]) as sockets:
        assert names(sockets) == [name]
        assert "another process listens there" in refusal(bind=[name])
    assert "more than 107 bytes" in refusal(bind=["unix:@" + "x" * 108])
