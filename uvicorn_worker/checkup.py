"""`uvicorn-worker check`: would this start, with which settings, and what is risky about it?

Everything is loaded and nothing is opened: no socket, and no lifespan of the application, which
may well do things.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TextIO

from uvicorn_worker.application.importing import load_application
from uvicorn_worker.config import Config
from uvicorn_worker.logs.setup import configure_logging
from uvicorn_worker.loops import check_loop
from uvicorn_worker.options.advice import find_risks, find_void
from uvicorn_worker.options.declared import options_of
from uvicorn_worker.service import make_parser
from uvicorn_worker.sockets.binds import binds_of
from uvicorn_worker.tls.renewal import make_tls
from uvicorn_worker.upgrades import make_engine

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from uvicorn_worker.options.declared import Option
    from uvicorn_worker.options.sources import Given

# Longer ones would push what stands behind them off the screen.
WIDEST_VALUE = 40


def report(
    config: Config,
    given: Mapping[str, Given],
    out: TextIO,
    *,
    warnings: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> None:
    """Write the settings, those that somebody gave first, and what is risky about them.

    Raises:
        WorkerError: the server would not start, for this reason.
    """
    out.write("Settings\n")
    write_table(out, settings(config, given))
    configure_logging(config)
    check_loop(config.loop)
    make_parser(config.http)
    make_engine(config.ws)
    log = logging.getLogger("uvicorn.error")
    make_tls(config, log)
    addresses = ", ".join(map(str, binds_of(config)))
    write_list(out, "Notes", notes)
    texts = [*warnings, *find_void(config, given), *find_risks(config, given)]
    write_list(out, "Warnings", texts)
    load_application(config, log)
    out.write(f"\n{config.app} would be served on {addresses}.\n")


def settings(config: Config, given: Mapping[str, Given]) -> list[tuple[str, str, str]]:
    """Return name, value and place of each option, those first that somebody gave."""
    options = options_of(Config).values()
    rows = [_row(option, config, given) for option in options if option.flags]
    return sorted(rows, key=lambda row: row[2] == "default")


def _row(option: Option, config: Config, given: Mapping[str, Given]) -> tuple[str, str, str]:
    value = "..." if option.secret else option.kind.show(getattr(config, option.name))
    if option.secret and getattr(config, option.name) is None:
        value = "none"
    place = given[option.name].place if option.name in given else "default"
    return option.name, value or "-", place


def write_table(out: TextIO, rows: Sequence[tuple[str, ...]]) -> None:
    """Write rows with their columns aligned, indented by two."""
    widths = [min(WIDEST_VALUE, max(map(len, column))) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        out.write(f"  {'  '.join(cells).rstrip()}\n")


def write_list(out: TextIO, title: str, texts: Iterable[str]) -> None:
    """Write a title and its texts, nothing where there are none."""
    lines = [f"  - {text}\n" for text in texts]
    if lines:
        out.write(f"\n{title}\n{''.join(lines)}")
