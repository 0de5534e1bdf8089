"""The command: `uvicorn-worker APP` serves, `uvicorn-worker check APP` says whether it would.

What takes time to import is imported when it is certain that it is needed.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import re
import signal
import sys
import traceback
from typing import TYPE_CHECKING, Final, NamedTuple, TextIO

from uvicorn_worker import __version__
from uvicorn_worker.config import APPLICATION, BINDING, LOGGING, SUPERVISORS, TLS, Config
from uvicorn_worker.errors import (
    EXIT_CONFIG_ERROR,
    EXIT_STOPPED,
    ConfigError,
    UsageError,
    WorkerError,
    exit_code,
)
from uvicorn_worker.options.advice import find_void
from uvicorn_worker.options.declared import options_of
from uvicorn_worker.options.files import CONFIG_FILE, gather
from uvicorn_worker.options.words import read_plainly
from uvicorn_worker.serverconfig import (
    LIMITS,
    PROTOCOLS,
    PROXIES,
    RESPONSES,
    TIMES,
    WEBSOCKETS,
)
from uvicorn_worker.sockets.binds import parse_bind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping, Sequence

    from uvicorn_worker.options.declared import Option
    from uvicorn_worker.options.flags import Command
    from uvicorn_worker.options.sources import Layer

NAME: Final = "uvicorn-worker"
CHECK: Final = "check"
COMPLETE: Final = "_UVICORN_WORKER_COMPLETE"  # the variable by which a shell asks for completion
ABOUT: Final = f"""Serve APP, named as MODULE:ATTRIBUTE, in one process.

Options also come from UVICORN_* variables, from --env-file, from --config or [tool.uvicorn] of
a pyproject.toml, in this order. `{NAME} check APP` tells what would be served, and serves nothing.
For several processes, and to reload code, see uvicorn-supervisor."""

OPTIONS: Final = options_of(Config)
_NAMES: Final = r"\w+(?: and \w+)*(?=[=:])"

# The topics of `--help`, in this order; others follow.
TOPICS: Final = (
    APPLICATION, BINDING, LOGGING, TLS, PROXIES, TIMES, LIMITS, RESPONSES, WEBSOCKETS, PROTOCOLS,
)  # fmt: skip

SUPERVISOR: Final = "uvicorn-supervisor"
# Its options that this command knows as well, to say so.
FOR_SUPERVISOR: Final = ("workers", "reload")
ELSEWHERE: Final = dict.fromkeys(SUPERVISORS, SUPERVISOR)


class Told(NamedTuple):
    """What the command was told, all places together."""

    config: Config
    given: Layer
    warnings: Sequence[str]
    notes: Sequence[str]


def main(words: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; `words` are those behind its name."""
    words = sys.argv[1:] if words is None else words
    try:
        if words[:1] == [CHECK]:
            return _check(words[1:])
        told = read(words, os.environ)
        return EXIT_STOPPED if told is None else _serve(told)
    except WorkerError as exc:
        return complain(exc, sys.stderr)


def complain(exc: WorkerError, file: TextIO) -> int:
    """Write in one line why the command ends, and return its exit code.

    Where it is because of the user's own code, its traceback is in front.
    """
    if exc.__cause__ is not None:
        traceback.print_exception(exc.__cause__, file=file)
    file.write(f"Error: {exc}\n")
    return exit_code(exc)


def read(words: Sequence[str], environ: MutableMapping[str, str]) -> Told | None:
    """Return what the command line and all other places say; None: it asked for help.

    Variables of an env-file are added to `environ`.

    Raises:
        ConfigError: something in it is wrong.
    """
    line = None if COMPLETE in environ else read_plainly(words, {**OPTIONS, "config": CONFIG_FILE})
    if line is None:
        line = make_command(words).read(words)
    if line is None:
        return None
    refuse_void_addresses(line)
    values, warnings, notes = gather(line, environ, OPTIONS, elsewhere=ELSEWHERE)
    notes = [*notes, *_leave_to_supervisor(values, words)]
    if "app" not in values:
        raise UsageError(f"APP is missing: {NAME} MODULE:ATTRIBUTE, like {NAME} main:app")
    return Told(make_config(values), values, warnings, notes)


def make_command(words: Sequence[str]) -> Command:
    """Return what knows all of a command line; `words` are for what it says of mistakes."""
    from uvicorn_worker.options.flags import Command

    return Command(
        NAME,
        by_topic([*OPTIONS.values(), CONFIG_FILE]),
        about=ABOUT,
        version=__version__,
        elsewhere=_foreign_flags(words),
    )


