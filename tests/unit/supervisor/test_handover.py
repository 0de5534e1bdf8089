"""What an upgrade passes on, and whose it is at which moment."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from uvicorn_supervisor.holdings import handover
from uvicorn_supervisor.holdings.handover import (
    TAKEN_OVER,
    VARIABLE,
    Handover,
    Wishes,
    adopt_all,
    offer,
    receive,
)
from uvicorn_worker.errors import ConfigError
from uvicorn_worker.sockets.unix import UnixListener

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def listeners(tmp_path: Path) -> Iterator[list[socket.socket]]:
    """Return what a supervisor listens on: a port, and a UNIX socket with a file."""
    unix = UnixListener()
    unix.open(str(tmp_path / "app.sock"), mode=0o600, backlog=5)
    with socket.create_server(("127.0.0.1", 0)) as tcp, unix:
        yield [tcp, unix]


def pass_on(given: Handover) -> Handover:
    """Return what the new program makes of it; descriptors are copied, as a fork does."""
    environ = given.announce() | {"KEPT": "1"}
    sockets = tuple(handover.Passed(os.dup(one.fd), one.path) for one in given.sockets)
    copied = Handover(os.getppid(), os.dup(given.mailbox), sockets, wishes=given.wishes)
    environ.update(copied.announce())
    received = receive(environ)
    assert environ == {"KEPT": "1"}
    assert received == copied
    return copied


def test_sockets_arrive_and_their_file_changes_hands_when_the_new_one_serves(
    listeners: list[socket.socket],
) -> None:
    reader, writer = os.pipe()
    given = offer(listeners, writer, wishes=Wishes(workers=3, level=10))
    assert given.descriptors == (writer, *(sock.fileno() for sock in listeners))

    received = pass_on(given)
    assert received.wishes == Wishes(workers=3, level=10)
    adopted = adopt_all(received, backlog=5)
    try:
        assert [sock.getsockname() for sock in adopted] == [
            sock.getsockname() for sock in listeners
        ]
        assert not any(sock.get_inheritable() for sock in adopted)
        old, new = listeners[1], adopted[1]
        assert isinstance(old, UnixListener)
        assert isinstance(new, UnixListener)

        new.unlink()  # it does not own the file yet
        assert os.path.exists(old.path)
        received.done(adopted)
        assert os.read(reader, 10) == bytes([TAKEN_OVER])
        handover.give_up(listeners)
        old.unlink()
        assert os.path.exists(old.path)
        new.unlink()
        assert not os.path.exists(old.path)
    finally:
        for sock in adopted:
            sock.close()
        os.close(reader)
        os.close(writer)


def test_an_old_supervisor_that_has_gone_is_not_waited_for() -> None:
    reader, writer = os.pipe()
    os.close(reader)

    Handover(1, writer, ()).done([])

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(writer)


def test_somebody_elses_handover_is_not_taken() -> None:
    environ = Handover(1 if os.getppid() != 1 else 2, 3, ()).announce()

    assert receive(environ) is None
    assert environ == {}
    assert receive(environ) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": 1, "mailbox": 2, "sockets": [1]}'])
def test_what_no_supervisor_has_written_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=f"{VARIABLE}=.*: expected what a supervisor sets"):
        receive({VARIABLE: text})


def test_a_socket_that_cannot_be_used_leaves_none_open(listeners: list[socket.socket]) -> None:
    reader, writer = os.pipe()
    first = os.dup(listeners[0].fileno())
    bad = Handover(1, writer, (handover.Passed(first, ""), handover.Passed(reader, "")))

    with pytest.raises(ConfigError, match="it is not a socket"):
        adopt_all(bad, backlog=5)

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(first)
    os.close(reader)
    os.close(writer)


def test_a_file_that_was_removed_meanwhile_is_nobodys(listeners: list[socket.socket]) -> None:
    unix = listeners[1]
    assert isinstance(unix, UnixListener)
    other = UnixListener.inherited(socket.socket(fileno=os.dup(unix.fileno())), unix.path)
    Path(unix.path).unlink()

    other.claim()
    other.unlink()

    other.close()
