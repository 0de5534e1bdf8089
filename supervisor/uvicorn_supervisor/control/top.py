"""`uvicorn-supervisorctl top`: what the workers do, once a second, on a terminal.

The only module that imports rich. What is shown fits 80 columns and any number of rows.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import time
import tty
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from uvicorn_supervisor.control.figures import age, duration, size
from uvicorn_supervisor.control.rates import per_worker, totals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import RenderableType

    from uvicorn_supervisor.control.rates import Look

INTERVAL: Final = 1.0  # seconds
EOF: Final = "\x04"  # Ctrl-D, or the terminal is gone
QUIT: Final = frozenset(("q", "Q", "\x03", EOF))

NARROWEST: Final = 80
AROUND_ROWS: Final = 7  # lines that are no workers: head, plot, heading, foot
BARS: Final = " ▁▂▃▄▅▆▇█"

STYLES: Final = {"ready": "green", "starting": "yellow", "draining": "cyan"}
BAD: Final = "bold red"

EXIT_DONE: Final = 0
EXIT_NO_TERMINAL: Final = 1


def run(look: Callable[[], Look]) -> int:
    """Show what `look` returns until somebody has seen enough; return the exit code."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        sys.stderr.write("top needs a terminal; for scripts there is: status --json\n")
        return EXIT_NO_TERMINAL
    console = Console()
    view = View()
    first = look()  # before the screen changes: what goes wrong is to be read
    with (
        contextlib.suppress(KeyboardInterrupt),  # Ctrl-C is as good as q
        _keys() as key,
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        live.update(view.show(first, console.width, console.height), refresh=True)
        while not _wait(key):
            live.update(view.show(look(), console.width, console.height), refresh=True)
    return EXIT_DONE


class View:
    """What is shown: the latest look, and requests per second of some time."""

    def __init__(self) -> None:
        self._before: Look | None = None
        self._history: deque[float] = deque(maxlen=NARROWEST)

    def show(self, look: Look, width: int, height: int) -> RenderableType:
        """Return the picture of a look for a terminal of so many columns and rows."""
        rates = per_worker(self._before, look)
        if self._before is not None:
            self._history.append(sum(rates.values()))
        self._before = look
        rows = max(1, height - AROUND_ROWS)
        return Group(
            *_head(look, sum(rates.values()) if rates else None),
            Text(_plot(list(self._history)[-(width - 2) :]), style="green", no_wrap=True),
            _table(look["workers"], rates, rows),
            Text("q quits", style="dim"),
        )


def _head(look: Look, rate: float | None) -> list[Text]:
    about, together = look["supervisor"], totals(look)
    state = Text(about["state"], style="green" if about["state"] == "serving" else BAD)
    first = Text.assemble(
        (about["app"], "bold"),
        f" on {about['listens']}  ",
        state,
        no_wrap=True,
        overflow="ellipsis",
    )
    second = (
        f"up {age(about['uptime'])}  release {about['release']}  "
        f"workers {about['workers_ready']}/{about['workers_wanted']}  "
        f"memory {size(together['memory'])}"
    )
    third = (
        f"requests/s {_number(rate)}  in flight {together['in_flight']}  "
        f"connections {together['connections']}"
    )
    return [first, *(Text(line, no_wrap=True, overflow="ellipsis") for line in (second, third))]


def _table(workers: list[dict[str, Any]], rates: dict[int, float], rows: int) -> Table:
    table = Table(box=None, expand=True, pad_edge=False, header_style="reverse")
    for name in ("WORKER", "PID", "STATE", "AGE", "REQ/S", "FLIGHT", "LAG", "MEMORY", "RESTARTS"):
        table.add_column(
            name, justify="left" if name == "STATE" else "right", no_wrap=True, min_width=4
        )
    shown = workers if len(workers) <= rows else workers[: rows - 1]
    for one in shown:
        table.add_row(
            str(one["worker"]),
            str(one["pid"]),
            Text(one["state"], style=STYLES.get(one["state"], BAD)),
            age(one["age"]),
            _number(rates.get(one["number"])),
            str(one["in_flight"]),
            duration(one["lag"]),
            size(one["memory"]),
            str(one["restarts"]),
        )
    if len(shown) < len(workers):
        table.add_row("...", f"and {len(workers) - len(shown)} more")
    return table


def _plot(values: list[float]) -> str:
    highest = max(values, default=0.0)
    if not highest:
        return BARS[0] * len(values)
    steps = len(BARS) - 1
    return "".join(_bar(value / highest, steps) for value in values)


def _bar(share: float, steps: int) -> str:
    """Return a bar that is seen for whatever is more than nothing."""
    return BARS[max(1, round(share * steps))] if share > 0 else BARS[0]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}" if value >= 10 else f"{value:.1f}"


# -- the keyboard


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """Return a function that waits for a key, so many seconds; empty: none came."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield lambda timeout: (
            # Not through `sys.stdin`: what its buffer holds, `select` does not see.
            os.read(descriptor, 1).decode("latin-1") or EOF
            if select.select([descriptor], [], [], timeout)[0]
            else ""
        )
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _wait(key: Callable[[float], str]) -> bool:
    """Wait for the next look; return whether somebody wants no more."""
    end = time.monotonic() + INTERVAL
    while (left := end - time.monotonic()) > 0:
        if key(left) in QUIT:
            return True
    return False
