"""The atoms of an access line, made when a format or a handler asks for them.

To who reads them they are the dict that Gunicorn's own logger makes: `"` in strings escaped, `-`
for what is not there, names in braces in any case.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Protocol, TypeVar, overload

from uvicorn_worker.gunicorn.views import (
    Objects,
    duration,
    method,
    path_info,
    protocol,
    split_target,
)

if TYPE_CHECKING:
    from collections.abc import Callable, ItemsView, Iterator, KeysView, ValuesView
    from datetime import timedelta

    from uvicorn_worker.asgi import Headers
    from uvicorn_worker.gunicorn.views import RequestView, ResponseView, Site
    from uvicorn_worker.state import Exchange

T = TypeVar("T")


class AtomSource(Protocol):
    """The part of Gunicorn's logger that knows all atoms."""

    def atoms(
        self,
        resp: ResponseView,
        req: RequestView,
        environ: dict[str, str],
        request_time: timedelta,
    ) -> dict[str, object]: ...

    def _get_user(self, environ: dict[str, str]) -> str | None: ...


class Atoms(dict[str, object]):
    """The atoms of one exchange that has ended; see `make_atoms`.

    It holds the atoms of the combined format, which hardly a format leaves out. Any other one is
    made at each access by name; all of them, once, when the dict is looked at in another way.
    """

    __slots__ = ("_complete", "_exchange", "_log", "_now", "_site")

    _complete: bool
    _exchange: Exchange
    _log: AtomSource
    _now: float
    _site: Site

    def __missing__(self, key: str) -> object:
        if self._complete:
            found = dict.get(self, key.lower(), "-") if key.startswith("{") else "-"
        elif (make := _SINGLE.get(key)) is not None:
            found = make(self)
        elif (find := _NAMED.get(key[-2:].lower())) is not None and key.startswith("{"):
            found = find(self, key[1:-2].lower())
        else:
            found = "-"
        return _quoted(found)

    def __bool__(self) -> bool:
        return True  # asked for each record: no reason to make all atoms

    def _all(self) -> Atoms:
        """Return the dict itself, with all atoms in it."""
        if not self._complete:
            objects = Objects(self._exchange, self._site)
            made = self._log.atoms(
                objects.resp, objects.req, objects.environ, duration(self._exchange, self._now)
            )
            made["t"] = self["t"]  # of then, not of now
            self.clear()  # for Gunicorn's order
            self.update((key, _quoted(value)) for key, value in made.items())
            self._complete = True
        return self

    # What a formatter for JSON may use instead of a name.

    def __iter__(self) -> Iterator[str]:
        return dict.__iter__(self._all())

    def __len__(self) -> int:
        return dict.__len__(self._all())

    def __contains__(self, key: object) -> bool:
        return dict.__contains__(self._all(), key)

    def __eq__(self, other: object) -> bool:
        return dict.__eq__(self._all(), other)

    __hash__ = None  # as dict's, which `__eq__` hides

    def __repr__(self) -> str:
        return dict.__repr__(self._all())

    def __reduce__(self) -> tuple[type[dict[str, object]], tuple[dict[str, object]]]:
        return dict, (self.copy(),)

    def copy(self) -> dict[str, object]:
        return dict(self.items())

    def keys(self) -> KeysView[str]:  # type: ignore[override]  # dict_keys has no public name
        return dict.keys(self._all())

    def values(self) -> ValuesView[object]:  # type: ignore[override]  # dict_values, too
        return dict.values(self._all())

    def items(self) -> ItemsView[str, object]:  # type: ignore[override]  # dict_items, too
        return dict.items(self._all())

    @overload
    def get(self, key: str, default: None = None, /) -> object: ...
    @overload
    def get(self, key: str, default: T, /) -> object | T: ...
    def get(self, key: str, default: object = None, /) -> object:
        return dict.get(self._all(), key, default)


