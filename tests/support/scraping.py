"""Scrapes of the metrics, and a load under which they have to be right to the single request."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pytest

from tests.support.load import Load
from tests.support.replies import ask
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.support.replies import Address

DIED = 'uvicorn_worker_restarts_total{reason="died"}'
RECYCLED = 'uvicorn_worker_restarts_total{reason="requests"}'

# The long form takes minutes: METRICS_REQUESTS=100000 METRICS_LIMIT=4000 METRICS_RECYCLES=20
# METRICS_KILLS=5.
REQUESTS = int(os.environ.get("METRICS_REQUESTS", "2000"))
LIMIT = os.environ.get("METRICS_LIMIT", "300")
RECYCLES = int(os.environ.get("METRICS_RECYCLES", "4"))
KILLS = int(os.environ.get("METRICS_KILLS", "2"))

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Samples(dict[str, float]):
    """The samples of one scrape: `name{labels}` -> value."""

    def total(self, name: str) -> int:
        """Return the sum over all labels."""
        return int(sum(value for key, value in self.items() if key.partition("{")[0] == name))


def parse(text: str) -> Samples:
    """Return the samples of a scrape in Prometheus's text format."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return Samples((key, float(value)) for key, value in (line.rsplit(" ", 1) for line in lines))


def scrape(address: Address) -> Samples:
    reply = ask(address, "/metrics")
    assert reply.status == 200
    return parse(reply.text)


def promtool_accepts(text: str) -> None:
    """Let Prometheus's own tool judge a scrape; the test is skipped, loudly, without it."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus): THE SCRAPE IS NOT CHECKED")
    done = subprocess.run(
        [promtool, "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


class Server(Protocol):
    """A master with workers."""

    @property
    def address(self) -> Address: ...

    def worker_pids(self) -> set[int]: ...


class Count(NamedTuple):
    """What clients have counted: answers, and requests that have ended without one."""

    answered: int
    lost: int
    scrapes: int

    def agrees(self, samples: Samples) -> bool:
        """Return whether a scrape tells the same, less what was in flight in killed workers."""
        total = samples.total("uvicorn_requests_total")
        print(f"\n{self}, {total=}, {samples[RECYCLED]=}, {samples[DIED]=}")  # noqa: T201  # shown with a failure, and for the long form
        return (
            self.answered <= total <= self.answered + self.lost
            and samples.total("uvicorn_request_duration_seconds_count") == total
        )


class Watch:
    """Scrapes without a pause; a counter that falls is a failure."""

    def __init__(self, address: Address) -> None:
        self.scrapes = 0
        self.fallen: list[str] = []
        self._address = address
        self._last = Samples()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scrapes")

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._thread.join(20)

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            try:
                samples = scrape(self._address)
            except OSError:  # whoever was to answer was killed
                continue
            self.scrapes += 1
            for key, value in self._last.items():
                name = key.partition("{")[0]
                counts = name.endswith(("_total", "_bucket", "_count", "_sum"))
                if counts and samples.get(key, 0.0) < value:
                    self.fallen.append(f"{key}: {value} -> {samples.get(key)}")
            self._last = samples


def _who_serves(server: Server, load: Load) -> int | None:
    """Return a worker that has answered and is there; None while they take turns."""
    return min(load.outcomes.served_by.keys() & server.worker_pids(), default=None)


def recount(
    server: Server, metrics: Address, *, requests: int, recycles: int, kills: int, clients: int = 6
) -> Count:
    """Keep a server busy, kill workers meanwhile, and return what the clients have counted.

    It ends when so many workers have reached their limit of requests. No counter may fall.
    """
    with (
        Watch(metrics) as watch,
        Load(server.address, busy=clients, paths=("/pid",), pause=0.0) as load,
    ):
        for _ in range(kills):
            load.wait_for_requests(requests // (kills + 1), timeout=120)
            os.kill(eventually(lambda: _who_serves(server, load)), signal.SIGKILL)
        eventually(lambda: load.outcomes.ok >= requests, timeout=600, message=f"{requests}")
        eventually(lambda: scrape(metrics)[RECYCLED] >= recycles, timeout=60)
    assert not watch.fallen, watch.fallen[:5]
    outcomes = load.outcomes
    losses = outcomes.losses(allowed=("reset_new", "reset_kept", "closed_early", "cut"))
    assert not losses, losses
    lost = outcomes.reset_new + outcomes.reset_kept + outcomes.cut
    assert lost <= kills * clients, outcomes
    return Count(outcomes.ok, lost, watch.scrapes)
