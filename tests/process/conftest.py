"""Fixtures for tests with real processes and signals."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import RunningCommand
from tests.support.gunicorn import RunningGunicorn
from tests.support.supervisor import RunningSupervisor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.command import StartCommand
    from tests.support.gunicorn import StartGunicorn
    from tests.support.supervisor import StartSupervisor


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
def command(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[StartCommand]:
    """Start real `uvicorn-worker`s that end with the test; see tests/support/command.py."""
    servers: list[RunningCommand] = []

    def start(*words: str, files: Mapping[str, str] | None = None, **options: Any) -> Any:
        folder = tmp_path / f"command-{len(servers)}"
        folder.mkdir(exist_ok=True)
        for name, text in (files or {}).items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        servers.append(RunningCommand(folder, *words, **options))
        return servers[-1]

    yield start
    problems = []
    for server in servers:
        try:
            server.stop()
        except AssertionError as exc:
            problems.append(str(exc))
        request.node.add_report_section("teardown", "log", server.log_text())
    if problems:
        pytest.fail("; ".join(problems), pytrace=False)


@pytest.fixture
def supervisor(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[StartSupervisor]:
    """Start real `uvicorn-supervisor`s that end with the test; see tests/support/supervisor.py."""
    servers: list[RunningSupervisor] = []

    def start(app: str, *words: str, files: Mapping[str, str] | None = None, **options: Any) -> Any:
        folder = tmp_path / f"supervisor-{len(servers)}"
        folder.mkdir(exist_ok=True)
        for name, text in (files or {}).items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        servers.append(RunningSupervisor(folder, app, *words, **options))
        return servers[-1]

    yield start
    problems = []
    for server in servers:
        try:
            server.stop()
        except AssertionError as exc:
            problems.append(str(exc))
        request.node.add_report_section("teardown", "log", server.log_text())
    if problems:
        pytest.fail("; ".join(problems), pytrace=False)


@pytest.fixture
def clients() -> Iterator[ThreadPoolExecutor]:
    """Return threads for requests that are still in flight while the test goes on."""
    with ThreadPoolExecutor(10) as pool:
        yield pool
