"""The desk, with real sockets and an imagined clock: it never waits, whoever asks."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from typing import TYPE_CHECKING

import pytest

from uvicorn_supervisor.control.credentials import Peer, peer_of, refused
from uvicorn_supervisor.control.desk import (
    MOST_CONNECTIONS,
    MOST_RECEIVED,
    TO_ASK,
    TO_CLOSE,
    TO_READ,
    Counter,
    Deferred,
    Desk,
)
from uvicorn_supervisor.control.deskhttp import Answer
from uvicorn_supervisor.decisions.limits import NEVER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uvicorn_supervisor.control.deskhttp import Request

LARGE = 30 * 1024**2  # bytes: more than the kernel takes


class World:
    """A desk with one counter, and its clients."""

    def __init__(self) -> None:
        self.clock = 1000.0
        self.desk = Desk(lambda: self.clock)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.deferred: list[Deferred] = []
        self.refuses: str | None = None
        self._undo = contextlib.ExitStack()
        self._undo.enter_context(self.listener)
        self.counter = Counter(
            (self.listener,),
            {
                ("GET", "/"): lambda request: Answer(200, request.path.encode()),
                ("GET", "/large"): lambda request: Answer(200, bytes(LARGE)),
                ("GET", "/later"): self._later,
                ("POST", "/broken"): lambda request: Answer(1 // 0, b""),
            },
            lambda sock: self.refuses,
        )
        self.desk.open(self.counter)

    def _later(self, request: Request) -> Deferred:
        self.deferred.append(Deferred())
        return self.deferred[-1]

    def connect(self, data: bytes = b"") -> socket.socket:
        client = self._undo.enter_context(socket.create_connection(self.listener.getsockname()))
        client.settimeout(5)
        client.sendall(data)
        return client

    def ask(self, path: str = "/", method: str = "GET") -> socket.socket:
        return self.connect(f"{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())

    def turn(self, *others: socket.socket) -> None:
        """Do as the loop does: wait until there is something to do, then do it.

        Something else to do is also that one of `others` can be read.
        """
        select.select([*self.desk.readers, *others], self.desk.writers, [], 5)
        self.desk.turn()

    def later(self, seconds: float) -> None:
        self.clock += seconds
        self.desk.turn()

    def close(self) -> None:
        self.desk.close()
        self._undo.close()


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def read(client: socket.socket) -> tuple[int, bytes]:
    """Return status and content of an answer that is read to the end of the connection."""
    data = bytearray()
    while part := client.recv(1024**2):
        data += part
    head, _, content = bytes(data).partition(b"\r\n\r\n")
    return int(head.split()[1]), content


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/", (200, b"/")),
        ("HEAD", "/", (200, b"")),
        ("GET", "/nothing", (404, b"there is nothing here\n")),
        ("POST", "/", (405, b"expected GET\n")),
        ("POST", "/broken", (500, b"this has failed; the log says why\n")),
    ],
)
def test_questions_are_answered(
    method: str, path: str, expected: tuple[int, bytes], world: World
) -> None:
    client = world.ask(path, method)

    world.turn()

    assert read(client) == expected
    client.close()
    world.turn()
    assert world.counter.connections == []
    assert world.desk.deadline == NEVER


def test_a_malformed_request_is_answered_although_more_was_sent(world: World) -> None:
    client = world.connect(b"hello\r\n\r\n" + b"x" * 100_000)

    world.turn()

    assert read(client)[0] == 400


def test_an_answer_comes_when_it_is_known(world: World) -> None:
    client = world.ask("/later")
    world.turn()
    world.later(3600)
    assert world.desk.deadline == NEVER, "verdicts take their time"

    world.deferred[0].settle(Answer(200, b"now"))
    world.deferred[0].settle(Answer(500, b"too late"))

    assert read(client) == (200, b"now")


def test_who_does_not_wait_any_more_is_forgotten(world: World) -> None:
    client = world.ask("/later")
    world.turn()

    client.close()
    world.turn()

    assert world.deferred[0].gone
    assert world.counter.connections == []
    world.deferred[0].settle(Answer(200, b"to nobody"))


def test_a_request_that_never_ends_is_dropped_in_time(world: World) -> None:
    client = world.connect(b"GET / HTTP/1.1\r\n")
    world.turn()
    assert world.desk.deadline == world.clock + TO_ASK
    world.later(TO_ASK - 1)
    assert len(world.counter.connections) == 1

    world.later(1)

    assert world.counter.connections == []
    assert client.recv(10) == b""


def test_a_large_answer_goes_out_as_it_is_read(world: World) -> None:
    client = world.ask("/large")
    world.turn()
    assert world.desk.writers

    client.setblocking(False)
    received = 0
    while world.desk.writers:
        world.turn(client)
        with contextlib.suppress(BlockingIOError):
            while part := client.recv(1024**2):
                received += len(part)

    client.setblocking(True)
    while part := client.recv(1024**2):
        received += len(part)
    assert received > LARGE


def test_an_answer_that_nobody_reads_is_dropped_in_time(world: World) -> None:
    world.ask("/large")
    world.turn()

    world.later(TO_READ)

    assert world.counter.connections == []


def test_who_does_not_close_is_closed_in_time(world: World) -> None:
    client = world.ask()
    world.turn()
    assert read(client)[0] == 200

    world.later(TO_CLOSE)

    assert world.counter.connections == []


def test_who_sends_without_end_is_dropped(world: World) -> None:
    client = world.ask("/later")
    world.turn()
    client.setblocking(False)

    sent = 0
    with contextlib.suppress(ConnectionError):
        while world.counter.connections:
            with contextlib.suppress(BlockingIOError):
                sent += client.send(b"x" * 65536)
            world.desk.turn()

    assert sent >= MOST_RECEIVED
    assert world.deferred[0].gone


def test_many_who_ask_nothing_keep_nobody_out(world: World) -> None:
    silent = [world.connect() for _ in range(MOST_CONNECTIONS)]
    world.turn()
    assert len(world.counter.connections) == MOST_CONNECTIONS

    client = world.ask()
    world.turn()

    assert read(client) == (200, b"/")
    assert silent[0].recv(10) == b"", "the oldest has to go"


def test_as_many_as_there_is_room_for_wait_for_their_answer(world: World) -> None:
    for _ in range(MOST_CONNECTIONS):
        world.ask("/later")
    while len(world.deferred) < MOST_CONNECTIONS:
        world.turn()
    client = world.ask()
    assert world.listener not in world.desk.readers, "or the loop would spin"

    for one in world.deferred:
        one.settle(Answer(200, b""))
    world.later(TO_CLOSE)
    world.turn()

    assert read(client)[0] == 200


def test_who_is_not_admitted_hears_why(world: World) -> None:
    world.refuses = "not you"
    client = world.ask()

    world.turn()

    assert read(client) == (403, b"not you\n")


def test_what_is_open_is_known_to_be_closed_after_a_fork(world: World) -> None:
    world.connect()
    world.turn()

    (connection,) = world.counter.connections
    assert world.desk.descriptors == [world.listener.fileno(), connection.sock.fileno()]


def test_who_was_accepted_is_answered_when_others_accept(world: World) -> None:
    client = world.ask("/later")
    world.turn()

    world.desk.leave()
    world.deferred[0].settle(Answer(200, b"bye"))

    assert read(client) == (200, b"bye")
    assert world.listener not in world.desk.readers
    assert world.listener.fileno() >= 0, "it is not the desk's to close"


def test_the_kernel_says_who_asks() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert peer_of(ours) == Peer(os.getpid(), os.getuid())
        assert refused(ours) is None
