"""Sockets bound as a configuration says, and what is said where they cannot be."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

import pytest

from uvicorn_worker.config import Config
from uvicorn_worker.errors import ConfigError
from uvicorn_worker.sockets.opening import bind_all, describe, remove_files

if TYPE_CHECKING:
    from collections.abc import Iterator

APP = "app:app"


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
