"""Listeners of an earlier process take the place of new ones, with what waits in their queues."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest

from uvicorn_worker.config import Config
from uvicorn_worker.sockets.binds import Inherited
from uvicorn_worker.sockets.opening import Keep, bind_all, remove_files

if TYPE_CHECKING:
    from pathlib import Path


def bind(keep: Keep, **options: Any) -> list[socket.socket]:
    return bind_all(Config("app:app", **options), {}, explicit=True, keep=keep)


def passed(*sockets: socket.socket) -> list[Inherited]:
    """Give descriptors away, as an earlier process does by systemd."""
    return [Inherited(os.dup(sock.fileno())) for sock in sockets]


@pytest.mark.parametrize("any_port", [False, True])
def test_a_kept_socket_is_taken_by_its_address(any_port: bool) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        client = stack.enter_context(socket.create_connection(first.getsockname()))
        keep = stack.enter_context(closing(Keep(passed(first))))
        port = first.getsockname()[1]
        first.close()

        [sock] = bind(keep, port=0 if any_port else port)

        with sock:
            assert sock.getsockname()[1] == port
            accepted, peer = sock.accept()  # it waited there
            accepted.close()
            assert peer == client.getsockname()


def test_what_is_listened_on_no_more_is_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as first:
        address = first.getsockname()
        keep = Keep(passed(first))
    sockets = bind(keep, host="127.0.0.2", port=0)
    keep.close()

    for sock in sockets:
        sock.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


@pytest.mark.parametrize("there", [True, False])
def test_a_file_is_taken_over_as_long_as_it_is_there(there: bool, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as first:
        first.bind(path)
        first.listen()
        keep = Keep(passed(first))
    if not there:
        os.unlink(path)

    [sock] = bind(keep, uds=path)
    keep.close()

    with sock, socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        remove_files([sock])
        assert not os.path.exists(path)


def test_what_cannot_listen_is_let_go_of() -> None:
    reader, writer = os.pipe()
    keep = Keep([Inherited(reader)])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reader)
    os.close(writer)
    keep.close()
