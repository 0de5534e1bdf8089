"""Figures in Prometheus's text format, or OpenMetrics' where that is asked for.

The only module that imports prometheus_client (the extra `metrics`).
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from uvicorn_worker.metrics.figures import Figures, Histogram


class Exposition(NamedTuple):
    """A text, and what kind of text it is."""

    content: bytes
    content_type: str


def expose(figures: Figures, about: Mapping[str, str], accept: str) -> Exposition:
    """Return the figures in the format that `accept`, a field of that name, prefers.

    `about` are the labels of the build.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once([*_counters(figures), *_gauges(figures, about)]))
    encode, content_type = choose_encoder(accept)
    return Exposition(encode(registry), content_type)


class _Once(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _counters(figures: Figures) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "uvicorn_requests",
        "Requests that have ended, by method and class of status.",
        labels=("method", "status"),
    )
    for labels, count in sorted(figures.requests.items()):
        requests.add_metric(labels, count)
    yield requests
    yield _histogram(
        "uvicorn_request_duration_seconds",
        "Time from the end of a request's head to the end of its response.",
        figures.durations,
    )
    yield _histogram(
        "uvicorn_request_queue_seconds",
        "Time from a proxy to the worker, as X-Request-Start tells.",
        figures.waits,
    )
    yield _histogram(
        "uvicorn_event_loop_lag_seconds",
        "How late the event loop came to what was due, eight times a second.",
        figures.lags,
    )
    for name, text, value in (
        ("uvicorn_received_bytes", "Content of requests and WebSocket messages.", figures.received),
        (
            "uvicorn_sent_bytes",
            "Content of responses that have ended, and of WebSocket messages.",
            figures.sent,
        ),
        ("uvicorn_websockets", "Handshakes of WebSockets.", figures.websockets),
        (
            "uvicorn_keepalive_races",
            "Requests that met the end of their idle connection: the proxy keeps them longer.",
            figures.late,
        ),
        (
            "uvicorn_event_loop_busy_seconds",
            "Time in which event loops did not wait for something to do.",
            figures.busy,
        ),
        (
            "uvicorn_gc_seconds",
            "Time of garbage collections, in which nobody is served.",
            figures.collecting,
        ),
    ):
        yield CounterMetricFamily(name, text, value=value)
    restarts = CounterMetricFamily(
        "uvicorn_worker_restarts", "Workers that had to be replaced.", labels=("reason",)
    )
    for reason, count in figures.restarts.items():
        restarts.add_metric((reason,), count)
    yield restarts


def _gauges(figures: Figures, about: Mapping[str, str]) -> Iterator[Metric]:
    workers = figures.workers
    yield GaugeMetricFamily(
        "uvicorn_requests_in_flight",
        "Requests that are being answered.",
        value=sum(one.in_flight for one in workers),
    )
    yield _labelled(
        "uvicorn_connections",
        "Open connections.",
        "kind",
        {
            "http": sum(one.http for one in workers),
            "websocket": sum(one.websockets for one in workers),
        },
    )
    states = [one.state for one in workers]
    yield _labelled(
        "uvicorn_workers",
        "Workers that have a process.",
        "state",
        {state: states.count(state) for state in ("booting", "ready", "draining")},
    )
    yield GaugeMetricFamily(
        "uvicorn_saturation_ratio",
        "How much of what the ready workers can do they do: mean of their busy time, or of the "
        "share of limit_concurrency that is used where that is greater.",
        value=figures.saturation,
    )
    yield GaugeMetricFamily(
        "uvicorn_event_loop_lag_max_seconds",
        "The latest that any event loop was in the last half minute.",
        value=max((one.lag_max for one in workers), default=0.0),
    )
    yield GaugeMetricFamily(
        "uvicorn_gc_pause_max_seconds",
        "The longest garbage collection of any worker in the last half minute.",
        value=max((one.pause_max for one in workers), default=0.0),
    )
    for name, text, values in (
        ("requests_in_flight", "Requests that a worker answers.", _each(figures, "in_flight")),
        ("busy_ratio", "Share of its event loop's time.", _each(figures, "busy")),
        ("age_seconds", "Time since a worker's process began.", _each(figures, "age")),
        ("memory_bytes", "Resident memory of a worker.", _each(figures, "memory")),
    ):
        yield _labelled(f"uvicorn_worker_{name}", text, "worker", values)
    build = GaugeMetricFamily("uvicorn_build_info", "What serves.", labels=tuple(about))
    build.add_metric(tuple(about.values()), 1)
    yield build


def _each(figures: Figures, name: str) -> dict[str, float]:
    """Return a figure of every worker that has it, by the number of its slot.

    Slots are used again, so there are never more of them than there were workers at once.
    """
    found = {str(one.slot): getattr(one, name) for one in figures.workers}
    return {slot: value for slot, value in found.items() if value is not None}


def _labelled(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=(label,))
    for value, figure in values.items():
        family.add_metric((value,), figure)
    return family


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    bounds = [*map(floatToGoString, histogram.bounds), "+Inf"]
    buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=histogram.total)
