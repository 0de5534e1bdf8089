"""Where the values of options come from, and which of them wins: pure.

A place, such as a command line, the environment or a file, gives a layer of values. Layers are
laid over one another, and every value keeps the name of its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from uvicorn_worker.errors import ConfigError
from uvicorn_worker.options.declared import PREFIX, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from uvicorn_worker.options.declared import Option

# Ways to say where to listen: the one that the strongest layer chose is the only one that counts.
WAYS_TO_LISTEN: Final = (("host", "port"), ("uds",), ("fd",), ("bind",))


class Given(NamedTuple):
    """A value that somebody gave, and where: `--port`, `UVICORN_PORT`, `server.toml port`."""

    value: Any
    place: str


Layer = dict[str, Given]


def check(option: Option, value: object, place: str) -> Given:
    """Return a value with its place; raises ConfigError where the option cannot have it."""
    if problem := option.problem(value):
        shown = "..." if option.secret else repr(value)
        raise ConfigError(f"{place}={shown}: {problem}")
    return Given(value, place)


# -- the environment


def from_environment(
    environ: Mapping[str, str],
    options: Mapping[str, Option],
    *,
    elsewhere: Mapping[str, str],
    file: str = "",
) -> tuple[Layer, list[str]]:
    """Return the options in `environ`, and a warning for each UVICORN_* without an effect.

    An empty variable counts as not set. `elsewhere` are names of options that are no options here,
    and what to use in their place. `file` is where the variables stand, if they come from one.

    Raises:
        ConfigError: a value that does not parse, or that the option cannot have.
    """
    given = {name: text.strip() for name, text in environ.items() if text.strip()}
    where = f" in {file}" if file else ""
    found: Layer = {}
    for option in options.values():
        for variable in (option.variable, option.also):
            if variable in given and option.name not in found:
                place = f"{variable}{where}"
                found[option.name] = check(option, option.parse(given[variable], place), place)
    known = [option.variable for option in options.values() if option.variable]
    warnings = []
    for variable in sorted(name for name in given if name.startswith(PREFIX)):
        if (instead := elsewhere.get(variable[len(PREFIX) :].lower())) is not None:
            warnings.append(f"{variable}{where} has no effect; use {instead}")
        elif variable not in known:
            warnings.append(f"{variable}{where} has no effect{did_you_mean(variable, known)}")
    return found, warnings


# -- files


def from_table(
    table: Mapping[str, object],
    options: Mapping[str, Option],
    *,
    file: str,
    elsewhere: Mapping[str, str],
) -> tuple[Layer, list[str]]:
    """Return the options in a table of a TOML file, and a warning for each that is for others.

    Keys are names or long flags of options, with dashes or underscores. Values have the option's
    own type, or are the text that the command line would have. `file` is for the places.

    Raises:
        ConfigError: an unknown key, one that is there twice, or a value that cannot be.
    """
    names = _keys(options)
    found: Layer = {}
    warnings = []
    for key, value in table.items():
        place = f"{file} {key}"
        word = key.replace("-", "_")
        if word in elsewhere:
            warnings.append(f"{place} has no effect; use {elsewhere[word]}")
            continue
        if word not in names:
            hint = did_you_mean(word, names)
            raise ConfigError(f"{place}: there is no such option{hint}")
        option = names[word]
        if option.name in found:
            raise ConfigError(f"{place}: given twice, as {found[option.name].place} too")
        found[option.name] = check(option, _from_toml(option, value, place), place)
    return found, warnings


def _keys(options: Mapping[str, Option]) -> dict[str, Option]:
    keys = dict(options)
    for option in options.values():
        for flag in option.flags:
            if flag.startswith("--"):
                keys.setdefault(flag[2:].replace("-", "_"), option)
    return keys


def _from_toml(option: Option, value: object, place: str) -> object:
    if option.kind.parse is None or isinstance(value, str):
        return option.parse(str(value), place)
    if option.kind.many and isinstance(value, list):
        return _sequence(option, value, place)
    return value


def _sequence(option: Option, items: Sequence[object], place: str) -> tuple[object, ...]:
    """Return the items of an array: texts, or arrays where an option has pairs."""
    found: list[object] = []
    for item in items:
        if isinstance(item, str):
            parsed: Any = option.parse(item, place)
            found += parsed
        else:
            found.append(tuple(item) if isinstance(item, list) else item)
    return tuple(found)


# -- all together


def overlay(layers: Sequence[Layer]) -> tuple[Layer, list[str]]:
    """Return the values that count, and a note for each that does not because of another option.

    The first of the layers is the strongest. Of the ways to say where to listen only that of the
    strongest layer counts: `--port` makes UVICORN_UDS void.
    """
    result: Layer = {}
    for layer in layers:
        for name, given in layer.items():
            result.setdefault(name, given)
    strongest = next((layer for layer in layers if _ways(layer)), {})
    chosen = {name for way in _ways(strongest) for name in way}
    because = " and ".join(given.place for name, given in strongest.items() if name in chosen)
    void = {name for way in _ways(result) if chosen.isdisjoint(way) for name in way}
    notes = [
        f"{result.pop(name).place} has no effect: {because} is stronger"
        for name in sorted(void & result.keys())
    ]
    return result, notes


def _ways(layer: Layer) -> list[tuple[str, ...]]:
    return [way for way in WAYS_TO_LISTEN if not layer.keys().isdisjoint(way)]
