"""The examples with something heavy in their lifespan, under both engines: a model, a database."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support import postgres
from tests.support.frameworks import ENGINES, address
from tests.support.gunicorn import CHECKOUT
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.support.frameworks import Server
    from tests.support.gunicorn import StartGunicorn
    from tests.support.supervisor import StartSupervisor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]  # making a PostgreSQL takes its time

LEAVE_SOON = ("--keep-alive", "1")  # a worker in a reload gives idle clients this long


@pytest.fixture(params=ENGINES)
def start(
    request: pytest.FixtureRequest,
    gunicorn: StartGunicorn,
    supervisor: StartSupervisor,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Server]:
    """Start the example of that name, with options that both engines know."""
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT / "examples"), prepend=os.pathsep)

    def run(name: str, *options: str, env: Mapping[str, str]) -> Server:
        engine = gunicorn if request.param == "gunicorn" else supervisor
        return engine(f"{name}:app", *options, env=env)

    return run


def client_of(server: Server) -> httpx.Client:
    return httpx.Client(base_url=address(server, "http"), timeout=30)


def test_a_model_that_loads_longer_than_the_timeout(start: Callable[..., Server]) -> None:
    seconds = {"LOAD_SECONDS": "3", "INFERENCE_SECONDS": "0.2"}
    server = start("ml_app", "--timeout", "2", *LEAVE_SOON, env=seconds)

    with client_of(server) as client, ThreadPoolExecutor(10) as threads:

        def predict(text: str) -> httpx.Response:
            return client.post("/predict", json={"text": text})

        # The listener is open from the start: the answer waits for the model.
        assert predict("A good day").json() == {"label": "positive"}
        assert server.log_text().count("model loaded in ") == 1
        assert predict("such bad work").json() == {"label": "negative"}

        def seen_at_work() -> bool:
            """Return whether the loop has answered while inference went on, and refused some."""
            futures = [threads.submit(predict, "fine") for _ in range(10)]
            seen = False
            while not all(future.done() for future in futures):
                seen = seen or client.get("/status").json()["requests"] > 0
            codes = {future.result().status_code for future in futures}
            assert codes <= {200, 503}
            return seen and codes == {200, 503}

        eventually(seen_at_work, timeout=30)

        before = client.get("/status").json()["pid"]
        server.signal(signal.SIGHUP)
        # Every answer has to be there: the old worker's until the new one has its model.
        eventually(lambda: client.get("/status").json()["pid"] != before, timeout=30)
        assert server.log_text().count("model loaded in ") == 2
    server.stop()
    assert server.log_text().count("inference threads have ended") == 2
    assert "TIMEOUT" not in server.log_text()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Yield the DATABASE_URL of a new database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/notes.sqlite"
    elif postgres.AVAILABLE:
        with postgres.postgresql() as url:
            yield url
    else:
        pytest.skip(postgres.MISSING)


def test_a_pool_of_connections_in_each_worker(start: Callable[..., Server], database: str) -> None:
    server = start(
        "database_app", "--workers", "2", "--preload", *LEAVE_SOON, env={"DATABASE_URL": database}
    )

    with client_of(server) as client, ThreadPoolExecutor(20) as threads:
        texts = [f"note {number}" for number in range(40)]  # more at once than connections
        added = list(threads.map(lambda text: client.post("/notes", json={"text": text}), texts))
        assert {answer.status_code for answer in added} == {201}
        server.signal(signal.SIGHUP)
        eventually(lambda: server.log_text().count("pool closed") == 2, timeout=30)

        kept = {note["number"]: note["text"] for note in client.get("/notes").json()}
        numbers = [answer.json()["number"] for answer in added]
        assert kept == dict(zip(numbers, texts, strict=True))
    if database.startswith("postgresql:"):
        others = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        assert 0 < int(postgres.query(database, f"{others} AND pid != pg_backend_pid()")) <= 10
    server.stop()
    assert server.log_text().count("pool opened: ") == server.log_text().count("pool closed") == 4
    if database.startswith("postgresql:"):
        assert "terminat" not in server.log_text()
        assert postgres.query(database, f"{others} AND pid != pg_backend_pid()") == "0"
