"""The TLS that Gunicorn's settings and its hook `ssl_context` ask for."""

from __future__ import annotations

import ssl
from typing import Any, Final

from gunicorn import sock

from uvicorn_worker.errors import ConfigError
from uvicorn_worker.gunicorn.settings import custom_hook
from uvicorn_worker.tls.context import (
    Loaded,
    PemFile,
    check_certificates,
    first_certificate,
    load_pair,
    out_of_date,
)
from uvicorn_worker.tls.renewal import TLSContexts

ENCRYPTED: Final = (b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED")


def make_tls(cfg: Any, log: Any) -> TLSContexts | None:
    """Return the TLS of a worker, None for none. To be called before privileges are dropped.

    Where a hook makes the context nobody knows what of: only a new worker calls it again.

    Raises:
        ConfigError: it cannot be made; nothing may be served without it.
    """
    if not cfg.is_ssl:
        return None
    if custom_hook(cfg, "ssl_context"):
        return TLSContexts(lambda: Loaded(_hooks_context(cfg)), (), log)
    files = (cfg.certfile, cfg.keyfile, cfg.ca_certs)
    return TLSContexts(
        lambda: _load(cfg), [path for path in files if path], log, may_lose_access=True
    )


def _hooks_context(cfg: Any) -> ssl.SSLContext:
    try:
        context = sock.ssl_context(cfg)
    except Exception as exc:  # it is the user's code
        raise ConfigError(f"the hook ssl_context raised {type(exc).__name__}: {exc}") from exc
    if not isinstance(context, ssl.SSLContext):
        raise ConfigError(f"the hook ssl_context returned {context!r}: expected an ssl.SSLContext")
    return context


def _load(cfg: Any) -> Loaded:
    certificate = PemFile("certfile", cfg.certfile)
    key = PemFile("keyfile", cfg.keyfile) if cfg.keyfile else certificate
    content = key.read()
    if any(mark in content for mark in ENCRYPTED):
        # OpenSSL would ask for the password on the terminal, once per worker.
        raise ConfigError(
            f"{key} is encrypted: give a key without a password, or make the context in the hook "
            "ssl_context"
        )
    try:
        context: ssl.SSLContext = sock.ssl_context(cfg)
    except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError
        _explain(cfg, certificate, key)
        raise ConfigError(f"no TLS context from ciphers={cfg.ciphers!r}: {exc}") from None
    shown = first_certificate(certificate)
    problem = shown and out_of_date(shown)
    return Loaded(context, shown, (f"{certificate}: {problem}",) if problem else ())


def _explain(cfg: Any, certificate: PemFile, key: PemFile) -> None:
    """Raise a ConfigError in plain words if it is a file that cannot be used."""
    load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate, key, None)
    if cfg.ca_certs:
        check_certificates(PemFile("ca_certs", cfg.ca_certs))
