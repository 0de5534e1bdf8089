"""deploy/nginx/, in a real nginx: everything passes through, and no restart loses a request."""

from __future__ import annotations

import pprint
import shutil
import signal
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.process.deploy.conftest import APP
from tests.support.load import Load
from tests.support.passing import assert_passes
from tests.support.proxies import deployed_nginx
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.process.deploy.conftest import StartBackend
    from tests.support.supervisor import StartSupervisor

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx: apt-get install nginx"),
]


TIMEOUT = 20.0
"""Seconds for anything that takes one on a machine with nothing else to do."""


def assert_no_loss(load: Load) -> None:
    losses = load.outcomes.losses()
    assert not losses, pprint.pformat(losses, width=120)


def wait_for_answers(load: Load, *, without: set[int]) -> None:
    """Wait until a worker that is none of `without` has answered through the proxy."""
    served_by = load.outcomes.served_by
    eventually(
        lambda: served_by.keys() - without, timeout=TIMEOUT, message=f"answers not of {without}"
    )


def test_everything_passes_over_a_unix_socket(backend: StartBackend, tmp_path: Path) -> None:
    server = backend()
    with deployed_nginx(tmp_path, "upstream-socket.conf", [f"unix:{server.address}"]) as front:
        assert_passes(front)


def test_nothing_is_lost_by_reloads_and_recycling(backend: StartBackend, tmp_path: Path) -> None:
    """Neither a 502 nor a 504, with connections to the server that nginx keeps."""
    server = backend("--max-requests", "100", "--max-requests-jitter", "50")
    with (
        deployed_nginx(tmp_path, "upstream-socket.conf", [f"unix:{server.address}"]) as front,
        Load(front, busy=4, reconnecting=2, idle=4, idle_time=0.7) as load,
    ):
        load.wait_for_requests(100, timeout=TIMEOUT)
        for _ in range(2):
            before = server.worker_pids()
            server.signal(signal.SIGHUP)
            wait_for_answers(load, without=before)
            load.wait_for_requests(100, timeout=TIMEOUT)
        served_by = load.outcomes.served_by
        eventually(lambda: len(served_by) >= 10, timeout=TIMEOUT, message="recycling")
    assert_no_loss(load)


def test_servers_on_several_ports_are_restarted_in_turn(
    supervisor: StartSupervisor, tmp_path: Path
) -> None:
    first, second = (
        supervisor(APP, "--port", "0", "--keep-alive", "25", own_address=True) for _ in "12"
    )
    servers = [f"127.0.0.1:{server.tcp[1]}" for server in (first, second)]
    with deployed_nginx(tmp_path, "upstream-ports.conf", servers) as front:
        with Load(front, busy=4, reconnecting=2, idle=4, idle_time=0.7) as load:
            load.wait_for_requests(100, timeout=TIMEOUT)
            eventually(lambda: len(load.outcomes.served_by) == 2, message="both answer")
            first.signal(signal.SIGTERM)
            assert first.wait_exit(TIMEOUT) == 0
            load.wait_for_requests(100, timeout=TIMEOUT)
            again = supervisor(
                APP, "--port", str(first.tcp[1]), "--keep-alive", "25", own_address=True
            )
            fresh = again.wait_for_workers(1)
            eventually(lambda: fresh & load.outcomes.served_by.keys(), timeout=TIMEOUT)
        assert_no_loss(load)
        assert httpx.post(f"http://{front[0]}:{front[1]}/echo", content=b"a").text == "a"
