"""From samples to medians, ratios and a table. Pure: no clock, no files, no processes."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.benchmarks.workloads import Workload

MIB = 1024 * 1024
HEADINGS = (
    "server",
    "median",
    "min",
    "max",
    "user",
    "sys",
    "req/s",
    "p50 ms",
    "p99 ms",
    "max ms",
    "stall ms",
    "gc ms",
    "PSS",
    "peak MiB",
    "others",
    "ratio",
    "spread",
    "of minima",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One server's figures of one round. With a `problem`, `value` counts nowhere."""

    server: str
    workload: str
    round: int
    value: float | None = None  # in the workload's unit; less is better
    user: float | None = None  # the parts of it, for CPU
    system: float | None = None
    rate: float | None = None  # requests per second
    p50: float | None = None  # milliseconds to an answer
    p99: float | None = None
    longest: float | None = None
    stall: float | None = None  # milliseconds that the server's loop stood still, at the longest
    pause: float | None = None  # milliseconds of its longest garbage collection
    peak: int | None = None  # bytes, of the largest process
    proportional: float | None = None  # bytes of PSS per idle connection
    others: float | None = None  # CPUs that all other processes kept busy meanwhile
    problem: str = ""

    @property
    def figure(self) -> float | None:
        """The value, when it is valid."""
        return None if self.problem else self.value


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and extremes of the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """Return the spread of the values, `None` when there are none."""
        return cls(statistics.median(values), min(values), max(values)) if values else None


@dataclass(frozen=True, slots=True)
class Row:
    """One server under one workload."""

    server: str
    valid: int  # rounds that count
    rounds: int  # rounds tried
    value: Spread | None
    ratio: Spread | None  # this server's value by the baseline's, pairs of the same round
    least: float | None  # its lowest value by the baseline's lowest: noise only ever adds
    user: float | None
    system: float | None
    rate: float | None
    p50: float | None
    p99: float | None
    longest: float | None
    stall: float | None
    pause: float | None
    peak: float | None
    proportional: float | None
    others: float | None
    problems: tuple[str, ...]  # each once, in order of appearance


def ratios(samples: Iterable[Sample], server: str, baseline: str) -> list[float]:
    """Return server / baseline of each round in which both have a valid figure."""
    figures = {(s.server, s.round): s.figure for s in samples}
    pairs = []
    for (name, number), figure in figures.items():
        base = figures.get((baseline, number))
        if name == server and figure is not None and base:
            pairs.append(figure / base)
    return pairs


def least_ratio(samples: Sequence[Sample], server: str, baseline: str) -> float | None:
    """Return the server's lowest valid figure by the baseline's lowest."""
    own = _lowest(samples, server)
    base = _lowest(samples, baseline)
    return own / base if own is not None and base else None


def rows(samples: Sequence[Sample], baseline: str) -> list[Row]:
    """Return one row per server of one workload's samples, in order of appearance."""
    found = []
    for server in dict.fromkeys(sample.server for sample in samples):
        own = [sample for sample in samples if sample.server == server]
        valid = [sample for sample in own if sample.figure is not None]
        found.append(
            Row(
                server=server,
                valid=len(valid),
                rounds=len(own),
                value=Spread.of([s.value for s in valid if s.value is not None]),
                ratio=Spread.of(ratios(samples, server, baseline)),
                least=least_ratio(samples, server, baseline),
                user=_median(s.user for s in valid),
                system=_median(s.system for s in valid),
                rate=_median(s.rate for s in valid),
                p50=_median(s.p50 for s in valid),
                p99=_median(s.p99 for s in valid),
                longest=_highest(s.longest for s in valid),
                stall=_highest(s.stall for s in valid),
                pause=_highest(s.pause for s in valid),
                peak=_median(s.peak for s in valid),
                proportional=_median(s.proportional for s in valid),
                others=_median(s.others for s in valid),
                problems=tuple(dict.fromkeys(s.problem for s in own if s.problem)),
            )
        )
    return found


def table(workload: Workload, samples: Sequence[Sample], baseline: str) -> str:
    """Return the text table of one workload, and below it what went wrong."""
    all_rows = rows(samples, baseline)
    cells = _without_empty([HEADINGS, *(_cells(row) for row in all_rows)])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [f"{workload.name}: {workload.summary}. {workload.unit}; ratio: by {baseline}'s"]
    for line in cells:
        padded = [line[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        lines.append("  " + "  ".join(padded).rstrip())
    for row in all_rows:
        if row.problems:
            left_out = f"{row.rounds - row.valid} of {row.rounds} rounds do not count"
            lines += [f"  {row.server}: {left_out}: {problem}" for problem in row.problems]
    return "\n".join(lines)


def verdict(samples: Sequence[Sample], workload: str, baseline: str, other: str) -> str:
    """Return the ratio of one pair of servers on one line, "" when there is none."""
    own = [sample for sample in samples if sample.workload == workload]
    spread, least = Spread.of(ratios(own, other, baseline)), least_ratio(own, other, baseline)
    if spread is None or least is None:
        return ""
    return (
        f"{workload:<12} {other}/{baseline}  {spread.median:.2f}  "
        f"({spread.low:.2f} to {spread.high:.2f})  of minima {least:.2f}"
    )


def document(
    samples: Sequence[Sample], workloads: Sequence[Workload], baseline: str, about: object
) -> dict[str, object]:
    """Return everything as plain values for `--json`."""
    results = {}
    for workload in workloads:
        own = [sample for sample in samples if sample.workload == workload.name]
        results[workload.name] = {
            "summary": workload.summary,
            "unit": workload.unit,
            "servers": [asdict(row) for row in rows(own, baseline)],
        }
    return {
        "about": about,
        "baseline": baseline,
        "results": results,
        "samples": [asdict(sample) for sample in samples],
    }


def _median(values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return statistics.median(present) if present else None


def _highest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _lowest(samples: Iterable[Sample], server: str) -> float | None:
    return min(
        (s.figure for s in samples if s.server == server and s.figure is not None), default=None
    )


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def _without_empty(lines: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Leave out the columns that say nothing for any server."""
    columns = [column for column in zip(*lines, strict=True) if set(column[1:]) != {"-"}]
    return list(zip(*columns, strict=True))


def _cells(row: Row) -> tuple[str, ...]:
    value, ratio = row.value, row.ratio
    return (
        row.server,
        _number(value.median) if value else "no figure",
        _number(value.low) if value else "-",
        _number(value.high) if value else "-",
        _number(row.user),
        _number(row.system),
        "-" if row.rate is None else f"{row.rate:.0f}",
        *(
            "-" if ms is None else f"{ms:.2f}"
            for ms in (row.p50, row.p99, row.longest, row.stall, row.pause)
        ),
        _number(row.proportional),
        "-" if row.peak is None else f"{row.peak / MIB:.1f}",
        "-" if row.others is None else f"{row.others:.2f}",
        f"{ratio.median:.2f}" if ratio else "-",
        f"{ratio.low:.2f}-{ratio.high:.2f}" if ratio else "-",
        "-" if row.least is None else f"{row.least:.2f}",
    )
