"""CPU time and memory of a server's processes, from /proc.

A server runs in a session of its own, so its processes (Gunicorn's master, spawned workers) are
those with its session number, whoever their parent is.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

TICK = 1.0 / os.sysconf("SC_CLK_TCK")  # seconds; /proc counts CPU time in these
KIB = 1024


@dataclass(frozen=True, slots=True)
class Process:
    """One line of `/proc/PID/stat`, as far as it concerns us; times in seconds."""

    pid: int
    session: int
    user: float
    system: float


@dataclass(frozen=True, slots=True)
class Usage:
    """What a group of processes has used so far; times in seconds."""

    user: float
    system: float
    pids: frozenset[int]


def parse_stat(text: str) -> Process:
    """Return the parts of `/proc/PID/stat`; the name in brackets may hold blanks and brackets."""
    pid, rest = text.split(" ", 1)
    fields = rest.rpartition(")")[2].split()  # from `state`, the third field of proc(5)
    return Process(int(pid), int(fields[3]), int(fields[11]) * TICK, int(fields[12]) * TICK)


def parse_kib(text: str, name: str) -> int:
    """Return the bytes that a line like `Pss:  123 kB` says."""
    for line in text.splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * KIB
    raise ValueError(f"no {name!r} in {text[:80]!r}...")


def processes(session: int) -> list[Process]:
    """Return the living processes of a session."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):  # gone meanwhile
                process = parse_stat(Path("/proc", entry, "stat").read_text(errors="replace"))
                if process.session == session:
                    found.append(process)
    return found


def usage(session: int) -> Usage:
    """Return the CPU time that the processes of a session have used."""
    found = processes(session)
    return Usage(
        sum(process.user for process in found),
        sum(process.system for process in found),
        frozenset(process.pid for process in found),
    )


def busy(text: str) -> float:
    """Return the seconds that all CPUs together have worked, from the text of `/proc/stat`."""
    user, nice, system, _idle, _iowait, irq, softirq = map(int, text.split()[1:8])
    return (user + nice + system + irq + softirq) * TICK


def memory(session: int) -> tuple[int, int]:
    """Return PSS and RSS of a session in bytes; shared pages are counted once in the first."""
    pss = rss = 0
    for process in processes(session):
        text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        pss += parse_kib(text, "Pss")
        rss += parse_kib(text, "Rss")
    return pss, rss


def peak_memory(session: int) -> int:
    """Return the highest RSS in bytes that one process of a session ever had."""
    return max(
        parse_kib(Path(f"/proc/{process.pid}/status").read_text(), "VmHWM")
        for process in processes(session)
    )
