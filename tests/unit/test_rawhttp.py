"""The raw client of the tests: it refuses what a strict client has to refuse."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.rawhttp import End, NoAnswer, ProtocolError, RawClient, Truncated
from tests.support.tcpqueue import UnreadBytes

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = b"HTTP/1.1 200 OK\r\n"


@contextmanager
def peer() -> Iterator[tuple[RawClient, socket.socket]]:
    """A client and the other end of its connection."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        RawClient(listener.getsockname(), timeout=5) as client,
    ):
        server, _ = listener.accept()
        with server:
            yield client, server


@contextmanager
def answered(data: bytes) -> Iterator[RawClient]:
    """A client whose peer sends `data` and then FIN."""
    with peer() as (client, server):
        server.sendall(data)
        server.close()
        yield client


@pytest.mark.parametrize(
    ("data", "method", "framing", "body"),
    [
        (HEAD + b"Content-Length: 5\r\n\r\nhello", "GET", "length", b"hello"),
        (HEAD + b"Content-Length: 5\r\n\r\n", "HEAD", "none", b""),
        (
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "GET",
            "chunked",
            b"hello",
        ),
        (HEAD + b"\r\nto the end", "GET", "close", b"to the end"),
        (b"HTTP/1.0 404 \r\n\r\n", "GET", "close", b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "GET", "none", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "GET", "none", b""),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + HEAD + b"\r\n", "GET", "close", b""),
    ],
)
def test_response_is_read(data: bytes, method: str, framing: str, body: bytes) -> None:
    with answered(data) as client:
        response = client.read_response(method)
        assert (response.framing, response.body) == (framing, body)
        assert client.read_end() is End.EOF


def test_trailers_chunks_and_interim_responses_are_kept() -> None:
    data = b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    with answered(data + b"2\r\nhe\r\n3\r\nllo\r\n0\r\nX-T: v\r\n\r\n") as client:
        response = client.read_response()
    assert [one.status for one in response.interim] == [100]
    assert response.chunks == [b"he", b"llo"]
    assert response.trailers == [(b"x-t", b"v")]


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 0 OK\r\n\r\n",
        b"HTTP/1.1 99 OK\r\n\r\n",
        b"HTTP/1.1 1000 OK\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\nX: y\r\n\r\n",
        HEAD + b"X : y\r\n\r\n",
        HEAD + b"X: a\r\n b\r\n\r\n",
        HEAD + b"X: a\0b\r\n\r\n",
        HEAD + b"X\r\n\r\n",
        HEAD + b"X: a\rb\r\n\r\n",
        HEAD + b"Content-Length: +5\r\n\r\nhello",
        HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\n\r\n",
        HEAD + b"Date: a\r\nDate: b\r\n\r\n",
        HEAD + b"Server: a\r\nServer: a\r\n\r\n",
        HEAD + b"Connection: close, keep-alive\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
)
def test_what_is_not_http_is_an_error(data: bytes) -> None:
    with answered(data) as client, pytest.raises(ProtocolError):
        client.read_response()


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 2",
        HEAD + b"X: y\r\n",
        HEAD + b"Content-Length: 5\r\n\r\nhell",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhe",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ],
)
def test_cut_response_is_told_from_a_bad_one(data: bytes) -> None:
    with answered(data) as client, pytest.raises(Truncated) as caught:
        client.read_response()
    assert caught.value.end is End.EOF


def test_cut_response_shows_what_had_come() -> None:
    with (
        answered(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nwor") as client,
        pytest.raises(Truncated) as caught,
    ):
        client.read_response()
    assert caught.value.response is not None
    assert caught.value.response.body == b"hellowor"


def test_end_without_an_answer_is_told() -> None:
    with answered(b"") as client, pytest.raises(NoAnswer) as caught:
        client.read_response()
    assert caught.value.end is End.EOF


def test_bytes_before_the_end_are_an_error() -> None:
    with answered(HEAD + b"Content-Length: 0\r\n\r\nmore") as client:
        client.read_response()
        with pytest.raises(ProtocolError, match="more"):
            client.read_end()


def test_reset_is_told_from_the_end() -> None:
    with peer() as (client, server):
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.close()
        assert client.read_end() is End.RESET


def test_response_that_a_reset_ends_is_cut() -> None:
    with peer() as (client, server):
        server.sendall(HEAD + b"\r\nto the")
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.close()
        with pytest.raises(Truncated):
            client.read_response()


@pytest.mark.parametrize("step", [1, 7])
def test_pieces_are_read_one_by_one(step: int) -> None:
    data = bytes(range(50))
    reads: list[bytes] = []

    def read(server: socket.socket) -> None:
        while sum(map(len, reads)) < len(data):
            reads.append(server.recv(1000))

    with peer() as (client, server):
        unread = UnreadBytes(server.getsockname(), client.address)
        told = unread.count()
        unread.close()
        if told is None:
            pytest.skip("this system does not tell what a peer has read")
        reader = threading.Thread(target=read, args=[server])
        reader.start()
        client.send(data, step)
        reader.join()
    assert reads == [data[start : start + step] for start in range(0, len(data), step)]


def test_reset_of_the_client_is_seen_by_its_peer() -> None:
    with peer() as (client, server):
        client.reset()
        with pytest.raises(ConnectionResetError):
            server.recv(1)
