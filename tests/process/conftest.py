"""Fixtures for tests with real processes and signals."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.gunicorn import RunningGunicorn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.gunicorn import StartGunicorn


@pytest.fixture
def gunicorn(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[StartGunicorn]:
    """Start real Gunicorns that end with the test; see tests/support/gunicorn.py."""
    servers: list[RunningGunicorn] = []

    def start(app: str, *args: str, **options: Any) -> RunningGunicorn:
        folder = tmp_path / f"gunicorn-{len(servers)}"
        folder.mkdir(exist_ok=True)
        server = RunningGunicorn(folder, app, *args, **options)
        servers.append(server)
        return server

    yield start
    problems = []
    for server in servers:
        try:
            server.stop()
        except AssertionError as exc:
            problems.append(str(exc))
        request.node.add_report_section("teardown", "gunicorn.log", server.log_text())
    if problems:
        pytest.fail("; ".join(problems), pytrace=False)


@pytest.fixture
def clients() -> Iterator[ThreadPoolExecutor]:
    """Return threads for requests that are still in flight while the test goes on."""
    with ThreadPoolExecutor(10) as pool:
        yield pool
