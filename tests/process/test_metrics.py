"""UVICORN_METRICS of a real Gunicorn: any worker answers for all, whoever is recycled or killed."""

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
    from tests.support.gunicorn import StartGunicorn

APP = "tests.apps.basic:app"


@pytest.mark.slow
@pytest.mark.timeout(60 + REQUESTS // 100)
def test_scrapes_agree_with_the_clients_whoever_is_recycled_or_killed(
    gunicorn: StartGunicorn,
) -> None:
    metrics = ("127.0.0.1", free_port())
    server = gunicorn(
        APP, "--workers", "3", "--max-requests", LIMIT,
        env={"UVICORN_METRICS": f"127.0.0.1:{metrics[1]}"},
    )  # fmt: skip
    server.wait_for_workers(3)

    count = recount(server, metrics, requests=REQUESTS, recycles=RECYCLES, kills=KILLS)

    assert count.agrees(scrape(metrics))


@pytest.mark.slow
def test_reloads_and_upgrades_keep_the_address_and_only_one_master_answers(
    gunicorn: StartGunicorn,
) -> None:
    env = {"UVICORN_METRICS": "unix:metrics.sock", "UVICORN_HEALTH_PATH": "/healthz"}
    server = gunicorn(APP, "--workers", "1", env=env, bind=["127.0.0.1:0"])
    metrics = str(server.folder / "metrics.sock")
    killed = server.wait_for_workers(1)
    assert server.get("/healthz").status == 200  # it serves: who is killed before cannot boot
    server.signal(signal.SIGKILL, *killed)
    before = server.wait_for_workers(1, without=killed)
    assert scrape(metrics)[DIED] == 1
    assert server.get("/pid").status == server.get("/healthz").status == 200
    reply = ask(metrics, "/metrics")
    promtool_accepts(reply.text)
    openmetrics = ask(metrics, "/metrics", headers={"Accept": OPENMETRICS})
    assert openmetrics.text.endswith("# EOF\n")

    server.signal(signal.SIGHUP)
    server.wait_for_workers(1, without=before)
    eventually(lambda: scrape(metrics)['uvicorn_worker_restarts_total{reason="reload"}'] == 1)
    assert scrape(metrics).total("uvicorn_requests_total") == 1
    assert ask(metrics, "/livez").status == ask(metrics, "/readyz").status == 200

    server.signal(signal.SIGUSR2)
    second = server.second_master()
    server.wait_for_workers(1, master=second)
    for _ in range(5):  # the new master's figures, every time
        assert scrape(metrics).total("uvicorn_requests_total") == 0
    server.signal(signal.SIGTERM, second)  # the old one goes on
    eventually(lambda: scrape(metrics).total("uvicorn_requests_total") == 1)
    assert os.path.exists(metrics)


def test_a_port_in_use_ends_the_start_with_one_line(gunicorn: StartGunicorn) -> None:
    with_it = gunicorn(APP)
    assert with_it.get("/pid").status == 200  # Gunicorn forgets a stop while its workers boot
    where = f"127.0.0.1:{with_it.address[1]}"
    server = gunicorn(APP, env={"UVICORN_METRICS": where}, expect_exit=None)

    assert server.wait_exit() == 1
    assert "UVICORN_METRICS: cannot listen on" in server.log_text()
    assert "the port is in use" in server.log_text()
    assert "Traceback" not in server.log_text()
