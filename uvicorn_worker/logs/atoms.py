"""The atoms of access lines: what Gunicorn's formats name, `%(h)s` or `%({user-agent}i)s`.

Each one is a letter, or a name in braces with `i` (a request's field), `o` (a response's) or `e`
(a variable as of WSGI).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Protocol

from uvicorn_worker.logs.exchanges import (
    make_environ,
    method,
    path_info,
    protocol,
    split_target,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn_worker.asgi import Address, Headers
    from uvicorn_worker.logs.exchanges import Site
    from uvicorn_worker.state import Exchange


HELD: Final = frozenset("hlutrsbfa")  # by `combined_atoms`
ALL: Final = "h l u t r s m U q H b B f a T D M L p"


DAY: Final = 24 * 60 * 60  # seconds


class Moment(Protocol):
    """What atoms are made of: an exchange that ended at `now`, on the clock of its `started`."""

    @property
    def exchange(self) -> Exchange: ...
    @property
    def now(self) -> float: ...
    @property
    def site(self) -> Site: ...


class Atoms(dict[str, object]):
    """The atoms of one exchange that ended at `now`, on the clock of its `started`.

    Make it of `combined_atoms` and set its attributes. Any other atom is made at each access by
    name. `"` in strings is escaped, `-` stands for what is not there, and names in braces are in
    any case.
    """

    __slots__ = ("exchange", "now", "site")

    exchange: Exchange
    now: float
    site: Site

    def __missing__(self, key: str) -> object:
        if (make := SINGLE.get(key)) is not None:
            return quoted(make(self))
        if (find := NAMED.get(key[-2:].lower())) is not None and key.startswith("{"):
            return quoted(find(self, key[1:-2].lower()))
        return "-"


def combined_atoms(
    exchange: Exchange, client: Address, stamp: str, read_user: Callable[[str], str | None]
) -> dict[str, object]:
    """Return the atoms of the combined format, which hardly a format leaves out.

    `client` is the atom `h`, where it has a port; `stamp` is `t`; `read_user` makes `u` of the
    field Authorization.
    """
    headers = exchange.request_headers
    fields = dict(headers)
    if len(fields) != len(headers) or b"user_agent" in fields:
        fields = _join(headers)
    user = "-"
    if b"authorization" in fields:
        user = read_user(fields[b"authorization"].decode("latin-1")) or "-"
    scope = exchange.scope
    target = exchange.target.decode("latin-1")
    return {
        "h": client[0] if client is not None and client[1] is not None else "-",
        "l": "-",
        "u": user.replace('"', '\\"'),
        "t": stamp,
        "r": f"{method(scope)} {target} {protocol(scope)}".replace('"', '\\"'),
        "s": str(exchange.status or 500),
        "b": str(exchange.sent),
        "f": fields.get(b"referer", b"-").decode("latin-1").replace('"', '\\"'),
        "a": fields.get(b"user-agent", b"-").decode("latin-1").replace('"', '\\"'),
    }


def format_problem(line_format: str) -> str | None:
    """Return what is wrong with a format of access lines, None where nothing is."""
    try:
        asked = names_in(line_format)
    except (TypeError, ValueError) as exc:
        return f"{exc}; expected atoms such as %(h)s or %({{user-agent}}i)s, and %% for %"
    for name in asked:
        named = name.startswith("{") and name[-2:].lower() in NAMED
        if not (named or name in HELD or name in SINGLE):
            return f"there is no atom %({name})s; expected {ALL}, {{NAME}}i, {{NAME}}o or {{NAME}}e"
    return None if asked else "it names no atom such as %(h)s"


def names_in(line_format: str) -> list[str]:
    """Return the names that a format asks for; raises TypeError or ValueError if it is none."""
    names = _Names()
    line_format % names
    return names.asked


class _Names(dict[str, object]):
    """Stands for all atoms, and keeps the names that a format asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def __missing__(self, key: str) -> object:
        self.asked.append(key)
        # Those that are numbers; a format may say %(B)d.
        return 0 if key in ("B", "D", "M", "T") else "-"


def quoted(value: object) -> object:
    """Return an atom's value as it stands between quotation marks."""
    return value.replace('"', '\\"') if isinstance(value, str) else value


def _join(headers: Headers) -> dict[bytes, bytes]:
    """Return the fields by name as CGI has them: repeated ones joined, `_` the same as `-`."""
    joined: dict[bytes, bytes] = {}
    for name, value in headers:
        key = name.replace(b"_", b"-")
        joined[key] = b"%b,%b" % (joined[key], value) if key in joined else value
    return joined


# -- atoms made one by one


def _microseconds(moment: Moment) -> int:
    # Without days: so Gunicorn counts.
    return round(max(0.0, moment.now - moment.exchange.started) % DAY * 1e6)


def _decimal(moment: Moment) -> str:
    taken = moment.now - moment.exchange.started
    return f"{taken if 0.0 <= taken < DAY else max(0.0, taken) % DAY:.6f}"


SINGLE: Final[dict[str, Callable[[Moment], object]]] = {
    "m": lambda moment: method(moment.exchange.scope),
    "U": lambda moment: path_info(moment.exchange, moment.site),
    "q": lambda moment: split_target(moment.exchange.target.decode("latin-1"))[1],
    "H": lambda moment: protocol(moment.exchange.scope),
    "B": lambda moment: moment.exchange.sent,
    "T": lambda moment: _microseconds(moment) // 1_000_000,
    "D": _microseconds,
    "M": lambda moment: _microseconds(moment) // 1000,
    "L": _decimal,
    "p": lambda moment: f"<{os.getpid()}>",
}


def _find_request_field(moment: Moment, name: str) -> str:
    wanted = name.encode("latin-1", "replace")
    for field, value in reversed(moment.exchange.request_headers):
        if field == wanted:
            return value.decode("latin-1")
    return "-"


def _find_response_field(moment: Moment, name: str) -> str:
    # Not parsed: that takes longer than to write the line.
    head = moment.exchange.response_head
    start = b"\r\n%b:" % name.encode("latin-1", "replace")
    found = head.lower().rfind(start)
    if found < 0 or ":" in name:
        return "-"
    found += len(start)
    return head[found : head.index(b"\r\n", found)].strip(b" \t").decode("latin-1")


def _find_variable(moment: Moment, name: str) -> str:
    for key, value in make_environ(moment.exchange, moment.site).items():
        if key.lower() == name:
            return value
    return "-"


# The end of a name in braces -> who finds it, among several of that name the last one.
NAMED: Final[dict[str, Callable[[Moment, str], str]]] = {
    "}i": _find_request_field,
    "}o": _find_response_field,
    "}e": _find_variable,
}
