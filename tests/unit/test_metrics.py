"""Metrics without a server: layout, waits, what a worker does now, exposition."""

from __future__ import annotations

import gc
import sys
import time

import pytest

from tests.support.meters import INTERVAL, OURS, answer, make_meter, show, worker
from tests.support.processes import NOBODY
from tests.support.scraping import OPENMETRICS, parse, promtool_accepts
from uvicorn_worker.errors import ConfigError
from uvicorn_worker.metrics import layout
from uvicorn_worker.metrics.answers import Answers, check_installed
from uvicorn_worker.metrics.figures import read, resident
from uvicorn_worker.metrics.layout import DURATIONS, LAGS, METHODS, ROW, STATUSES, bucket
from uvicorn_worker.metrics.meter import WINDOW
from uvicorn_worker.metrics.pauses import Pauses
from uvicorn_worker.metrics.queueing import waited
from uvicorn_worker.scoreboard.board import Scoreboard
from uvicorn_worker.scoreboard.rooms import ROOM

# -- layout


def test_every_field_has_a_place_of_its_own_in_the_room() -> None:
    starts = [layout.row(method, status) for method in METHODS for status in STATUSES]

    assert sorted(starts) == list(range(0, layout.CELLS, ROW))
    places = [
        layout.CELLS, layout.LAG + len(LAGS) + 1, layout.QUEUE + len(DURATIONS) + 1,
        layout.RESTARTS + len(layout.REASONS), layout.NOW, layout.END,
    ]  # fmt: skip
    assert places[0] == layout.LAG
    assert places[1] == layout.QUEUE
    assert places[2] == layout.RECEIVED
    assert places[3] == layout.DURATION_SUM
    assert 8 * layout.END <= ROOM


@pytest.mark.parametrize(
    ("status", "name"),
    [(200, "2xx"), (304, "3xx"), (404, "4xx"), (599, "5xx"), (600, "other"), (999, "other")],
)
def test_statuses_count_in_classes(status: int, name: str) -> None:
    assert layout.status_class(status) == name


def test_unknown_methods_share_a_name() -> None:
    assert layout.row("PROPFIND", "2xx") == layout.row("other", "2xx")


@pytest.mark.parametrize(
    ("seconds", "index"),
    [(0.0, 0), (0.001, 0), (0.0011, 1), (60.0, len(DURATIONS) - 1), (61.0, len(DURATIONS))],
)
def test_a_bucket_holds_what_does_not_exceed_its_bound(seconds: float, index: int) -> None:
    assert bucket(DURATIONS, seconds) == index


# -- X-Request-Start


NOW = 1_700_000_010.5


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        pytest.param(b"t=1700000000.500", 10.0, id="nginx"),
        pytest.param(b"1700000000.5", 10.0, id="seconds"),
        pytest.param(b"1700000000500", 10.0, id="heroku-milliseconds"),
        pytest.param(b"t=1700000000500000", 10.0, id="microseconds"),
        pytest.param(b"t=1700000000500000000", 10.0, id="nanoseconds"),
        pytest.param(b"t=1700000011.2", 0.0, id="clock-ahead-a-little"),
        pytest.param(b"t=1700000012.0", None, id="from-the-future"),
        pytest.param(b"t=1699990000.0", None, id="hours-ago"),
        pytest.param(b"t=0", None, id="zero"),
        pytest.param(b"", None, id="empty"),
        pytest.param(b"t=", None, id="no-number"),
        pytest.param(b"-1700000000500", None, id="negative"),
        pytest.param(b"t=1e9", None, id="exponent"),
        pytest.param(b"t=17000000005000000000", None, id="too-many-digits"),
        pytest.param(b"1700000000.5, 1700000001.5", None, id="two"),
    ],
)
def test_the_wait_behind_a_proxy_is_read_from_sane_values_only(
    field: bytes, seconds: float | None
) -> None:
    found = waited(field, NOW)

    assert found == (None if seconds is None else pytest.approx(seconds, abs=0.01))


# -- what a worker does now


def test_the_greatest_lag_is_that_of_the_last_window_or_two() -> None:
    board = Scoreboard(1)
    slot = worker(board)
    meter = make_meter(slot.room(), now=100.0)
    seen = []
    for now in (102.0, 102.125, 100.0 + WINDOW, 100.1 + WINDOW, 100.2 + 2 * WINDOW):
        meter.looked(now)
        (one,) = read(board, now).workers
        seen.append(round(one.lag_max, 3))

    assert seen == [1.875, 1.875, WINDOW - 2.125 - INTERVAL, WINDOW - 2.25, WINDOW - 0.025]


def test_the_longest_collection_is_that_of_the_last_window_or_two() -> None:
    board = Scoreboard(1)
    pauses = Pauses(worker(board).room(), now=100.0)
    seen = []
    for now, seconds in ((101.0, 0.2), (102.0, 0.1), (100.0 + WINDOW, 0.05), (200.0, 0.01)):
        pauses.took(seconds)
        pauses.look(now)
        (one,) = read(board, now).workers
        seen.append(one.pause_max)

    assert seen == [0.2, 0.2, 0.2, 0.01]
    assert read(board, 201.0).collecting == pytest.approx(0.36)


