"""deploy/kubernetes/: valid by the published schemas, at one with itself and with the server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest
import yaml

from tests.support.dockerfiles import instructions
from uvicorn_supervisor.cli import read

if TYPE_CHECKING:
    from uvicorn_supervisor.config import SupervisorConfig

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
OBJECTS = {path.name: yaml.safe_load(path.read_text()) for path in FOLDER.glob("*.yaml")}
VERSIONS = ["1.28.0", "1.32.0", kubernetes_validate.latest_version()]
NOT_OF_KUBERNETES = "servicemonitor.yaml"  # of the Prometheus operator

LABELS = {"app.kubernetes.io/name": "shop"}


def pod() -> Any:
    return OBJECTS["deployment.yaml"]["spec"]["template"]["spec"]


def container() -> Any:
    (only,) = pod()["containers"]
    return only


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", sorted(OBJECTS.keys() - {NOT_OF_KUBERNETES}))
def test_schemas_know_every_field(name: str, version: str) -> None:
    kubernetes_validate.validate(OBJECTS[name], version, strict=True)


def test_selectors_find_the_pods() -> None:
    assert OBJECTS["deployment.yaml"]["spec"]["template"]["metadata"]["labels"] == LABELS
    assert OBJECTS["deployment.yaml"]["spec"]["selector"]["matchLabels"] == LABELS
    assert OBJECTS["service.yaml"]["spec"]["selector"] == LABELS
    assert OBJECTS["disruption.yaml"]["spec"]["selector"]["matchLabels"] == LABELS
    assert OBJECTS[NOT_OF_KUBERNETES]["spec"]["selector"]["matchLabels"] == LABELS
    assert OBJECTS["service.yaml"]["metadata"]["labels"] == LABELS
    target = OBJECTS["autoscaler.yaml"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", "shop")


def test_ports_have_one_name_everywhere() -> None:
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    (exposed,) = (step for step in steps() if step.name == "EXPOSE")
    assert [str(port) for port in ports.values()] == exposed.words.split()
    assert {port["targetPort"] for port in OBJECTS["service.yaml"]["spec"]["ports"]} == set(ports)
    (endpoint,) = OBJECTS[NOT_OF_KUBERNETES]["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in OBJECTS["service.yaml"]["spec"]["ports"]}
    probes = [container()[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness")]
    assert [probe["path"] for probe in probes] == ["/readyz", "/readyz"]
    assert container()["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "metrics"}
    assert {probe["port"] for probe in probes} == {"metrics"}


def test_a_pod_has_time_to_end() -> None:
    config = told_by_the_pod()
    assert config.timeout_graceful_shutdown is not None
    ends = config.drain_delay + config.timeout_graceful_shutdown
    assert config.drain_delay > 0
    assert pod()["terminationGracePeriodSeconds"] > ends
    probe = container()["readinessProbe"]
    assert config.drain_delay > probe["periodSeconds"] * probe["failureThreshold"]
    probe = container()["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] > config.timeout_boot


def test_it_is_not_root() -> None:
    (user,) = (step.words for step in steps() if step.name == "USER")
    assert pod()["securityContext"]["runAsNonRoot"]
    assert int(user) > 0  # a name could be anybody


def test_the_arithmetic_of_the_document() -> None:
    scaler = OBJECTS["autoscaler.yaml"]["spec"]
    text = (FOLDER.parent / "README.md").read_text()
    (metric,) = (one["pods"] for one in scaler["metrics"])
    assert f"`{metric['metric']['name']}`" in text
    found = re.search(
        r"(\d+) requests/s \S (\d+) ms = (\d+) in flight; (\d+) / (\d+) = (\d+) pods", text
    )
    assert found, "the line with the example"
    rate, time, flying, again, each, pods = map(int, found.groups())
    assert rate * time / 1000 == flying == again
    assert flying / each == pods
    workers = int(container()["resources"]["limits"]["cpu"])  # what --workers=auto counts
    share = int(metric["target"]["averageValue"].rstrip("m")) / 1000
    assert each == workers * (told_by_the_pod().limit_concurrency or 0) * share
    assert scaler["minReplicas"] <= pods <= scaler["maxReplicas"]


def told_by_the_pod() -> SupervisorConfig:
    """Return what the server makes of the image's entry point and the pod's arguments."""
    (entry,) = (step.array for step in steps() if step.name == "ENTRYPOINT")
    told = read([*entry[1:], *container()["args"]], {})
    assert told is not None
    return told.config


def steps() -> Any:
    return instructions(FOLDER.parent / "docker" / "Dockerfile")
