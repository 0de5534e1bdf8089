"""Atoms of access lines as Gunicorn's own logger has them: a dict, whole where it is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar, overload

from uvicorn_worker.gunicorn.views import Objects
from uvicorn_worker.logs.atoms import Atoms, combined_atoms, quoted
from uvicorn_worker.logs.exchanges import CLIENT_LEFT, duration, method, show_target
from uvicorn_worker.logs.records import AccessArgs

if TYPE_CHECKING:
    from collections.abc import ItemsView, Iterator, KeysView, ValuesView
    from datetime import timedelta

    from uvicorn_worker.gunicorn.views import RequestView, ResponseView
    from uvicorn_worker.logs.exchanges import Site
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


class LoggerAtoms(Atoms):
    """The atoms of one exchange; `log` makes all of them when anybody asks not just by name."""

    __slots__ = ("_complete", "_log")

    _complete: bool
    _log: AtomSource

    @property
    def access_args(self) -> AccessArgs:
        """What an access record without Gunicorn has as `args`: for formatters that look for it."""
        exchange = self.exchange
        scope, status = exchange.scope, exchange.status or CLIENT_LEFT
        host, port = scope.get("client") or ("", None)
        client = "" if port is None else f"{host}:{port}"
        path = show_target(exchange.target)
        args = AccessArgs((client, method(scope), path, scope["http_version"], status))
        args.exchange, args.duration, args.line = exchange, self.now - exchange.started, ""
        return args

    def __missing__(self, key: str) -> object:
        if not self._complete:
            return super().__missing__(key)
        return quoted(dict.get(self, key.lower(), "-")) if key.startswith("{") else "-"

    def __bool__(self) -> bool:
        return True  # asked for each record: no reason to make all atoms

    def _all(self) -> LoggerAtoms:
        """Return the dict itself, with all atoms in it."""
        if not self._complete:
            objects = Objects(self.exchange, self.site)
            made = self._log.atoms(
                objects.resp, objects.req, objects.environ, duration(self.exchange, self.now)
            )
            made["t"] = self["t"]  # of then, not of now
            self.clear()  # for Gunicorn's order
            self.update((key, quoted(value)) for key, value in made.items())
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

    __hash__ = None  # type: ignore[assignment]  # as dict's, which `__eq__` hides

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


def make_atoms(
    exchange: Exchange, now: float, stamp: str, log: AtomSource, site: Site
) -> LoggerAtoms:
    """Return the atoms of an exchange that ended at `now`; `stamp` is the atom `t`."""

    def read_user(authorization: str) -> str | None:
        return log._get_user({"HTTP_AUTHORIZATION": authorization})

    atoms = LoggerAtoms(combined_atoms(exchange, exchange.peer, stamp, read_user))
    atoms.exchange = exchange
    atoms.now = now
    atoms.site = site
    atoms._complete = False
    atoms._log = log
    return atoms