def test_collections_are_counted_while_the_worker_serves() -> None:
    board = Scoreboard(1)
    pauses = Pauses(worker(board).room(), now=time.monotonic())
    pauses.end()  # it may end before it has begun
    gc.collect()
    counted = [read(board, 100.0).collecting]
    pauses.begin()
    gc.collect()
    counted.append(read(board, 100.0).collecting)
    pauses.end()
    gc.collect()
    counted.append(read(board, 100.0).collecting)

    assert 0 == counted[0] < counted[1] == counted[2]


def test_a_loop_that_something_else_keeps_is_busy() -> None:
    board = Scoreboard(1)
    slot = worker(board)
    meter = make_meter(slot.room(), now=100.0)
    meter.looked(100.625)  # half a second late
    show(meter, 101.0)

    (one,) = read(board, 101.0).workers
    assert one.busy == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(("in_flight", "saturation"), [(5, 0.5), (30, 1.0)])
def test_saturation_is_the_share_of_the_limit_where_that_is_greater(
    in_flight: int, saturation: float
) -> None:
    board = Scoreboard(1)
    slot = worker(board)
    meter = make_meter(slot.room(), limit=10, now=100.0)
    show(meter, 1000.0, in_flight=in_flight)

    assert read(board, 1000.0).saturation == saturation


def test_a_worker_that_is_silent_is_busy_and_without_any_all_is_saturated() -> None:
    board = Scoreboard(2)
    assert read(board, 100.0).saturation == 1.0
    slot = worker(board)
    make_meter(slot.room(), now=100.0)
    slot.beat(100.0, in_flight=0, connections=0, total=0)

    assert read(board, 101.0).saturation == 0.0
    assert read(board, 110.0).saturation == 1.0


def test_memory_is_told_of_processes_that_exist() -> None:
    assert resident(NOBODY) is None
    assert (resident(OURS) or 0) > 1_000_000


# -- answers


@pytest.fixture
def answers() -> Answers:
    board = Scoreboard(4)
    meter = make_meter(worker(board).room())
    answer(meter, "GET", 200, 0.002)
    answer(meter, "GET", 200, 99.0)
    meter.untimed("PURGE", 0)
    meter.untimed("other", 431)
    meter.leaving("age")
    show(meter, time.monotonic() + 1, in_flight=3, http=4, websockets=2)
    return Answers(board, ready=lambda: False, now=time.monotonic)


def test_samples_say_what_was_counted(answers: Answers) -> None:
    samples = parse(answers.answer("GET", "/metrics").content.decode())

    expected = {
        'uvicorn_requests_total{method="GET",status="2xx"}': 2,
        'uvicorn_requests_total{method="other",status="aborted"}': 1,
        'uvicorn_requests_total{method="other",status="4xx"}': 1,
        'uvicorn_request_duration_seconds_bucket{le="0.001"}': 0,
        'uvicorn_request_duration_seconds_bucket{le="0.005"}': 1,
        'uvicorn_request_duration_seconds_bucket{le="60.0"}': 1,
        'uvicorn_request_duration_seconds_bucket{le="+Inf"}': 2,
        "uvicorn_request_duration_seconds_sum": 99.002,
        'uvicorn_worker_restarts_total{reason="age"}': 1,
        "uvicorn_requests_in_flight": 3,
        'uvicorn_connections{kind="http"}': 4,
        'uvicorn_connections{kind="websocket"}': 2,
        'uvicorn_workers{state="ready"}': 1,
    }
    assert expected.items() <= samples.items()


def test_openmetrics_is_for_those_who_ask(answers: Answers) -> None:
    plain = answers.answer("GET", "/metrics", "text/html, */*")
    asked = answers.answer("GET", "/metrics", OPENMETRICS)

    assert plain.content_type.startswith("text/plain")
    assert asked.content_type.startswith("application/openmetrics-text")
    assert asked.content.endswith(b"# EOF\n")


def test_promtool_accepts_the_exposition(answers: Answers) -> None:
    promtool_accepts(answers.answer("GET", "/metrics").content.decode())


def test_a_missing_package_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    check_installed("--metrics")
    monkeypatch.setitem(sys.modules, "prometheus_client", None)

    with pytest.raises(ConfigError, match=r"--metrics needs .* pip install 'uvicorn-worker\[me"):
        check_installed("--metrics")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/livez", 200),
        ("HEAD", "/livez", 200),
        ("GET", "/readyz", 503),
        ("POST", "/metrics", 405),
        ("GET", "/", 404),
    ],
)
def test_other_questions(answers: Answers, method: str, path: str, status: int) -> None:
    assert answers.answer(method, path).status == status
