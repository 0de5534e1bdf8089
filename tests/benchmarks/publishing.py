"""A result for readers: `RESULTS.md` and the picture of its bars. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from tests.benchmarks.report import rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.benchmarks.profiling import Anatomy, Function
    from tests.benchmarks.report import Row, Sample, Spread
    from tests.benchmarks.workloads import Workload

# Of the picture, in pixels.
WIDTH: Final = 760
LABEL: Final = 150
BAR: Final = 16
GAP: Final = 5
TITLE: Final = 26
FIGURES: Final = 120  # right of the longest bar
COLOURS: Final = ("#2f6f9f", "#b9c4cd")  # the baseline's, the others'

HEADINGS: Final = (
    "server",
    "median",
    "lowest-highest",
    "ratio",
    "spread",
    "req/s",
    "p50 ms",
    "p99 ms",
    "max ms",
    "stall ms",
    "gc ms",
)

# What the picture shows: few, and different from each other.
SHOWN: Final = ("plaintext", "headers", "varied", "connect", "fastapi", "ws-echo-64")

# Whose requests are taken apart, and how many functions are shown.
PROFILED: Final = "plaintext"
FUNCTIONS: Final = 12

METHOD: Final = """\
Server CPU time of all processes of a server (user and system) by the number of answers, while one
client on another CPU keeps it busy; other units where a table says so. Rounds alternate between the
servers. The ratio is a server's figure by the baseline's of the same round: the median of the
rounds, and their extremes. [The method in full](README.md)."""


def markdown(
    samples: Sequence[Sample],
    workloads: Sequence[Workload],
    baseline: str,
    about: Mapping[str, object],
    anatomy: Anatomy | None = None,
) -> str:
    """Return the whole report; `about` says what was measured, where and with which versions.

    `anatomy` is that of the baseline's requests under PROFILED.
    """
    parts = ["# Results", METHOD, "![CPU time per request](results.svg)", _about(about)]
    for workload in workloads:
        found = rows([one for one in samples if one.workload == workload.name], baseline)
        parts += [f"## {workload.name}", f"{workload.summary}; {workload.unit}.", _table(found)]
        parts += [
            f"- {row.server}: {problem}" for row in found for problem in row.problems if problem
        ]
    if anatomy is not None:
        own = [one for one in samples if (one.workload, one.server) == (PROFILED, baseline)]
        value = rows(own, baseline)[0].value if own else None
        parts += ["## Where a request's time goes", *_where(anatomy, value)]
    return "\n\n".join(parts) + "\n"


def _where(anatomy: Anatomy, cost: Spread | None) -> list[str]:
    """Return the tables of an anatomy; `cost` is what a request costs in µs."""
    return [
        f"The baseline under {PROFILED}: the shares of perf's samples and, by them, the parts of "
        "the median above.",
        _parts(anatomy.parts, cost) if anatomy.parts else "perf was not installed.",
        "Python's functions by their own time, as cProfile sees it, which makes small ones dearer "
        "than they are. What it does not see, such as uvloop's writing, counts for its caller.",
        _functions(anatomy.functions),
    ]


def _parts(parts: Mapping[str, float], cost: Spread | None) -> str:
    lines = ["| where | share | µs |", "|---|---:|---:|"]
    for name, share in parts.items():
        time = f"{share * cost.median:.2f}" if cost is not None else ""
        lines.append(f"| {name} | {share:.1%} | {time} |")
    return "\n".join(lines)


def _functions(functions: Sequence[Function]) -> str:
    lines = ["| function | calls per request | share |", "|---|---:|---:|"]
    for name, calls, share in functions[:FUNCTIONS]:
        lines.append(f"| {name} | {calls:.1f} | {share:.1%} |")
    return "\n".join(lines)


def _about(about: Mapping[str, object]) -> str:
    lines = [f"- {name}: {about[name]}" for name in ("checkout", "python", "machine", "command")]
    versions = about["versions"]
    assert isinstance(versions, dict)
    for server, found in versions.items():
        text = found if isinstance(found, str) else ", ".join(f"{n} {v}" for n, v in found.items())
        lines.append(f"- {server}: {text or 'no distributions'}")
    return "\n".join(lines)


def _table(found: Sequence[Row]) -> str:
    """Return a table without the columns that say nothing for any server."""
    columns = zip(HEADINGS, *map(_cells, found), strict=True)
    lines = list(zip(*(one for one in columns if any(one[1:])), strict=True))
    aligned = ("---", *["---:"] * (len(lines[0]) - 1))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (lines[0], aligned, *lines[1:]))


def _cells(row: Row) -> tuple[str, ...]:
    value, ratio = row.value, row.ratio
    return (
        row.server,
        f"{value.median:.1f}" if value else "no figure",
        f"{value.low:.1f}-{value.high:.1f}" if value else "",
        f"{ratio.median:.2f}" if ratio else "",
        f"{ratio.low:.2f}-{ratio.high:.2f}" if ratio else "",
        f"{row.rate:.0f}" if row.rate is not None else "",
        *(
            "" if ms is None else f"{ms:.2f}"
            for ms in (row.p50, row.p99, row.longest, row.stall, row.pause)
        ),
    )


def picture(samples: Sequence[Sample], workloads: Sequence[Workload], baseline: str) -> str:
    """Return an SVG: for each workload shown, a bar for each server, the shorter the better."""
    elements: list[str] = []
    top = 0
    for workload in workloads:
        own = [one for one in samples if one.workload == workload.name]
        found = [row for row in rows(own, baseline) if row.value is not None]
        if workload.name in SHOWN and found:
            elements.append(_text(0, top + BAR, f"{workload.summary} ({workload.unit})", bold=True))
            elements += _bars(found, top + TITLE, baseline)
            top += TITLE + len(found) * (BAR + GAP) + TITLE // 2
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" '
        f'viewBox="0 0 {WIDTH} {top}" font-family="sans-serif" font-size="13">\n'
        f'<rect width="{WIDTH}" height="{top}" fill="#ffffff"/>\n'
        + "\n".join(elements)
        + "\n</svg>\n"
    )


def _bars(found: Sequence[Row], top: int, baseline: str) -> list[str]:
    medians = {row.server: row.value.median for row in found if row.value is not None}
    scale = (WIDTH - LABEL - FIGURES) / max(medians.values())
    elements = []
    for place, row in enumerate(found):
        y, median = top + place * (BAR + GAP), medians[row.server]
        colour = COLOURS[row.server != baseline]
        elements.append(_text(0, y + BAR - 3, row.server))
        elements.append(
            f'<rect x="{LABEL}" y="{y}" width="{median * scale:.1f}" height="{BAR}" '
            f'fill="{colour}"/>'
        )
        ratio = f" ({row.ratio.median:.2f})" if row.ratio and row.server != baseline else ""
        elements.append(_text(LABEL + median * scale + 6, y + BAR - 3, f"{median:.1f}{ratio}"))
    return elements


def _text(x: float, y: float, text: str, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y}" fill="#222222"{weight}>{escape(text)}</text>'
