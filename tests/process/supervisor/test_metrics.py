"""`--metrics` of a real supervisor: one scrape for all workers, and whether they live."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.ports import free_port
from tests.support.replies import ask
from tests.support.scraping import (
    DIED,
    KILLS,
    LIMIT,
    OPENMETRICS,
    RECYCLES,
    REQUESTS,
    promtool_accepts,
    recount,
    scrape,
)
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.support.supervisor import StartSupervisor

APP = "tests.apps.basic:app"


@pytest.mark.slow
@pytest.mark.timeout(60 + REQUESTS // 100)
def test_scrapes_agree_with_the_clients_whoever_is_recycled_or_killed(
    supervisor: StartSupervisor,
) -> None:
    metrics = ("127.0.0.1", free_port())
    server = supervisor(
        APP, "--workers", "2", "--limit-max-requests", LIMIT, "--metrics", f"127.0.0.1:{metrics[1]}"
    )
    server.wait_for_workers(2)

    count = recount(server, metrics, requests=REQUESTS, recycles=RECYCLES, kills=KILLS)

    assert count.agrees(scrape(metrics))


@pytest.mark.slow
def test_one_scrape_tells_of_all_workers_and_promtool_accepts_it(
    supervisor: StartSupervisor,
) -> None:
    server = supervisor(
        APP,
        "--workers", "2",
        "--metrics", "unix:metrics.sock",
        "--health-path", "/healthz",
        "--access-logfile", "access.log",
    )  # fmt: skip
    server.wait_for_workers(2)
    metrics = str(server.folder / "metrics.sock")
    for headers in ({}, {"X-Request-Start": "t=0"}, {"X-Request-Start": "nonsense"}):
        assert ask(server.address, "/pid", headers=headers).status == 200
    assert ask(server.address, "/missing", "PROPFIND").status == 404
    assert ask(server.address, "/healthz").body == b"OK"
    reply = ask(metrics, "/metrics")

    samples = scrape(metrics)
    assert samples['uvicorn_requests_total{method="GET",status="2xx"}'] == 3
    assert samples['uvicorn_requests_total{method="other",status="4xx"}'] == 1
    assert samples.total("uvicorn_requests_total") == 4  # not the health check
    assert samples['uvicorn_workers{state="ready"}'] == 2
    assert samples["uvicorn_request_queue_seconds_count"] == 0
    assert 0 <= samples["uvicorn_saturation_ratio"] <= 1
    assert samples['uvicorn_worker_memory_bytes{worker="0"}'] > 1_000_000
    assert "healthz" not in (server.folder / "access.log").read_text()
    promtool_accepts(reply.text)
    openmetrics = ask(metrics, "/metrics", headers={"Accept": OPENMETRICS})
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.text.endswith("# EOF\n")
    assert ask(metrics, "/nothing").status == 404


@pytest.mark.slow
def test_the_supervisor_says_when_nobody_serves_and_that_it_lives(
    supervisor: StartSupervisor,
) -> None:
    server = supervisor(
        APP,
        "--metrics", "unix:metrics.sock",
        "--health-path", "/healthz",
        "--drain-delay", "30",
    )  # fmt: skip
    metrics = str(server.folder / "metrics.sock")

    server.wait_for_workers(1)
    eventually(lambda: ask(metrics, "/readyz").status == 200)
    assert ask(server.address, "/healthz").status == 200

    (worker,) = server.worker_pids()
    server.signal(signal.SIGKILL, worker)
    eventually(lambda: scrape(metrics)[DIED] == 1)
    server.wait_for_workers(1, without={worker})

    server.signal(signal.SIGTERM)  # accepts for the delay, and says that nobody should come
    eventually(lambda: ask(server.address, "/healthz").status == 503)
    assert ask(metrics, "/readyz").status == 503
    assert ask(metrics, "/livez").status == 200
    server.signal(signal.SIGQUIT)


@pytest.mark.slow
def test_counters_go_on_over_upgrades(supervisor: StartSupervisor) -> None:
    server = supervisor(APP, "--metrics", "unix:metrics.sock")
    metrics, asked, totals = str(server.folder / "metrics.sock"), 0, []
    (worker,) = server.wait_for_workers(1)
    server.signal(signal.SIGKILL, worker)
    server.wait_for_workers(1, without={worker})

    def count() -> None:
        nonlocal asked
        assert ask(server.address, "/pid").status == 200
        asked += 1
        totals.append(scrape(metrics).total("uvicorn_requests_total"))

    for _ in range(3):
        count()
        os.kill(upgraded := server.masters().pop(), signal.SIGUSR2)
        while upgraded in server.masters():
            count()
    eventually(lambda: scrape(metrics).total("uvicorn_requests_total") == asked)

    assert totals == sorted(totals)
    assert scrape(metrics)[DIED] == 1
    os.kill(server.masters().pop(), signal.SIGTERM)
    server.wait_until_gone()
