"""How many workers fit."""

from __future__ import annotations

import pytest

from uvicorn_supervisor.decisions.autoworkers import Choice, Resources, choose

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
