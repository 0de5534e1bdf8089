"""The load clients count every kind of loss: a scripted server does each thing once."""

from __future__ import annotations

import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from tests.support import load as load_module
from tests.support.load import Load, Outcomes
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    Script = Callable[[socket.socket], None]


def serve_one(script: Script, **clients: int) -> Outcomes:
    """Run clients against a server that handles one connection as scripted, then refuses."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        listener.close()  # before the script: no second connection is accepted
        with connection:
            connection.settimeout(5)
            script(connection)

    server = threading.Thread(target=serve)
    server.start()
    with Load(listener.getsockname(), until_refused=True, paths=("/",), **clients) as load:
        load.join()
    server.join()
    return load.outcomes


def request_id(connection: socket.socket) -> str:
    """Read one request and return its id."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        data += connection.recv(1 if data else 4)
    return data.split(b"id=")[1].split()[0].decode()


def answer(number: str, *fields: str, status: int = 200) -> bytes:
    body = f"1 {number}\n"
    lines = [f"HTTP/1.1 {status} .", f"Content-Length: {len(body)}", *fields, "", body]
    return "\r\n".join(lines).encode()


def reset(connection: socket.socket) -> None:
    """Make the close that follows a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_good_answers_and_announced_close_are_no_loss() -> None:
    def script(connection: socket.socket) -> None:
        for fields in ((), ("Connection: close",)):
            connection.sendall(answer(request_id(connection), *fields))

    outcomes = serve_one(script, busy=1)
    assert (outcomes.ok, outcomes.closes, outcomes.served_by) == (2, 1, {1: 2})
    assert outcomes.losses(allowed=["refused"]) == {}


def closed_unread(connection: socket.socket) -> None:
    connection.recv(1, socket.MSG_PEEK)  # it has come
    reset(connection)


def closed_after_request(connection: socket.socket) -> None:
    request_id(connection)


def closed_after_second_request(connection: socket.socket) -> None:
    connection.sendall(answer(request_id(connection)))
    request_id(connection)


def reset_after_second_request(connection: socket.socket) -> None:
    closed_after_second_request(connection)
    reset(connection)


def cut_in_head(connection: socket.socket) -> None:
    connection.sendall(answer(request_id(connection))[:20])


def cut_in_body(connection: socket.socket) -> None:
    connection.sendall(answer(request_id(connection))[:-1])


def wrong_status(connection: socket.socket) -> None:
    connection.sendall(answer(request_id(connection), status=404))


def server_error(connection: socket.socket) -> None:
    connection.sendall(answer(request_id(connection), status=500))


def somebody_elses_answer(connection: socket.socket) -> None:
    request_id(connection)
    connection.sendall(answer("999"))


def bytes_behind_last_answer(connection: socket.socket) -> None:
    connection.sendall(answer(request_id(connection), "Connection: close") + b"more")


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (closed_unread, {"reset_new": 1}),
        (closed_after_request, {"reset_new": 1}),
        (closed_after_second_request, {"reset_kept": 1}),
        (reset_after_second_request, {"reset_kept": 1}),
        (cut_in_head, {"cut": 1}),
        (cut_in_body, {"cut": 1}),
        (wrong_status, {"wrong": 1}),
        (server_error, {"errors": 1}),
        (somebody_elses_answer, {"wrong": 1}),
        (bytes_behind_last_answer, {"wrong": 1}),
    ],
)
def test_loss_is_counted_once_by_its_kind(script: Script, expected: dict[str, int]) -> None:
    losses = serve_one(script, busy=1).losses(allowed=["refused"])
    del losses["ok"], losses["problems"]
    assert losses == expected


def test_unannounced_close_of_an_idle_connection_is_noticed() -> None:
    def script(connection: socket.socket) -> None:
        connection.sendall(answer(request_id(connection)))

    listener = socket.create_server(("127.0.0.1", 0))
    with Load(listener.getsockname(), idle=1, idle_time=0.5, paths=("/",)) as load:
        for _ in range(2):
            connection, _address = listener.accept()
            with connection:
                script(connection)
        listener.close()
        eventually(lambda: load.outcomes.closed_early)
    assert load.outcomes.losses(allowed=["refused", "reset_new"]).keys() >= {"closed_early"}


def test_request_without_answer_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_module, "REQUEST_TIMEOUT", 0.1)
    done = threading.Event()

    def script(connection: socket.socket) -> None:
        request_id(connection)
        connection.recv(1)  # until the client gives up
        done.set()

    assert serve_one(script, reconnecting=1).timeout == 1
    assert done.is_set()


def test_pipelined_requests_behind_announced_close_are_retried() -> None:
    def script(connection: socket.socket) -> None:
        connection.sendall(answer(request_id(connection)))
        connection.sendall(answer(request_id(connection), "Connection: close"))
        request_id(connection)

    outcomes = serve_one(script, pipelining=1)
    assert (outcomes.ok, outcomes.retried) == (2, 1)
    assert outcomes.losses(allowed=["refused"]) == {}


def test_pipelined_answers_out_of_order_are_wrong() -> None:
    def script(connection: socket.socket) -> None:
        first, second = request_id(connection), request_id(connection)
        connection.sendall(answer(second) + answer(first))

    assert serve_one(script, pipelining=1).wrong == 3
