"""What the cgroup of this process allows it, and what it has had: memory and processor time.

Version 2 and version 1 of cgroups(7). A limit may stand in the cgroup itself or in any one above
it: the least counts. Texts are parsed by pure functions; readers take the root of the file system,
so that tests can bring their own. What is not there, or not to be read, is None: no limit known.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Version 1 writes a number near 2**63 where there is no limit, rounded down to a page.
UNLIMITED: Final = 2**62

VERSION_2: Final = ""  # the name that its one hierarchy has beside controllers


class Memory(NamedTuple):
    """The tightest memory limit, and what is used of it, in bytes."""

    limit: int
    used: int  # what could be given back at once, file caches, is not counted

    @property
    def free(self) -> int:
        return max(0, self.limit - self.used)


class Counts(NamedTuple):
    """What has happened since the cgroup was made. None: not told."""

    oom_kills: int | None = None  # processes that the kernel has killed for lack of memory
    throttled: float | None = None  # seconds in which the quota of processor time was used up


class Cgroup:
    """The cgroup of a process, by controller; its own folder first, then those above it."""

    def __init__(self, folders: Mapping[str, list[Path]]) -> None:
        self._folders = folders

    @classmethod
    def of(cls, pid: int | str = "self", root: Path = Path("/")) -> Cgroup:
        """Return the cgroup of a process; one without folders where there are no cgroups."""
        proc = root / "proc" / str(pid)
        paths = parse_paths(_text(proc / "cgroup"))
        mounts = parse_mounts(_text(proc / "mountinfo"))
        return cls(
            {
                controller: _chain(root, *mounts[controller], path)
                for controller, path in paths.items()
                if controller in mounts
            }
        )

    def memory(self) -> Memory | None:
        """Return the limit that leaves the least, None where there is none."""
        found = [*self._memory_2(), *self._memory_1()]
        return min(found, key=lambda memory: memory.free, default=None)

    def cpus(self) -> float | None:
        """Return how many processors may be used by the quota, None where there is none."""
        quotas = [parse_cpu_max(_text(folder / "cpu.max")) for folder in self._of(VERSION_2)]
        quotas += [
            parse_cpu_max(
                f"{_text(folder / 'cpu.cfs_quota_us')} {_text(folder / 'cpu.cfs_period_us')}"
            )
            for folder in self._of("cpu")
        ]
        return min((quota for quota in quotas if quota is not None), default=None)

    def counts(self) -> Counts:
        """Return the counters; compare two to see what has happened in between."""
        kills = throttled = None
        for folder in self._of(VERSION_2)[:1]:
            kills = parse_table(_text(folder / "memory.events")).get("oom_kill")
            throttled = _seconds(parse_table(_text(folder / "cpu.stat")), "throttled_usec", 1e6)
        for folder in self._of("memory")[:1]:
            kills = parse_table(_text(folder / "memory.oom_control")).get("oom_kill", kills)
        for folder in self._of("cpu")[:1]:
            table = parse_table(_text(folder / "cpu.stat"))
            found = _seconds(table, "throttled_time", 1e9)
            throttled = throttled if found is None else found
        return Counts(kills, throttled)

    def _of(self, controller: str) -> list[Path]:
        return self._folders.get(controller, [])

    def _memory_2(self) -> Iterator[Memory]:
        for folder in self._of(VERSION_2):
            limit = parse_limit(_text(folder / "memory.max"))
            used = parse_limit(_text(folder / "memory.current"))
            if limit is not None and used is not None:
                cache = parse_table(_text(folder / "memory.stat")).get("inactive_file", 0)
                yield Memory(limit, max(0, used - cache))

    def _memory_1(self) -> Iterator[Memory]:
        for folder in self._of("memory"):
            limit = parse_limit(_text(folder / "memory.limit_in_bytes"))
            used = parse_limit(_text(folder / "memory.usage_in_bytes"))
            if limit is not None and used is not None:
                cache = parse_table(_text(folder / "memory.stat")).get("total_inactive_file", 0)
                yield Memory(limit, max(0, used - cache))


# -- texts


def parse_paths(text: str) -> dict[str, str]:
    """Return controller -> path, of /proc/PID/cgroup: lines `NUMBER:CONTROLLERS:PATH`."""
    paths: dict[str, str] = {}
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if colon:
            paths.update(dict.fromkeys(controllers.split(","), path))
    return paths


def parse_mounts(text: str) -> dict[str, tuple[str, str]]:
    """Return controller -> (its root in the hierarchy, where that is mounted), of mountinfo.

    Lines as in proc_pid_mountinfo(5): `ID PARENT DEVICE ROOT PLACE OPTIONS ... - TYPE SOURCE
    SUPER-OPTIONS`. In a container the root may be the container's own cgroup.
    """
    mounts: dict[str, tuple[str, str]] = {}
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        where, what = before.split(), after.split()
        if len(where) < 5 or len(what) < 3:
            continue
        if what[0] == "cgroup2":
            mounts[VERSION_2] = where[3], where[4]
        elif what[0] == "cgroup":
            mounts.update(dict.fromkeys(what[2].split(","), (where[3], where[4])))
    return mounts


def parse_limit(text: str) -> int | None:
    """Return a number of bytes; None for `max`, nothing, or so much that it is no limit."""
    word = text.strip()
    if not (word.isascii() and word.isdigit()):
        return None
    number = int(word)
    return number if number < UNLIMITED else None


def parse_cpu_max(text: str) -> float | None:
    """Return the processors of `QUOTA PERIOD` in microseconds; None for `max`, -1 or nothing."""
    words = text.split()
    if len(words) != 2 or not all(word.isascii() and word.isdigit() for word in words):
        return None
    quota, period = map(int, words)
    return quota / period if quota and period else None


def parse_table(text: str) -> dict[str, int]:
    """Return the lines `NAME NUMBER` of memory.events, memory.stat, cpu.stat."""
    table: dict[str, int] = {}
    for line in text.splitlines():
        name, _, number = line.partition(" ")
        if number.strip().isdigit():
            table[name] = int(number)
    return table


# -- inside


def _seconds(table: Mapping[str, int], name: str, unit: float) -> float | None:
    return table[name] / unit if name in table else None


def _chain(root: Path, hierarchy: str, mounted: str, path: str) -> list[Path]:
    """Return the folder of a cgroup and those above it, as far as they can be seen from here."""
    top = root / mounted.lstrip("/")
    relative = os.path.relpath(path, hierarchy)
    if relative.startswith(".."):  # a path of the host's, in a container: its own is mounted
        return [top]
    folder = top / relative
    while not folder.is_dir() and folder != top:  # the mount shows less than the path says
        folder = folder.parent
    levels = [folder, *folder.parents]
    return levels[: levels.index(top) + 1]


def _text(file: Path) -> str:
    try:
        return file.read_text("ascii", errors="replace")
    except OSError:
        return ""
