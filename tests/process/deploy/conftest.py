"""Servers that are put behind proxies: the same application under each of our two engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.gunicorn import RunningGunicorn, StartGunicorn
    from tests.support.supervisor import RunningSupervisor, StartSupervisor

    StartBackend = Callable[..., RunningGunicorn | RunningSupervisor]

APP = "tests.apps.deployed:app"
SOCKET = "http.sock"


@pytest.fixture(params=["gunicorn", "supervisor"])
def backend(
    request: pytest.FixtureRequest, gunicorn: StartGunicorn, supervisor: StartSupervisor
) -> StartBackend:
    """Start two workers behind a UNIX socket, with further options that both engines know."""

    def start(*options: str, **env: str) -> RunningGunicorn | RunningSupervisor:
        common = ("--workers", "2", "--keep-alive", "25", *options)
        server: RunningGunicorn | RunningSupervisor
        if request.param == "gunicorn":
            server = gunicorn(APP, *common, env=env, bind=[f"unix:{{folder}}/{SOCKET}"])
        else:
            server = supervisor(APP, *common, "--uds", SOCKET, env=env, own_address=True)
        server.wait_for_workers(2)
        return server

    return start
