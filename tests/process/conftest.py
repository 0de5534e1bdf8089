"""Fixtures for tests with real processes and signals."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

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


Server = TypeVar("Server", "RunningGunicorn", "RunningCommand", "RunningSupervisor")


@contextmanager
def running(kind: type[Server], tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Start real servers, each in a folder with `files` of its own; they end with the test."""
    servers: list[Server] = []
    name_of_kind = kind.__name__.removeprefix("Running").lower()

    def start(*words: str, files: Mapping[str, str] | None = None, **options: Any) -> Any:
        folder = tmp_path / f"{name_of_kind}-{len(servers)}"
        folder.mkdir()
        for name, text in (files or {}).items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        servers.append(kind(folder, *words, **options))
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
def gunicorn(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[StartGunicorn]:
    """Start real Gunicorns; see tests/support/gunicorn.py."""
    with running(RunningGunicorn, tmp_path, request) as start:
        yield start


@pytest.fixture
def command(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[StartCommand]:
    """Start real `uvicorn-worker`s; see tests/support/command.py."""
    with running(RunningCommand, tmp_path, request) as start:
        yield start


@pytest.fixture
def supervisor(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[StartSupervisor]:
    """Start real `uvicorn-supervisor`s; see tests/support/supervisor.py."""
    with running(RunningSupervisor, tmp_path, request) as start:
        yield start


@pytest.fixture
def clients() -> Iterator[ThreadPoolExecutor]:
    """Return threads for requests that are still in flight while the test goes on."""
    with ThreadPoolExecutor(10) as pool:
        yield pool