def make_config(values: Layer) -> Config:
    """Return the configuration of some values; raises ConfigError, which names their places."""
    try:
        return Config(**{name: given.value for name, given in values.items()})
    except ConfigError as exc:
        text = _name_places(str(exc), values)
        raise (UsageError if text.startswith("-") else ConfigError)(text) from None


def _name_places(text: str, values: Layer) -> str:
    """Return what is wrong, with the places of options in place of their names.

    It begins with these: `uds and fd: ...`, `ssl_keyfile='...' needs ...`.
    """
    names = re.match(_NAMES, text)
    words = names[0].split(" and ") if names else []
    places = [values[name].place if name in values else name for name in words]
    return " and ".join(places) + text[names.end() if names else 0 :]


def by_topic(options: Iterable[Option]) -> list[Option]:
    """Return options in the order of their topics."""
    ranks = {topic: rank for rank, topic in enumerate(TOPICS)}
    return sorted(options, key=lambda option: ranks.get(option.group, len(ranks)))


# -- what is the supervisor's


def _foreign_flags(words: Sequence[str]) -> dict[str, str]:
    flags = [f"--{name.replace('_', '-')}" for name in SUPERVISORS]
    said = {flag: f"{flag} is an option of {_supervisors_line(words)}" for flag in flags}
    return {**said, "--http2": "--http2: HTTP/2 is not served here; a proxy in front can"}


def _supervisors_line(words: Sequence[str]) -> str:
    return f"{SUPERVISOR}: {' '.join((SUPERVISOR, *words))}"


def _leave_to_supervisor(values: Layer, words: Sequence[str]) -> list[str]:
    """Remove from `values` what only a supervisor can do; return what to tell about it.

    Variables and files may be meant for both commands. On the command line it is a mistake.
    """
    notes = []
    for name in FOR_SUPERVISOR:
        if name not in values or not _wants_supervisor(name, values[name].value):
            continue
        value, place = values.pop(name)
        if place.startswith("-"):
            what = f"{place} {value}" if name == "workers" else place
            raise UsageError(f"{what} needs {_supervisors_line(words)}")
        notes.append(f"{place}={value} is for {SUPERVISOR}: this is one process")
    return notes


def _wants_supervisor(name: str, value: object) -> bool:
    return bool(value) if name == "reload" else isinstance(value, int) and value > 1


# -- options of a command line that make others void


def refuse_void_addresses(line: Layer) -> None:
    """Raise UsageError where a command line gives a host or port that would not be used."""
    for name in ("host", "port"):
        if name in line and (other := _in_place_of(name, line)):
            raise UsageError(f"--{name} has no effect with --{other}: leave one of them out")


def _in_place_of(name: str, line: Layer) -> str | None:
    if other := next((way for way in ("uds", "fd") if way in line), None):
        return other
    if "bind" not in line:
        return None
    marks: list[Mapping[str, int | str]] = [{"host": ("a", "b")[i], "port": 1 + i} for i in (0, 1)]
    used = any(
        parse_bind(text, **{name: marks[0][name]}) != parse_bind(text, **{name: marks[1][name]})  # type: ignore[arg-type]  # of the type that the name has
        for text in line["bind"].value
    )
    return None if used else "bind"


# -- what the command does


def _serve(told: Told) -> int:
    # Before the server answers signals, and after it: nothing is there that could be lost. Threads
    # of the application may keep the process for long.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda sig, frame: os._exit(EXIT_STOPPED))
    # Then Python gives signals back their default, which would be death, and no exit code 0. What
    # the application registers comes later, and is called before this.
    atexit.register(signal.signal, signal.SIGTERM, signal.SIG_IGN)
    from uvicorn_worker.process.heap import keep_inherited
    from uvicorn_worker.server import Server

    keep_inherited()  # what is loaded now
    gc.enable()
    try:
        server = Server(told.config)
        server.owns_process = True
        void = find_void(told.config, told.given)
    except ConfigError as exc:
        raise ConfigError(_name_places(str(exc), told.given)) from exc.__cause__
    for text in (*told.warnings, *void):
        server.log.warning("%s", text)
    for text in told.notes:
        server.log.info("%s", text)
    server.run()
    if server.force_exit:  # at once: threads of the application would be waited for
        logging.shutdown()
        os._exit(EXIT_STOPPED)
    return EXIT_STOPPED


def _check(words: Sequence[str]) -> int:
    from uvicorn_worker.checkup import report

    gc.enable()
    told = read(words, os.environ)
    if told is None:
        return EXIT_STOPPED
    try:
        report(told.config, told.given, sys.stdout, warnings=told.warnings, notes=told.notes)
        sys.stdout.flush()
    except BrokenPipeError:  # `check | head`: nobody reads on, also not what is still buffered
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_CONFIG_ERROR
    return EXIT_STOPPED
