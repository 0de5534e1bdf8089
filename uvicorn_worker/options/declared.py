"""How an option is declared, once, and what is derived from its declaration.

A configuration is a frozen dataclass whose fields are made by `setting`. The command line, the
environment, files, `--help` and the tables of the documentation all come from `options_of`.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from uvicorn_worker.errors import ConfigError
from uvicorn_worker.options.values import BOOLEAN, INTEGER, LIST, SECONDS, TEXT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from uvicorn_worker.options.values import Check, Kind

T = TypeVar("T")

PREFIX: Final = "UVICORN_"  # of the variables in the environment

_BY_TYPE: Final[Mapping[type, Kind]] = {
    bool: BOOLEAN, float: SECONDS, int: INTEGER, str: TEXT, tuple: LIST,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option: what there is to know about it."""

    name: str
    default: object
    help: str  # one line, no full stop
    kind: Kind
    group: str = ""  # its topic in `--help`
    flags: tuple[str, ...] = ()  # the first is the one to be shown; none: for code only
    variable: str = ""  # in the environment; empty: none
    also: str = ""  # another variable that is read, after `variable`
    check: Check | None = None
    secret: bool = False

    def problem(self, value: object) -> str | None:
        """Return what is wrong with a value, None where nothing is."""
        if not self.kind.accepts(value):
            return f"expected {self.kind.expected}"
        return self.check(value) if self.check is not None else None

    def settle(self, value: object) -> object:
        """Return the value that is meant where code is generous: a text, a path, None.

        Raises:
            ConfigError: a text means nothing here.
        """
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if value is None and not self.kind.accepts(None):
            return self.default
        if isinstance(value, str) and self.kind.parse is not None and not self.kind.accepts(value):
            return self.parse(value, self.name)
        return value

    def parse(self, text: str, place: str) -> object:
        """Return the value that a text stands for; raises ConfigError, which names `place`."""
        if self.kind.parse is None:
            raise ConfigError(f"{place}: {self.name} can be given in code only")
        try:
            return self.kind.parse(text)
        except ValueError as exc:
            raise ConfigError(f"{place}={text!r}: {exc}") from None


def setting(
    default: T,
    help: str,
    check: Check | None = None,
    *,
    kind: Kind | None = None,
    group: str = "",
    flag: str = "",
    flags: tuple[str, ...] = (),
    also: str = "",
    secret: bool = False,
) -> T:
    """Declare a field: its default and help, its kind (by default that of `default`), its check.

    `flag` is its name on the command line where that is not the field's own, `flags` are further
    ones. A default that is a dict is copied for each configuration; a secret is shown nowhere.
    """
    metadata = {
        "help": help,
        "check": check,
        "kind": kind or _BY_TYPE[type(default)],
        "group": group,
        "flag": flag,
        "flags": flags,
        "also": also,
        "secret": secret,
    }
    made: Any = (
        field(default_factory=default.copy, metadata=metadata)
        if isinstance(default, dict)
        else field(default=default, metadata=metadata, repr=not secret)
    )
    return cast("T", made)


def options_of(config: type[Any]) -> Mapping[str, Option]:
    """Return the options of a configuration class by name, in the order of its fields."""
    kind: Any = config  # mypy does not take every class for hashable
    return _options_of(kind)


@functools.cache
def _options_of(config: type[Any]) -> Mapping[str, Option]:
    return {
        item.name: _option(item) for item in dataclasses.fields(config) if "kind" in item.metadata
    }


def _option(item: dataclasses.Field[Any]) -> Option:
    default = item.default
    if default is dataclasses.MISSING:
        assert item.default_factory is not dataclasses.MISSING  # `setting` sees to it
        default = item.default_factory()
    about = item.metadata
    in_text = about["kind"].parse is not None
    flag = about["flag"] or f"--{item.name.replace('_', '-')}"
    return Option(
        name=item.name,
        default=default,
        help=about["help"],
        kind=about["kind"],
        group=about["group"],
        flags=(flag, *about["flags"]) if in_text else (),
        variable=f"{PREFIX}{item.name.upper()}" if in_text else "",
        also=about["also"],
        check=about["check"],
        secret=about["secret"],
    )


def check_fields(config: Any) -> None:
    """Check every field of a configuration; raises ConfigError, whose text begins with `name=`."""
    for option in options_of(type(config)).values():
        value = getattr(config, option.name)
        if problem := option.problem(value):
            raise ConfigError(f"{option.name}={value!r}: {problem}")


def describe(config: Any) -> str:
    """Return the `repr` of a configuration: what is not as by default, and no secrets."""
    given = [
        f"{option.name}={getattr(config, option.name)!r}"
        for option in options_of(type(config)).values()
        if not option.secret and getattr(config, option.name) != option.default
    ]
    return f"{type(config).__name__}({', '.join(given)})"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint at the known name that is nearest, empty where none is near."""
    import difflib  # of use after a mistake only

    close = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else ""
