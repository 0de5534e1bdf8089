"""Access lines in a format that somebody gave, with as little work per line as possible.

The format is taken apart once: its text, and a function for each of its atoms.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from uvicorn_worker.logs.atoms import NAMED, SINGLE, quoted
from uvicorn_worker.logs.exchanges import CLIENT_LEFT, protocol, read_basic_user
from uvicorn_worker.logs.remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn_worker.asgi import Address
    from uvicorn_worker.logs.exchanges import Site
    from uvicorn_worker.state import Exchange

_PLACE: Final = r"%%|%\(([^()]*)\)"
_find_control = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class LineFormat:
    """Makes lines in one format: an `atoms.Moment` at a time.

    `"` in values is escaped, control characters are. `-` stands for what is not there.
    """

    __slots__ = (
        "_makers", "_template", "_wanted", "client", "exchange", "fields", "now", "site", "stamp",
    )  # fmt: skip

    exchange: Exchange
    client: Address
    now: float
    stamp: str

    def __init__(self, line_format: str, site: Site) -> None:
        """Take a format in which `atoms.format_problem` finds no fault."""
        self.site = site
        names: list[str] = []

        def take_name(place: re.Match[str]) -> str:
            if place[0] == "%%":
                return "%%"
            names.append(place[1])
            return "%"

        self._template = re.sub(_PLACE, take_name, line_format)
        self._makers = tuple(map(_find_maker, names))
        self._wanted = frozenset(_FIELDS[name] for name in names if name in _FIELDS)
        self.fields: dict[bytes, bytes] = {}  # of the request, as far as they are wanted

    def make(self, exchange: Exchange, client: Address, now: float, stamp: str) -> str:
        """Return the line of an exchange that ended at `now`.

        `client` is the atom `h`, where it has a port, `stamp` is `t`.
        """
        self.exchange, self.client, self.now, self.stamp = exchange, client, now, stamp
        if self._wanted:
            fields: dict[bytes, bytes] = {}
            self.fields = fields
            for name, value in exchange.request_headers:
                if name in self._wanted:  # repeated ones are joined
                    fields[name] = b"%b,%b" % (fields[name], value) if name in fields else value
        return self._template % tuple([make(self) for make in self._makers])


# The fields of requests that atoms without their names show.
_FIELDS: Final = {"a": b"user-agent", "f": b"referer", "u": b"authorization"}


def _find_maker(name: str) -> Callable[[LineFormat], object]:
    """Return what makes the value of an atom, as it stands in a line."""
    if (make := _MAKERS.get(name)) is not None:
        return make
    if (single := SINGLE.get(name)) is not None:
        if name in _HARMLESS:
            return single
        return lambda line: _visible(quoted(single(line)))
    find, field = NAMED[name[-2:].lower()], name[1:-2].lower()
    return lambda line: _visible(quoted(find(line, field)))


def _client(line: LineFormat) -> str:
    client = line.client
    return _texts[client[0]] if client is not None and client[1] is not None else "-"


def _user(line: LineFormat) -> str:
    value = line.fields.get(b"authorization")
    return "-" if value is None else _text(read_basic_user(value.decode("latin-1")) or "-")


def _request_line(line: LineFormat) -> str:
    scope, target = line.exchange.scope, _values[line.exchange.target]
    return f"{scope.get('method', 'GET')} {target} {_protocols[scope['http_version']]}"


def _referer(line: LineFormat) -> str:
    value = line.fields.get(b"referer")
    return "-" if value is None else _values[value]


def _agent(line: LineFormat) -> str:
    value = line.fields.get(b"user-agent")
    return "-" if value is None else _values[value]


# Atoms of which the values have neither quotation marks nor control characters.
_HARMLESS: Final = frozenset("mHBTDMLp")

# Atoms of the combined format, which hardly a format leaves out.
_MAKERS: Final[dict[str, Callable[[LineFormat], object]]] = {
    "h": _client,
    "l": lambda line: "-",
    "u": _user,
    "t": lambda line: line.stamp,
    "r": _request_line,
    "s": lambda line: line.exchange.status or CLIENT_LEFT,
    "b": lambda line: line.exchange.sent,
    "f": _referer,
    "a": _agent,
}


def _text(value: str) -> str:
    return str(_visible(quoted(value)))


def _visible(value: object) -> object:
    if not isinstance(value, str) or value.isprintable():
        return value
    return _find_control.sub(lambda match: f"\\x{ord(match[0]):02x}", value)


_protocols: Final[Remembered[str, str]] = Remembered(lambda text: protocol({"http_version": text}))
_texts: Final = Remembered(_text)
_values: Final[Remembered[bytes, str]] = Remembered(lambda value: _text(value.decode("latin-1")))
