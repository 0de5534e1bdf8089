"""The TLS context that Gunicorn's settings and its hook `ssl_context` ask for."""

from __future__ import annotations

import ssl
from typing import Any

from gunicorn import sock

from uvicorn_worker.errors import ConfigError
from uvicorn_worker.gunicorn.settings import custom_hook
from uvicorn_worker.tls import TLSContexts
from uvicorn_worker.tlscontext import Loaded, PemFile, first_certificate, out_of_date


def make_tls(cfg: Any, log: Any) -> TLSContexts | None:
    """Return the TLS of a worker, None for none. To be called before privileges are dropped.

    Where a hook makes the context nobody knows what of: only a new worker calls it again.

    Raises:
        ConfigError: it cannot be made; nothing may be served without it.
    """
    if not cfg.is_ssl:
        return None
    own = custom_hook(cfg, "ssl_context")
    files = () if own else (cfg.certfile, cfg.keyfile, cfg.ca_certs)
    return TLSContexts(
        lambda: _load(cfg), [path for path in files if path], log, may_lose_access=True
    )


def _load(cfg: Any) -> Loaded:
    context = server_context(cfg)
    assert context is not None
    if custom_hook(cfg, "ssl_context"):
        return Loaded(context)
    file = PemFile("certfile", cfg.certfile)
    certificate = first_certificate(file)
    problem = certificate and out_of_date(certificate)
    return Loaded(context, certificate, (f"{file}: {problem}",) if problem else ())


def server_context(cfg: Any) -> ssl.SSLContext | None:
    """Return the context that connections are to be accepted with, None for no TLS.

    It reads the files, so it has to be called before privileges are dropped.

    Raises:
        ConfigError: it cannot be made; nothing may be served without it.
    """
    if not cfg.is_ssl:
        return None
    own = custom_hook(cfg, "ssl_context")
    if not own and _is_encrypted(cfg.keyfile or cfg.certfile):
        # OpenSSL would ask for the password on the terminal, once per worker.
        raise ConfigError(
            f"keyfile={cfg.keyfile or cfg.certfile!r} is encrypted: give a key without a password, "
            "or make the context in the hook ssl_context"
        )
    try:
        context = sock.ssl_context(cfg)
    except Exception as exc:
        # A hook is the user's code and may raise anything.
        place = "the hook ssl_context" if own else f"certfile={cfg.certfile!r}"
        if not own and cfg.keyfile:
            place += f", keyfile={cfg.keyfile!r}"
        raise ConfigError(f"no TLS context from {place}: {type(exc).__name__}: {exc}") from (
            exc if own else None
        )
    if not isinstance(context, ssl.SSLContext):
        raise ConfigError(f"the hook ssl_context returned {context!r}: expected an ssl.SSLContext")
    return context


def _is_encrypted(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError:
        return False  # the context says what is wrong with the file
    return b"BEGIN ENCRYPTED PRIVATE KEY" in text or b"Proc-Type: 4,ENCRYPTED" in text
