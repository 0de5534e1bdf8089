"""deploy/haproxy/ and deploy/caddy/, in the real programs."""

from __future__ import annotations

import pprint
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.load import Load
from tests.support.passing import assert_passes
from tests.support.proxies import deployed_caddy, deployed_haproxy
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.process.deploy.conftest import StartBackend
    from tests.support.proxies import Address

    Deployed = Callable[[Path, str], AbstractContextManager[Address]]

pytestmark = pytest.mark.slow


def proxy(deployed: Deployed, name: str, **env: str) -> object:
    """Return the case of a proxy, where it is installed; `env` is for the server behind it."""
    missing = shutil.which(name) is None
    mark = pytest.mark.skipif(missing, reason=f"needs {name}: apt-get install {name}")
    return pytest.param(deployed, env, marks=mark, id=name)


@pytest.mark.parametrize(
    ("deployed", "env"),
    [
        proxy(
            deployed_haproxy, "haproxy", UVICORN_PROXY_PROTOCOL="v2", UVICORN_HEALTH_PATH="/healthz"
        ),
        proxy(deployed_caddy, "caddy", UVICORN_SERVER_HEADER="false"),
    ],
)
def test_everything_passes_and_a_reload_loses_nothing(
    backend: StartBackend, tmp_path: Path, deployed: Deployed, env: dict[str, str]
) -> None:
    server = backend(**env)
    with deployed(tmp_path, str(server.address)) as front:
        assert_passes(front)
        with Load(front, busy=4, reconnecting=2, idle=4, idle_time=0.7) as load:
            load.wait_for_requests(100, timeout=20.0)
            before = server.worker_pids()
            server.signal(signal.SIGHUP)
            eventually(lambda: load.outcomes.served_by.keys() - before, timeout=20.0)
            load.wait_for_requests(100, timeout=20.0)
        losses = load.outcomes.losses()
        assert not losses, pprint.pformat(losses, width=120)
    assert "is DOWN" not in (tmp_path / "proxy.log").read_text()  # what HAProxy's check would say
