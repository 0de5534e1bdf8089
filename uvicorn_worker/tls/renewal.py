"""TLS for new connections: the present context, and a new one when its files change.

A context is never changed once connections use it. What it is made of stands in `context`,
what applications are told of a connection in `tlsscope`.
"""

from __future__ import annotations

import logging
import os
import weakref
from typing import TYPE_CHECKING, Any

from uvicorn_worker.errors import ConfigError
from uvicorn_worker.tls import context as tlscontext
from uvicorn_worker.tls.scope import ContextFacts, describe

if TYPE_CHECKING:
    import asyncio
    import ssl
    from collections.abc import Callable, Sequence

    from uvicorn_worker.config import Config
    from uvicorn_worker.state import Log
    from uvicorn_worker.tls.context import Loaded

# Of each file: device, inode, size, time of change in nanoseconds. None: not there, or not for us.
Stamp = tuple["tuple[int, int, int, int] | None", ...]

# Options that ask for something only TLS can give.
_NEED_TLS = ("ssl_keyfile", "ssl_keyfile_password", "ssl_cert_reqs", "ssl_ca_certs", "ssl_ciphers")


class TLSContexts:
    """The context of one server, renewed when its files are.

    Attributes: `context`, to be asked for at every new connection.
    """

    def __init__(
        self,
        load: Callable[[], Loaded],
        files: Sequence[str],
        log: Log,
        *,
        may_lose_access: bool = False,
    ) -> None:
        """Load the context now; raises ConfigError where that fails.

        `files` are those that `load` reads. A process that drops its privileges may lose access
        to them: then only who has more can renew the context, and there is nothing to report.
        """
        self._load = load
        self._files = tuple(files)
        self._log = log
        self._may_lose_access = may_lose_access
        # What is known of contexts with open connections, the present one and older ones.
        self._facts: weakref.WeakKeyDictionary[ssl.SSLContext, ContextFacts]
        self._facts = weakref.WeakKeyDictionary()
        self._seen = self._stamp()  # before they are read: what changes meanwhile is seen later
        self._unsettled: Stamp | None = None
        self._take(load())

    def _take(self, loaded: Loaded) -> None:
        self.context = loaded.context
        self._facts[loaded.context] = ContextFacts(loaded.certificate)
        for text in loaded.warnings:
            self._log.warning("%s", text)

    def _stamp(self) -> Stamp:
        return tuple(_stamp(path) for path in self._files)

    def changed(self) -> bool:
        """Return whether the files are others than when they were last loaded, or refused."""
        return self._stamp() != self._seen

    def watch(self) -> None:
        """Load the files if they have changed; to be called about once a second.

        Files that have changed since the last call may not be complete, or the key may not be
        there yet: they are loaded when they have been still for one interval.
        """
        stamp = self._stamp()
        if stamp == self._seen:
            self._unsettled = None
        elif stamp == self._unsettled:
            self.reload()
        else:
            self._unsettled = stamp

    def reload(self) -> bool:
        """Load the files now, for connections that are accepted from now on.

        Returns False where they cannot be used: one line says why, and the old context stays.
        The same files are not tried again by `watch`.
        """
        self._seen = self._stamp()
        self._unsettled = None
        try:
            loaded = self._load()
        except ConfigError as exc:
            self._refused(exc)
            return False
        self._take(loaded)
        self._log.info("TLS certificates have been loaded again, for new connections")
        return True

    def _refused(self, exc: ConfigError) -> None:
        if isinstance(exc.__context__, PermissionError) and self._may_lose_access:
            self._log.debug("TLS certificates have changed, but are for other eyes: %s", exc)
            return
        self._log.error(
            "TLS certificates have not been loaded again, those before stay in use: %s",
            exc,
            exc_info=exc.__cause__,  # what a user's own function has raised
        )

    def extension(self, transport: asyncio.BaseTransport) -> dict[str, Any]:
        """Return what applications are told of a connection (ASGI TLS extension 0.2)."""
        ssl_object = transport.get_extra_info("ssl_object")
        facts = self._facts.get(ssl_object.context)
        if facts is None:  # a callback for server names has chosen another context
            facts = self._facts[ssl_object.context] = ContextFacts(None)
        return describe(ssl_object, facts)


def make_tls(config: Config, log: Log | None = None) -> TLSContexts | None:
    """Return the TLS of a server, None where `config` asks for none.

    Raises:
        ConfigError: what is asked for cannot be had; one line that names option, file and reason.
    """
    _check(config)
    if not config.is_ssl:
        return None
    files = (config.ssl_certfile, config.ssl_keyfile, config.ssl_ca_certs)
    return TLSContexts(
        lambda: tlscontext.load(config),
        [path for path in files if path],
        log or logging.getLogger("uvicorn.error"),
    )


def _check(config: Config) -> None:
    """Refuse options that do not go together."""
    if not config.is_ssl:
        given = [name for name in _NEED_TLS if getattr(config, name)]
        if given:
            raise ConfigError(f"{given[0]} needs ssl_certfile: without it there is no TLS")
        return
    if config.ssl_cert_reqs and not config.ssl_ca_certs and config.ssl_context_factory is None:
        raise ConfigError(
            f"ssl_cert_reqs={config.ssl_cert_reqs} needs ssl_ca_certs: the certificates that "
            "sign those of the clients"
        )
    if config.proxy_protocol != "off":
        raise ConfigError(
            f"proxy_protocol={config.proxy_protocol} does not go together with TLS: the PROXY "
            "header would be in front of the handshake, where it is not read"
        )


def _stamp(path: str) -> tuple[int, int, int, int] | None:
    try:
        found = os.stat(path)  # of what symbolic links lead to: whole folders may be exchanged
    except (OSError, ValueError):  # the text may be none that a path can have
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
