"""deploy/kubernetes/: the container's command, and what its probes see of a stop."""

from __future__ import annotations

import signal
import sysconfig
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support.dockerfiles import instructions
from tests.support.ports import free_port
from tests.support.proxies import DEPLOY
from tests.support.replies import ask
from tests.support.supervisor import SERVING
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.support.command import StartCommand

pytestmark = pytest.mark.slow


def test_a_pod_that_stops_says_no_and_goes_on_serving(command: StartCommand) -> None:
    deployment = yaml.safe_load((DEPLOY / "kubernetes" / "deployment.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    (entry,) = (
        step.array
        for step in instructions(DEPLOY / "docker" / "Dockerfile")
        if step.name == "ENTRYPOINT"
    )
    metrics = free_port()
    places = {
        "main:app": "tests.apps.basic:app",
        "0.0.0.0:8000": "127.0.0.1:0",
        "0.0.0.0:9090": f"127.0.0.1:{metrics}",
        "--log-format=json": "--log-format=text",
    }
    program, *words = (places.get(word, word) for word in (*entry, *container["args"]))
    server = command(*words, command=(f"{sysconfig.get_path('scripts')}/{program}",))
    found = SERVING.search(server.wait_for_log("Serving on ", timeout=20.0))
    assert found
    server.listens_on((found[1], int(found[2])))
    probes = {
        kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("readiness", "liveness")
    }

    def status(kind: str) -> int:
        return ask(("127.0.0.1", metrics), probes[kind]).status

    assert (status("readiness"), status("liveness")) == (200, 200)
    assert "connection" not in server.get("/").headers
    server.signal(signal.SIGTERM)
    eventually(lambda: status("readiness") == 503)
    assert status("liveness") == 200
    # For the seconds of --drain-delay. A worker takes notice after the supervisor has.
    eventually(lambda: server.get("/").headers.get("connection") == "close")
    assert server.get("/").status == 200
    server.signal(signal.SIGINT)  # that is enough
    assert server.wait_exit() == 0
