"""Plain command lines: known flags, their values, one application. Everything else is click's.

click is an eighth of the time that a process takes to start (12 of 103 ms), and needed for help,
for completion and for whoever mistypes. What this reads, `flags` would read in the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn_worker.errors import ConfigError, UsageError
from uvicorn_worker.options.sources import Given, check

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from uvicorn_worker.options.declared import Option
    from uvicorn_worker.options.sources import Layer


def read_plainly(words: Sequence[str], options: Mapping[str, Option]) -> Layer | None:
    """Return the options on a command line, None where it is not a plain one.

    Raises:
        UsageError: a value cannot be.
    """
    switches: dict[str, tuple[str, bool]] = {}
    takers: dict[str, Option] = {}
    for option in options.values():
        for flag in option.flags if option.name != "app" else ():
            if option.kind.metavar:
                takers[flag] = option
            else:
                switches |= {flag: (option.name, True), f"--no-{flag[2:]}": (option.name, False)}
    found: dict[str, Any] = {}
    left = iter(words)
    for word in left:
        if word in switches:
            name, value = switches[word]
            found[name] = value
        elif word in takers:
            if not _take_value(takers[word], left, found):
                return None
        elif word.startswith("-") or not word or "app" in found:
            return None
        else:
            found["app"] = word
    return read_values(found, options)


def _take_value(option: Option, words: Iterator[str], found: dict[str, Any]) -> bool:
    """Take the word behind a flag; return False where there is none."""
    value = next(words, None)
    if value is None:
        return False
    found[option.name] = (*found.get(option.name, ()), value) if option.kind.many else value
    return True


def read_values(found: Mapping[str, Any], options: Mapping[str, Option]) -> Layer:
    """Return the values of options of which the texts were found, or what their switches say.

    Raises:
        UsageError: a text means nothing, or the option cannot have the value.
    """
    try:
        return {name: _read(options[name], words) for name, words in found.items()}
    except ConfigError as exc:
        raise UsageError(str(exc)) from None


def _read(option: Option, words: Any) -> Given:
    place = option.flags[0] if option.name != "app" else "APP"
    if isinstance(words, bool):
        return check(option, words, place)
    if option.kind.many:
        values: list[Any] = [option.parse(text, place) for text in words]
        return check(option, tuple(item for value in values for item in value), place)
    return check(option, option.parse(words, place), place)
