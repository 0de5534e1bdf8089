"""Servers for the tests of TLS: on both loops, with certificates made once."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.server.tls.harness import KINDS, Kind, World, app
from tests.support.serving import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.support.serving import RunningServer


@pytest.fixture(params=KINDS, ids=lambda kind: kind.loop)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture
def start(world: World, kind: Kind) -> Iterator[Callable[..., RunningServer]]:
    """Start servers that end with the test; keywords are options of TLS, or of the server."""
    with contextlib.ExitStack() as stack:

        def start(settings: dict[str, Any] | None = None, **options: Any) -> RunningServer:
            server: AbstractContextManager[RunningServer] = serve(
                app, loop=kind.loop, http=kind.http, tls=world.tls(**options), **(settings or {})
            )
            return stack.enter_context(server)

        yield start
