"""What is read from cgroups, of both versions, in and outside of containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from uvicorn_supervisor.observation.cgroups import (
    Cgroup,
    Counts,
    Memory,
    parse_cpu_max,
    parse_limit,
    parse_mounts,
    parse_paths,
    parse_table,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MIB = 1024**2

MOUNT_2 = "30 23 0:26 {root} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
MOUNT_1 = (
    "32 31 0:29 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 {root} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)


def make_root(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("1048576\n", 1048576),
        ("max\n", None),
        ("9223372036854771712\n", None),
        ("-1\n", None),
        ("", None),
        ("0\n", 0),
    ],
)
def test_a_limit_is_a_number_that_could_be_one(text: str, limit: int | None) -> None:
    assert parse_limit(text) == limit


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("150000 100000\n", 1.5),
        ("max 100000\n", None),
        ("-1 100000", None),
        (" ", None),
        ("0 100000", None),
        ("100000 0", None),
    ],
)
def test_a_quota_is_a_number_of_processors(text: str, cpus: float | None) -> None:
    assert parse_cpu_max(text) == cpus


def test_paths_are_by_controller() -> None:
    text = "4:memory:/app\n2:cpu,cpuacct:/web:1\n0::/user.slice\nnonsense\n"

    assert parse_paths(text) == {
        "memory": "/app",
        "cpu": "/web:1",
        "cpuacct": "/web:1",
        "": "/user.slice",
    }


def test_mounts_are_by_controller_and_others_are_left_out() -> None:
    text = (
        MOUNT_2.format(root="/kube/pod")
        + MOUNT_1.format(root="/")
        + "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\nshort - cgroup\n"
    )

    mounts = parse_mounts(text)

    assert mounts[""] == ("/kube/pod", "/sys/fs/cgroup")
    assert mounts["memory"] == ("/", "/sys/fs/cgroup/memory")
    assert mounts["cpu"] == mounts["cpuacct"] == ("/", "/sys/fs/cgroup/cpu,cpuacct")
    assert "ext4" not in mounts


def test_tables_are_names_and_numbers() -> None:
    assert parse_table("low 0\noom_kill 3\nodd line\n\n") == {"low": 0, "oom_kill": 3}


VERSION_2 = {
    "proc/self/cgroup": "0::/app/web\n",
    "proc/self/mountinfo": MOUNT_2.format(root="/"),
    "sys/fs/cgroup/app/memory.max": f"{900 * MIB}\n",
    "sys/fs/cgroup/app/memory.current": f"{850 * MIB}\n",
    "sys/fs/cgroup/app/web/memory.max": f"{512 * MIB}\n",
    "sys/fs/cgroup/app/web/memory.current": f"{300 * MIB}\n",
    "sys/fs/cgroup/app/web/memory.stat": f"anon 5\ninactive_file {100 * MIB}\n",
    "sys/fs/cgroup/app/web/memory.events": "oom 4\noom_kill 3\n",
    "sys/fs/cgroup/app/cpu.max": "250000 100000\n",
    "sys/fs/cgroup/app/web/cpu.max": "max 100000\n",
    "sys/fs/cgroup/app/web/cpu.stat": "usage_usec 5\nthrottled_usec 2500000\n",
}

VERSION_1 = {
    "proc/self/cgroup": "4:memory:/docker/1\n3:cpu,cpuacct:/docker/1\n0::/docker/1\n",
    "proc/self/mountinfo": MOUNT_1.format(root="/docker/1"),
    "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{256 * MIB}\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{200 * MIB}\n",
    "sys/fs/cgroup/memory/memory.stat": f"inactive_file 1\ntotal_inactive_file {50 * MIB}\n",
    "sys/fs/cgroup/memory/memory.oom_control": "oom_kill_disable 0\noom_kill 2\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "50000\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.stat": "nr_throttled 9\nthrottled_time 1500000000\n",
}

CASES = {
    # 900 - 850 MiB above leaves less than 512 - (300 - 100) in the cgroup itself.
    "version-2": (VERSION_2, Memory(900 * MIB, 850 * MIB), 2.5, Counts(3, 2.5)),
    "version-1": (VERSION_1, Memory(256 * MIB, 150 * MIB), 0.5, Counts(2, 1.5)),
    "a-path-of-the-host": (
        {**VERSION_2, "proc/self/mountinfo": MOUNT_2.format(root="/app/other")},
        None,
        None,
        Counts(),
    ),
    "the-container-sees-itself": (
        {**VERSION_2, "proc/self/mountinfo": MOUNT_2.format(root="/app/web"),
         "sys/fs/cgroup/memory.max": "2048\n", "sys/fs/cgroup/memory.current": "1024\n"},
        Memory(2048, 1024),
        None,
        Counts(),
    ),
    "no-limits": (
        {key: VERSION_2[key] for key in ("proc/self/cgroup", "proc/self/mountinfo")},
        None,
        None,
        Counts(),
    ),
    "no-proc": ({}, None, None, Counts()),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_tightest_limit_counts(name: str, tmp_path: Path) -> None:
    files, memory, cpus, counts = CASES[name]

    cgroup = Cgroup.of("self", make_root(tmp_path, files))

    assert cgroup.memory() == memory
    assert cgroup.cpus() == cpus
    assert cgroup.counts() == counts


def test_memory_that_is_overdrawn_leaves_nothing() -> None:
    assert Memory(limit=10, used=12).free == 0


def test_the_cgroup_of_this_process_can_be_read() -> None:
    cgroup = Cgroup.of()

    memory = cgroup.memory()
    assert memory is None or memory.limit > 0
    assert (cgroup.cpus() or 1.0) > 0
    assert isinstance(cgroup.counts(), Counts)
