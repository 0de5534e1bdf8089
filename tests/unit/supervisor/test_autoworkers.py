"""How many workers fit."""

from __future__ import annotations

import pytest

from uvicorn_supervisor.autoworkers import Choice, Headcount, Resources, choose

MIB = 1024**2


@pytest.mark.parametrize(
    ("resources", "worker", "choice"),
    [
        (Resources(processors=8), None, Choice(8, "8 processors to run on")),
        (Resources(processors=1), 90 * MIB, Choice(1, "1 processor to run on")),
        (
            Resources(processors=8, quota=1.5),
            None,
            Choice(2, "the cgroup's quota is 1.5 processors"),
        ),
        (
            Resources(processors=8, quota=0.2),
            None,
            Choice(1, "the cgroup's quota is 0.2 processors"),
        ),
        (Resources(processors=2, quota=6.0), None, Choice(2, "2 processors to run on")),
        (
            Resources(processors=8, quota=4.0, memory=512 * MIB),
            200 * MIB,
            Choice(2, "512 MiB of memory for workers of 200 MiB"),
        ),
        (
            Resources(processors=8, memory=64 * MIB),
            200 * MIB,
            Choice(1, "64 MiB of memory for workers of 200 MiB"),
        ),
        (Resources(processors=4, memory=64 * MIB), None, Choice(4, "4 processors to run on")),
    ],
)
def test_the_scarcest_resource_decides(
    resources: Resources, worker: int | None, choice: Choice
) -> None:
    assert choose(resources, worker) == choice


def test_without_a_memory_limit_all_begin_at_once() -> None:
    headcount = Headcount()
    resources = Resources(processors=4)

    assert headcount.begin(resources) == (4, "4 processors to run on")
    assert not headcount.waits_for_first
    assert headcount.begin(resources) == (4, "as before")


@pytest.mark.parametrize(("worker", "count"), [(100 * MIB, 4), (400 * MIB, 2), (None, 4)])
def test_with_one_the_first_worker_is_measured(worker: int | None, count: int) -> None:
    headcount = Headcount()
    resources = Resources(processors=4, memory=1024 * MIB)

    assert headcount.begin(resources).workers == 1
    assert headcount.waits_for_first
    assert headcount.begin(resources).workers == 1, "nobody is ready yet"
    assert headcount.measured(resources, worker).workers == count
    assert not headcount.waits_for_first
    assert headcount.begin(resources).workers == count


def test_one_worker_need_not_be_measured() -> None:
    headcount = Headcount()

    assert headcount.begin(Resources(processors=1, memory=MIB)).workers == 1
    assert not headcount.waits_for_first
