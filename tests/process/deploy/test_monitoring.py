"""deploy/prometheus/ and deploy/grafana/: promtool understands them, and a server exports it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support.proxies import DEPLOY
from tests.support.replies import ask

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.supervisor import StartSupervisor

RULES = DEPLOY / "prometheus" / "rules.yaml"
DASHBOARD = DEPLOY / "grafana" / "dashboard.json"

METRIC = re.compile(r"\buvicorn_\w+")
VARIABLES = {"$__rate_interval": "5m", "$job": "shop", "$instance": "a"}
"""What Grafana puts in."""

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="needs promtool: apt-get install prometheus"
)

pytestmark = pytest.mark.slow


def promtool(*words: str) -> None:
    done = subprocess.run(
        ["promtool", *words], capture_output=True, text=True, check=False, cwd=RULES.parent
    )
    assert done.returncode == 0, done.stdout + done.stderr


def panels() -> list[Any]:
    found: list[Any] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def queries() -> list[str]:
    """Return the queries of the dashboard, as Prometheus gets them."""
    found = [target["expr"] for panel in panels() for target in panel["targets"]]
    for name, value in VARIABLES.items():
        found = [query.replace(name, value) for query in found]
    return found


@needs_promtool
def test_alerts_fire_when_they_should_and_not_otherwise() -> None:
    promtool("check", "rules", RULES.name)
    promtool("test", "rules", "rules_test.yaml")


def test_every_alert_is_in_both_of_their_tests() -> None:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    alerts = {rule["alert"] for rule in group["rules"]}
    quiet, loud = yaml.safe_load((RULES.parent / "rules_test.yaml").read_text())["tests"]
    assert {one["alertname"] for one in quiet["alert_rule_test"]} == alerts
    (firing,) = loud["promql_expr_test"]
    assert set(re.findall(r'"(\w+)"', str(firing["exp_samples"]))) == alerts


@needs_promtool
def test_prometheus_understands_every_query_of_the_dashboard(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{n}", "expr": query} for n, query in enumerate(queries())]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(path))


def test_panels_lie_side_by_side() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels()]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in panels()}) == len(places)


def test_a_server_exports_what_they_name(supervisor: StartSupervisor) -> None:
    server = supervisor("tests.apps.basic:app", "--metrics", "unix:metrics.sock")
    server.wait_for_workers(1)
    assert server.get("/").status == 200
    place = str(server.folder / "metrics.sock")
    assert [ask(place, path).status for path in ("/livez", "/readyz")] == [200, 200]
    scrape = ask(place, "/metrics").text

    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    expressions = [*queries(), *(rule["expr"] for rule in group["rules"])]
    named = set(METRIC.findall("\n".join(expressions)))
    assert named - set(METRIC.findall(scrape)) == set()
    (reasons,) = set(re.findall(r'reason=~"([^"]+)"', "\n".join(expressions)))
    assert set(reasons.split("|")) <= set(re.findall(r'reason="(\w+)"', scrape))
    autoscaler = (DEPLOY / "kubernetes" / "autoscaler.yaml").read_text()
    assert set(METRIC.findall(autoscaler)) <= set(METRIC.findall(scrape))
