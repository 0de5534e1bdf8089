"""Which of several listeners of one address a worker accepts from."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from uvicorn_worker.config import Config
from uvicorn_worker.sockets.lanes import Lanes, free_lanes, number_lanes
from uvicorn_worker.sockets.opening import bind_all


@pytest.mark.parametrize(
    ("count", "seats", "free"),
    [
        (1, {1}, set()),
        (4, {1, 2, 3, 4}, set()),
        (4, {2}, {0, 2, 3}),
        (2, {3}, {1}),  # more workers than at the start
        (2, {3, 4}, set()),
        (2, {0}, {0}),  # one that has not said its seat
    ],
)
def test_lanes_without_a_worker_are_free(count: int, seats: set[int], free: set[int]) -> None:
    assert free_lanes(count, seats) == free


def test_a_worker_watches_its_own_lanes_and_those_that_nobody_has() -> None:
    config = Config("app:app", bind=("127.0.0.1:0", "127.0.0.2:0"), reuse_port=True)
    taken: set[int] = {2, 3}
    with ExitStack() as stack:
        sockets = [stack.enter_context(sock) for sock in bind_all(config, {}, lanes=3)]
        shared = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        assert len({sock.getsockname() for sock in sockets}) == 2
        assert [numbers for _, *numbers in number_lanes([*sockets, shared])] == [
            *([lane, 3] for lane in (0, 1, 2, 0, 1, 2)),
            [0, 1],
        ]
        lanes = Lanes([*sockets, shared], 1, lambda: taken)

        assert lanes.watched() == [sockets[0], sockets[3], shared]
        taken.remove(3)
        assert lanes.watched() == [*sockets[0:4:2], sockets[3], sockets[5], shared]


def test_without_the_option_nobody_else_may_listen() -> None:
    [sock] = bind_all(Config("app:app", port=0), {}, lanes=3)
    with sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 0


def test_with_the_option_servers_share_a_port() -> None:
    [first] = bind_all(Config("app:app", port=0, reuse_port=True), {})
    with first:
        port = first.getsockname()[1]
        [second] = bind_all(Config("app:app", port=port, reuse_port=True), {}, explicit=True)
        with second:
            assert first.getsockname() == second.getsockname()
