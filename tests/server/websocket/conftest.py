"""Servers for the tests of WebSockets: the two pairs that ship, each with its engine."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.support.rawws import RawWebSocket
from tests.support.serving import serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.serving import RunningServer
    from uvicorn_worker.asgi import Application

PAIRS: dict[str, dict[str, Any]] = {
    "websockets": {"http": "httptools", "loop": "auto", "ws": "websockets"},
    "wsproto": {"http": "h11", "loop": "asyncio", "ws": "wsproto"},
}


class Start(Protocol):
    """Starts a server that ends with the test."""

    def __call__(self, app: Application, **config: Any) -> RunningServer: ...


@pytest.fixture(scope="session", params=PAIRS)
def pair(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Parser, loop and engine under test; every case runs with both."""
    return PAIRS[request.param]


@pytest.fixture
def start(pair: dict[str, Any]) -> Iterator[Start]:
    with ExitStack() as stack:

        def run(app: Application, **config: Any) -> RunningServer:
            return stack.enter_context(serve(app, **{**pair, **config}))

        yield run


class Connect(Protocol):
    """Opens a connection that ends with the test."""

    def __call__(self, server: RunningServer, **options: Any) -> RawWebSocket: ...


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Return a connection to a server: shaken hands unless `open` is False."""
    with ExitStack() as stack:

        def run(server: RunningServer, *, open: bool = True, **options: Any) -> RawWebSocket:
            client = stack.enter_context(RawWebSocket((server.host, server.port)))
            if open:
                client.open(**options)
            return client

        yield run
