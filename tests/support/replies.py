"""One request on a connection of its own, over TCP or a UNIX socket."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from dataclasses import dataclass
from typing import Any

Address = tuple[str, int] | str
"""Host and port, or the path of a UNIX socket."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, read to its end."""

    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        """Return the body, read as JSON."""
        return json.loads(self.body)


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection over a UNIX socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = open_connection(self._path, self.timeout)


def open_connection(address: Address, timeout: float | None) -> socket.socket:
    """Return a new connection; the caller closes it."""
    if not isinstance(address, str):
        return socket.create_connection(address, timeout)
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(timeout)
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


def ask(
    address: Address,
    path: str,
    method: str = "GET",
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    timeout: float = 10.0,
) -> Reply:
    """Send one request and return its answer.

    Raises:
        OSError, http.client.HTTPException: there was none.
    """
    if isinstance(address, str):
        client: http.client.HTTPConnection = UnixConnection(address, timeout)
    else:
        client = http.client.HTTPConnection(*address, timeout=timeout)
    with contextlib.closing(client):
        client.request(method, path, body, headers or {})
        answer = client.getresponse()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, fields, answer.read())
