"""The command `uvicorn-supervisor APP`; its options are the fields of `SupervisorConfig`."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from uvicorn_supervisor.advice import ELSEWHERE, VOIDS
from uvicorn_supervisor.config import SupervisorConfig
from uvicorn_worker import __version__
from uvicorn_worker.cli import by_topic, complain, refuse_void_addresses
from uvicorn_worker.errors import EXIT_STOPPED, UsageError, WorkerError
from uvicorn_worker.options.advice import find_void
from uvicorn_worker.options.declared import options_of
from uvicorn_worker.options.files import CONFIG_FILE, gather
from uvicorn_worker.options.flags import Command
from uvicorn_worker.options.sources import check

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence

    from uvicorn_worker.options.sources import Layer

NAME: Final = "uvicorn-supervisor"
ABOUT: Final = """Serve APP, named as MODULE:ATTRIBUTE, with supervised workers.

Options also come from UVICORN_* variables, from --env-file, from --config or [tool.uvicorn] of
a pyproject.toml, in this order. SIGHUP reads all of them again, and reloads the code."""

OPTIONS: Final = options_of(SupervisorConfig)


class Told(NamedTuple):
    """What the command was told, all places together."""

    config: SupervisorConfig
    given: Layer
    warnings: Sequence[str]
    notes: Sequence[str]


def main(words: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; `words` are those behind its name."""
    words = sys.argv[1:] if words is None else words
    # As it was at the start: what an env-file says is read again at a reload.
    environ = dict(os.environ)
    try:
        told = read(words, dict(environ))
        if told is None:
            return EXIT_STOPPED
        from uvicorn_supervisor.main import supervise

        _advise(told)
        return supervise(told.config, lambda: _read_again(words, dict(environ)), last=True)
    except WorkerError as exc:
        _tell_predecessor(exc)
        return complain(exc, sys.stderr)


def _tell_predecessor(exc: WorkerError) -> None:
    """Say why this supervisor cannot serve to the one that it was to take over from."""
    from uvicorn_supervisor.holdings.handover import receive

    if (handover := receive(os.environ)) is not None:
        handover.explain(str(exc))


def read(words: Sequence[str], environ: MutableMapping[str, str]) -> Told | None:
    """Return what the command line and all other places say; None: it asked for help.

    Variables of an env-file are added to `environ`.

    Raises:
        ConfigError: something in it is wrong.
    """
    command = Command(
        NAME,
        by_topic([*OPTIONS.values(), CONFIG_FILE]),
        about=ABOUT,
        version=__version__,
        elsewhere=ELSEWHERE,
    )
    if len(words) > 1 and words[0] == "check":
        raise UsageError(f"{NAME} has no `check`: `uvicorn-worker check APP` tells what is risky")
    line = command.read(words)
    if line is None:
        return None
    refuse_void_addresses(line)
    values, warnings, notes = gather(line, environ, OPTIONS, elsewhere={})
    if "app" not in values:
        raise UsageError(f"APP is missing: {NAME} MODULE:ATTRIBUTE, like {NAME} main:app")
    options = {name: given.value for name, given in values.items()}
    return Told(SupervisorConfig(**_listen_for_platform(options, environ)), values, warnings, notes)


def _listen_for_platform(
    options: dict[str, Any], environ: MutableMapping[str, str]
) -> dict[str, Any]:
    """Add the bind that platforms expect which set PORT, unless somebody has named one."""
    text = environ.get("PORT", "").strip()
    if text and not {"host", "port", "uds", "fd", "bind"} & options.keys():
        port = check(OPTIONS["port"], OPTIONS["port"].parse(text, "PORT"), "PORT")
        return {**options, "bind": (f"0.0.0.0:{port.value}",)}
    return options


def _read_again(words: Sequence[str], environ: MutableMapping[str, str]) -> SupervisorConfig:
    told = read(words, environ)
    assert told is not None  # the same words have not asked for help before
    _advise(told)
    return told.config


def _advise(told: Told) -> None:
    from uvicorn_supervisor.logs.setup import set_up

    set_up(told.config)
    log = logging.getLogger("uvicorn.supervisor")
    for text in (*told.warnings, *find_void(told.config, told.given, VOIDS)):
        log.warning("%s", text)
    for text in told.notes:
        log.info("%s", text)
