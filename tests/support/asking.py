"""Requests written by hand on a socket, answers read by the standard library."""

from __future__ import annotations

import contextlib
import http.client
from typing import TYPE_CHECKING, Any

from tests.support.gunicorn import Reply

if TYPE_CHECKING:
    import socket

    from tests.support.gunicorn import RunningGunicorn


def read_reply(sock: socket.socket, method: str = "GET") -> Reply:
    """Read one answer to its end; the connection stays as the answer leaves it."""
    with contextlib.closing(http.client.HTTPResponse(sock, method=method)) as answer:
        answer.begin()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, fields, answer.read())


def ask(
    server: RunningGunicorn,
    *fields: str,
    line: str = "GET / HTTP/1.1",
    before: bytes = b"",
) -> Reply:
    """Send one request on a connection of its own: `line`, a Host field and these `fields`.

    `before` is sent ahead of it.
    """
    head = "".join(f"{one}\r\n" for one in (line, "Host: a", *fields, "Connection: close"))
    with server.connect() as sock:
        sock.sendall(before + head.encode("latin-1") + b"\r\n")
        return read_reply(sock, line.partition(" ")[0])


def told(server: RunningGunicorn, *fields: str, line: str = "GET / HTTP/1.1") -> dict[str, Any]:
    """Send one request; return what the application of tests/apps/report.py was told of it."""
    reply = ask(server, *fields, line=line)
    assert reply.status == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found
