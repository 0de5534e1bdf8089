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


def assert_no_loss(load: Load) -> None:
    losses = load.outcomes.losses()
    assert not losses, pprint.pformat(losses, width=120)


def test_everything_passes_over_a_unix_socket(backend: StartBackend, tmp_path: Path) -> None:
    server = backend()
    with deployed_nginx(tmp_path, "upstream-socket.conf", [f"unix:{server.address}"]) as front:
        assert_passes(front)


def test_nothing_is_lost_by_reloads_and_recycling(backend: StartBackend, tmp_path: Path) -> None:
    """Neither a 502 nor a 504, with connections to the server that nginx keeps."""
    server = backend("--max-requests", "300", "--max-requests-jitter", "100")
    with (
        deployed_nginx(tmp_path, "upstream-socket.conf", [f"unix:{server.address}"]) as front,
        Load(front, busy=4, reconnecting=2, idle=4, idle_time=0.7) as load,
    ):
        load.wait_for_requests(200)
        for _ in range(2):
            before = server.worker_pids()
            server.signal(signal.SIGHUP)
            fresh = eventually(lambda old=before: load.outcomes.served_by.keys() - old)  # type: ignore[misc]  # the default binds this turn's
            assert fresh
            load.wait_for_requests(100)
        eventually(lambda: len(load.outcomes.served_by) >= 10, timeout=20.0, message="recycling")
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
            load.wait_for_requests(200)
            assert len(load.outcomes.served_by) == 2
            first.signal(signal.SIGTERM)
            assert first.wait_exit(30.0) == 0
            load.wait_for_requests(100)
            again = supervisor(
                APP, "--port", str(first.tcp[1]), "--keep-alive", "25", own_address=True
            )
            fresh = again.wait_for_workers(1)
            eventually(lambda: fresh & load.outcomes.served_by.keys())
        assert_no_loss(load)
        assert httpx.post(f"http://{front[0]}:{front[1]}/echo", content=b"a").text == "a"