def make_atoms(exchange: Exchange, now: float, stamp: str, log: AtomSource, site: Site) -> Atoms:
    """Return the atoms of an exchange that ended at `now`; `stamp` is the atom `t`."""
    headers = exchange.request_headers
    fields = dict(headers)
    if len(fields) != len(headers) or b"user_agent" in fields:
        fields = _join(headers)
    scope, client = exchange.scope, exchange.peer
    target = exchange.target.decode("latin-1")
    atoms = Atoms(
        {
            "h": client[0] if client is not None and client[1] is not None else "-",
            "l": "-",
            "u": _read_user(log, fields[b"authorization"]) if b"authorization" in fields else "-",
            "t": stamp,
            "r": f"{method(scope)} {target} {protocol(scope)}".replace('"', '\\"'),
            "s": str(exchange.status or 500),
            "b": str(exchange.sent),
            "f": fields.get(b"referer", b"-").decode("latin-1").replace('"', '\\"'),
            "a": fields.get(b"user-agent", b"-").decode("latin-1").replace('"', '\\"'),
        }
    )
    atoms._complete = False
    atoms._exchange = exchange
    atoms._log = log
    atoms._now = now
    atoms._site = site
    return atoms


def _join(headers: Headers) -> dict[bytes, bytes]:
    """Return the fields by name as CGI has them: repeated ones joined, `_` the same as `-`."""
    joined: dict[bytes, bytes] = {}
    for name, value in headers:
        key = name.replace(b"_", b"-")
        joined[key] = b"%b,%b" % (joined[key], value) if key in joined else value
    return joined


def _read_user(log: AtomSource, authorization: bytes) -> str:
    user = log._get_user({"HTTP_AUTHORIZATION": authorization.decode("latin-1")}) or "-"
    return user.replace('"', '\\"')


def _quoted(value: object) -> object:
    return value.replace('"', '\\"') if isinstance(value, str) else value


# -- atoms made one by one


def _seconds(atoms: Atoms) -> timedelta:
    return duration(atoms._exchange, atoms._now)


def _microseconds(atoms: Atoms) -> int:
    # Without days, here and below: so Gunicorn counts.
    time = _seconds(atoms)
    return time.seconds * 1_000_000 + time.microseconds


def _milliseconds(atoms: Atoms) -> int:
    time = _seconds(atoms)
    return time.seconds * 1000 + time.microseconds // 1000


def _decimal(atoms: Atoms) -> str:
    time = _seconds(atoms)
    return f"{time.seconds}.{time.microseconds:06}"


_SINGLE: Final[dict[str, Callable[[Atoms], object]]] = {
    "m": lambda atoms: method(atoms._exchange.scope),
    "U": lambda atoms: path_info(atoms._exchange, atoms._site),
    "q": lambda atoms: split_target(atoms._exchange.target.decode("latin-1"))[1],
    "H": lambda atoms: protocol(atoms._exchange.scope),
    "B": lambda atoms: atoms._exchange.sent,
    "T": lambda atoms: _seconds(atoms).seconds,
    "D": _microseconds,
    "M": _milliseconds,
    "L": _decimal,
    "p": lambda atoms: f"<{os.getpid()}>",
}


def _find_request_field(atoms: Atoms, name: str) -> str:
    wanted = name.encode("latin-1", "replace")
    for field, value in reversed(atoms._exchange.request_headers):
        if field == wanted:
            return value.decode("latin-1")
    return "-"


def _find_response_field(atoms: Atoms, name: str) -> str:
    # Not parsed: that takes longer than to write the line.
    head = atoms._exchange.response_head
    start = b"\r\n%b:" % name.encode("latin-1", "replace")
    found = head.lower().rfind(start)
    if found < 0 or ":" in name:
        return "-"
    found += len(start)
    return head[found : head.index(b"\r\n", found)].strip(b" \t").decode("latin-1")


def _find_variable(atoms: Atoms, name: str) -> str:
    for key, value in Objects(atoms._exchange, atoms._site).environ.items():
        if key.lower() == name:
            return value
    return "-"


# The end of a name in braces -> who finds it, among several of that name the last one.
_NAMED: Final[dict[str, Callable[[Atoms, str], str]]] = {
    "}i": _find_request_field,
    "}o": _find_response_field,
    "}e": _find_variable,
}
