"""The access log: one line per exchange, through Gunicorn's logger.

What has to be done is found out once, when the worker starts:

- nothing, where nobody would see it: Gunicorn's own `access` with the access log off;
- for Gunicorn's own logger: the line that it would print, byte for byte, but made without the
  objects and the dozens of atoms that the format does not ask for;
- for any other logger (StatsD, a user's own): its `access` is called with real objects.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from types import FunctionType
from typing import TYPE_CHECKING, Final, Protocol, cast

from uvicorn_worker.gunicorn.atoms import AtomSource, make_atoms
from uvicorn_worker.gunicorn.views import Objects
from uvicorn_worker.logs.exchanges import RefusedExchange, Site, duration
from uvicorn_worker.logs.records import RecordMaker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import timedelta

    from uvicorn_worker.asgi import Address
    from uvicorn_worker.gunicorn.views import RequestView, ResponseView
    from uvicorn_worker.state import Exchange


class AccessLogger(Protocol):
    """What every `logger_class` has to have."""

    def access(
        self,
        resp: ResponseView,
        req: RequestView,
        environ: dict[str, str],
        request_time: timedelta,
    ) -> None: ...

    def error(self, msg: str, /, *args: object) -> None: ...


class OwnLogger(AccessLogger, AtomSource, Protocol):
    """What Gunicorn's own logger has beside that."""

    access_log: logging.Logger

    def now(self) -> str: ...


class AccessConfig(Protocol):
    """The part of Gunicorn's configuration that is read here."""

    access_log_format: str
    accesslog: str | None
    logconfig: str | None
    logconfig_dict: dict[str, object]
    logconfig_json: str | None
    syslog: bool
    disable_redirect_access_to_syslog: bool


# What the fast path does in the logger's stead: who changes one of them gets the slow one.
_OWN_METHODS: Final = ("access", "atoms", "now", "_get_user")
_OWN_NAMES: Final = frozenset((*_OWN_METHODS, "atoms_wrapper_class"))


class AccessLog:
    """Writes the access line of each exchange; make it in the worker, when all is loaded.

    `log(exchange, now)` writes it for an exchange that ended at `now`, on the clock of `started`.
    A third argument hands over the `Objects` of the exchange where somebody made them already.
    What an exchange says must stay as it is: a handler may format the line later.

    Args:
        log: Gunicorn's logger, of whatever class.
        cfg: Gunicorn's configuration.
        own_class: `gunicorn.glogging.Logger`.
        site: what the objects tell foreign loggers about the server.
    """

    __slots__ = ("_write", "enabled", "log")

    enabled: bool
    """Whether anything is ever written."""
    log: Callable[..., None]

    def __init__(
        self, log: AccessLogger, cfg: AccessConfig, *, own_class: type, site: Site | None = None
    ) -> None:
        site = site or Site()
        self._write = _Caller(log, site)
        self.enabled = True
        self.log = self._write
        if _has_own(log, own_class, ("access",)) and not _is_on(log, cfg):
            self.enabled = False
            self.log = _do_nothing
        elif _has_own(log, own_class, _OWN_NAMES):
            own = cast("OwnLogger", log)  # as has just been established
            if type(own.access_log) is logging.Logger:
                self.log = _LineWriter(own, getattr(log, "cfg", cfg).access_log_format, site)

    def refused(self, peer: Address, head: bytes, status: int) -> None:
        """Write the line of a message that was refused with `status` before it was a request.

        Atoms that cannot be read from `head`, as far as it came, are `-`; so is the size of the
        answer, which nobody counts.
        """
        if self.enabled:
            exchange = RefusedExchange(peer, head, status)
            self._write(exchange, exchange.started)


def _do_nothing(exchange: Exchange, now: float, objects: Objects | None = None) -> None:
    """Write no line."""


class _Caller:
    """Has a logger write its line itself."""

    __slots__ = ("_log", "_site")

    def __init__(self, log: AccessLogger, site: Site) -> None:
        self._log = log
        self._site = site

    def __call__(self, exchange: Exchange, now: float, objects: Objects | None = None) -> None:
        try:
            made = objects or Objects(exchange, self._site)
            self._log.access(made.resp, made.req, made.environ, duration(exchange, now))
        except Exception:  # a logger's mistake is no reason to lose a request
            self._log.error("%s", traceback.format_exc())


class _LineWriter:
    """Writes the line in the stead of Gunicorn's own logger.

    Where somebody has replaced the machinery of `logging`, it is used.
    """

    __slots__ = ("_format", "_log", "_logger", "_records", "_second", "_site", "_stamp", "_usual")

    def __init__(self, log: OwnLogger, line_format: str, site: Site) -> None:
        self._log = log
        self._logger = log.access_log
        self._format = line_format
        self._site = site
        self._second = -1
        self._stamp = ""
        self._records = RecordMaker(self._logger, __file__, "access")
        self._usual = False

    def __call__(self, exchange: Exchange, now: float, objects: Objects | None = None) -> None:
        logger = self._logger
        if not logger.isEnabledFor(logging.INFO):
            return
        clock = time.time()
        if int(clock) != self._second:
            self._renew(int(clock))
        try:
            atoms = make_atoms(exchange, now, self._stamp, self._log, self._site)
            if self._usual:
                logger.handle(self._records.make(atoms, clock))
            else:
                logger.info(self._format, atoms)
        except Exception:  # a formatter's mistake is no reason to lose a request
            self._log.error("%s", traceback.format_exc())

    def _renew(self, second: int) -> None:
        """Make what changes once a second, and see whether logging works as it usually does."""
        self._second = second
        self._stamp = self._log.now()
        self._usual = self._records.renew(second, self._format)


def _is_on(log: object, cfg: AccessConfig) -> bool:
    """Return whether Gunicorn's own logger would write access lines."""
    enabled: bool | None = getattr(log, "access_log_enabled", None)  # Gunicorn 25.2
    if enabled is not None:
        return enabled
    cfg = getattr(log, "cfg", cfg)
    return bool(
        cfg.accesslog
        or cfg.logconfig
        or cfg.logconfig_dict
        or cfg.logconfig_json
        or (cfg.syslog and not cfg.disable_redirect_access_to_syslog)
    )


def _has_own(log: object, own_class: type, names: Iterable[str]) -> bool:
    """Return whether none of Gunicorn's own definitions of `names` was replaced.

    Not by a subclass, not on the object, and not on Gunicorn's class by a configuration file.
    """
    return isinstance(log, own_class) and all(
        name not in getattr(log, "__dict__", ())
        and getattr(type(log), name) is getattr(own_class, name)
        and _is_at_home(getattr(own_class, name), own_class.__module__)
        for name in names
    )


def _is_at_home(definition: object, module: str) -> bool:
    if type(definition) is FunctionType:
        return definition.__globals__ is vars(sys.modules[module])
    return getattr(definition, "__module__", None) == module
