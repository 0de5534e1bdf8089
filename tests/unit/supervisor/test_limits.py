"""What is drawn for a worker, when it is due, and how long to pause after failures."""

from __future__ import annotations

import pytest

from uvicorn_supervisor.decisions.limits import (
    LONGEST_PAUSE,
    MEMORY_SAMPLES,
    NEVER,
    PAUSE_JITTER,
    Backoff,
    Lifetime,
    Limits,
    draw_lifetime,
    pause,
    request_limit,
)

MIB = 1024**2


@pytest.mark.parametrize(
    ("chance", "requests", "expires"),
    [(0.0, 200, 1060.0), (0.5, 225, 1065.0), (0.999, 250, 1069.99)],
)
def test_a_lifetime_is_drawn_between_the_limit_and_its_jitter(
    chance: float, requests: int, expires: float
) -> None:
    limits = Limits(requests=200, requests_jitter=50, age=60, age_jitter=10, memory=5)

    drawn = draw_lifetime(limits, 1000.0, chance)

    assert drawn.requests == request_limit(limits, chance) == requests
    assert drawn.expires == pytest.approx(expires)
    assert drawn.memory == 5


def test_without_limits_a_worker_is_never_due() -> None:
    drawn = draw_lifetime(Limits(requests_jitter=9, age_jitter=9), 0.0, 0.5)

    assert drawn == Lifetime(0, NEVER, 0)
    assert drawn.spent(1e12, 10**12, 0, 10**12) == ""


@pytest.mark.parametrize(
    ("now", "requests", "heavy", "due"),
    [
        (9.0, 9, 0, ""),
        (9.0, 10, 0, "requests 10/10"),
        (9.0, 12, 0, "requests 12/10"),
        (9.0, 0, MEMORY_SAMPLES - 1, ""),
        (9.0, 0, MEMORY_SAMPLES, "memory 20/16 MiB"),
        (10.0, 0, 0, "age"),
    ],
)
def test_a_worker_is_due_by_requests_memory_or_age(
    now: float, requests: int, heavy: int, due: str
) -> None:
    lifetime = Lifetime(requests=10, expires=10.0, memory=16 * MIB)

    assert lifetime.spent(now, requests, heavy, 20 * MIB) == due


def test_pauses_begin_with_none_and_grow_to_a_limit() -> None:
    assert [pause(number, 0.0) for number in range(1, 10)] == [
        0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0,
    ]  # fmt: skip
    assert pause(4, 0.5) == 2.0 * (1 + PAUSE_JITTER / 2)
    assert pause(10**6, 0.0) == LONGEST_PAUSE


def test_a_backoff_counts_failures_in_a_row() -> None:
    once = Backoff().failed(100.0, 0.9)
    twice = once.failed(101.0, 0.0)

    assert (once.failures, once.until) == (1, 100.0)
    assert (twice.failures, twice.until) == (2, 101.5)


@pytest.mark.parametrize(("boot", "deadline"), [(60.0, 160.0), (0.0, NEVER)])
def test_no_boot_limit_is_no_deadline(boot: float, deadline: float) -> None:
    assert Limits(boot=boot).boot_deadline(100.0) == deadline
