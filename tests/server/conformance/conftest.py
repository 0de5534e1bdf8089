"""Servers for the conformance suite: one per parser and configuration, kept for the session."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal

import pytest

from tests.apps.conformance import ConformanceApp
from tests.server.conformance.harness import Target
from tests.support.serving import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.server.conftest import Http

# The two pairs that ship: UvicornWorker and UvicornH11Worker.
LOOPS: dict[Http, Literal["auto", "asyncio"]] = {"httptools": "auto", "h11": "asyncio"}


@pytest.fixture(scope="session")
def make_target(http: Http) -> Iterator[Callable[..., Target]]:
    """Return a server for a configuration; the same one for the same configuration."""
    made: dict[str, Target] = {}
    with ExitStack() as stack:

        def make(**config: Any) -> Target:
            key = repr(sorted(config.items()))
            if key not in made:
                app = ConformanceApp()
                server = stack.enter_context(serve(app, http=http, loop=LOOPS[http], **config))
                made[key] = Target(server, app)
            return made[key]

        yield make


@pytest.fixture(scope="session")
def target(make_target: Callable[..., Target]) -> Target:
    """The server as configured by default."""
    return make_target()
