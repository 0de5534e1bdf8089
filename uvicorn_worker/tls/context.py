"""Make the TLS context that a configuration asks for, or say in plain words why there is none.

OpenSSL's own errors name neither the file nor the remedy ("[SSL] PEM lib").
"""

from __future__ import annotations

import contextlib
import re
import ssl
import warnings
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final, NamedTuple

from uvicorn_worker.errors import ConfigError
from uvicorn_worker.tls.certificates import validity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uvicorn_worker.config import Config

# What `config.TLS_VERSIONS` mean: the oldest and newest protocol.
# PROTOCOL_TLS and PROTOCOL_TLS_SERVER leave the choice to both ends, from TLS 1.2 on: RFC 8996
# has withdrawn what is older, so that has to be asked for by name.
_NEWEST: Final = ssl.TLSVersion.MAXIMUM_SUPPORTED
PROTOCOLS: Final[dict[int, tuple[ssl.TLSVersion, ssl.TLSVersion]]] = {
    17: (ssl.TLSVersion.TLSv1_2, _NEWEST),
    2: (ssl.TLSVersion.TLSv1_2, _NEWEST),
    5: (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2),
    4: (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1),
    3: (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1),
}
OBSOLETE: Final = {3: "TLS 1.0", 4: "TLS 1.1"}

# OpenSSL 3 refuses the signatures of the obsolete protocols at its usual level of security.
OBSOLETE_CIPHERS: Final = "DEFAULT:@SECLEVEL=0"

# RFC 7301: what is spoken here.
ALPN_PROTOCOLS: Final = ("http/1.1",)

_CERTIFICATE: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL
)
_PRIVATE_KEY: Final = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_DER_SEQUENCE: Final = b"\x30"

_REASONS: Final = {
    "KEY_VALUES_MISMATCH": "the key does not belong to the certificate",
    "KEY_TYPE_MISMATCH": "the key does not belong to the certificate",
    "NO_CERTIFICATE_ASSIGNED": "the key does not belong to the certificate",
    "EE_KEY_TOO_SMALL": "the certificate's key is too short for OpenSSL's level of security",
    "CA_KEY_TOO_SMALL": "a key of the chain is too short for OpenSSL's level of security",
    "CA_MD_TOO_WEAK": "the certificate's signature is too weak for OpenSSL's level of security",
}


class PemFile(NamedTuple):
    """A file, and the option that names it."""

    option: str
    path: str

    def __str__(self) -> str:
        return f"{self.option}={self.path!r}"

    def read(self) -> bytes:
        """Return the content; raises ConfigError, with the OSError as its context."""
        try:
            with open(self.path, "rb") as file:
                return file.read()
        except (OSError, ValueError) as exc:
            problem = exc.strerror if isinstance(exc, OSError) else exc
            raise ConfigError(f"{self}: cannot be read: {problem}") from None


@dataclass(frozen=True, slots=True)
class Loaded:
    """A context, and what cannot be asked of it."""

    context: ssl.SSLContext
    certificate: str | None = None  # what clients are shown, in PEM; None: not known
    warnings: tuple[str, ...] = ()


def load(config: Config) -> Loaded:
    """Return the context for `config`, made from what its files hold now.

    Raises:
        ConfigError: it cannot be made; one line that names the option, the file and the reason.
    """
    usual: ssl.SSLContext | None
    if config.ssl_context_factory is None:
        context = usual = _usual_context(config)
    else:
        context, usual = _made_by_factory(config)
    certificate = None
    if context is usual and config.ssl_certfile:
        certificate = first_certificate(PemFile("ssl_certfile", config.ssl_certfile))
    return Loaded(context, certificate, tuple(_warnings(config, certificate)))


def _made_by_factory(config: Config) -> tuple[ssl.SSLContext, ssl.SSLContext | None]:
    """Return what the user's function makes, and the usual context if it has asked for that."""
    made: list[ssl.SSLContext] = []

    def default_factory() -> ssl.SSLContext:
        made.append(_usual_context(config))
        return made[-1]

    assert config.ssl_context_factory is not None
    try:
        context = config.ssl_context_factory(config, default_factory)
    except ConfigError:
        raise  # from default_factory: it says it all
    except Exception as exc:
        raise ConfigError(f"ssl_context_factory raised {type(exc).__name__}: {exc}") from exc
    if not isinstance(context, ssl.SSLContext):
        raise ConfigError(f"ssl_context_factory returned {context!r}: expected an ssl.SSLContext")
    if context.protocol is ssl.PROTOCOL_TLS_CLIENT:
        raise ConfigError("ssl_context_factory returned a context for clients, not for a server")
    return context, next((usual for usual in made if usual is context), None)


def _usual_context(config: Config) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _set_protocol(context, config.ssl_version)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(ALPN_PROTOCOLS)
    if config.ssl_ciphers is not None:
        _set_ciphers(context, config.ssl_ciphers)
    elif config.ssl_version in OBSOLETE:
        context.set_ciphers(OBSOLETE_CIPHERS)
    if config.ssl_certfile:
        _load_pair(context, config)
    if config.ssl_ca_certs:
        _load_authorities(context, PemFile("ssl_ca_certs", config.ssl_ca_certs))
    context.verify_mode = ssl.VerifyMode(config.ssl_cert_reqs)
    return context


def _set_protocol(context: ssl.SSLContext, number: int) -> None:
    oldest, newest = PROTOCOLS[number]
    with contextlib.ExitStack() as stack:
        if number in OBSOLETE:
            # Who asks for them gets a warning of ours.
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = oldest, newest


def _set_ciphers(context: ssl.SSLContext, ciphers: str) -> None:
    try:
        context.set_ciphers(ciphers)
    except ssl.SSLError:
        raise ConfigError(
            f"ssl_ciphers={ciphers!r}: expected ciphers as `openssl ciphers` lists them; those of "
            "TLS 1.3 are always there"
        ) from None


def _load_pair(context: ssl.SSLContext, config: Config) -> None:
    certificate = PemFile("ssl_certfile", config.ssl_certfile or "")
    key = PemFile("ssl_keyfile", config.ssl_keyfile) if config.ssl_keyfile else certificate
    load_pair(context, certificate, key, config.ssl_keyfile_password)


def load_pair(
    context: ssl.SSLContext, certificate: PemFile, key: PemFile, password: str | None
) -> None:
    """Load a certificate, its chain and its key; never ask for the password on the terminal.

    Raises:
        ConfigError: one of the files cannot be used.
    """
    check_certificates(certificate)
    if not _PRIVATE_KEY.search(key.read()):
        if key is certificate:
            raise ConfigError(f"{certificate} holds no private key, and no other file is given")
        raise ConfigError(f"{key}: {_not_pem(key, 'private key')}")
    asked = False

    def ask() -> str:
        nonlocal asked
        asked = True
        if password is None:
            raise ConfigError(f"{key} is encrypted: give ssl_keyfile_password")
        return password

    try:
        context.load_cert_chain(certificate.path, key.path, ask)
    except (OSError, ValueError) as exc:
        if isinstance(exc, ConfigError):
            raise
        reason = getattr(exc, "reason", None)
        if reason in _REASONS:
            files = str(certificate) if key is certificate else f"{certificate}, {key}"
            raise ConfigError(f"{files}: {_REASONS[reason]}") from None
        if asked:
            raise ConfigError(f"{key}: ssl_keyfile_password is wrong") from None
        raise ConfigError(f"{key}: {_damaged('private key', exc)}") from None


def _load_authorities(context: ssl.SSLContext, authorities: PemFile) -> None:
    check_certificates(authorities)
    context.load_verify_locations(authorities.path)


def check_certificates(file: PemFile) -> None:
    """See that a file holds certificates, all of them right; raises ConfigError."""
    if not _CERTIFICATE.search(file.read()):
        raise ConfigError(f"{file}: {_not_pem(file, 'certificate')}")
    try:
        # What loads a pair does not say which of the two is wrong.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(file.path)
    except OSError as exc:  # ssl.SSLError is one
        raise ConfigError(f"{file}: {_damaged('certificate', exc)}") from None


def _not_pem(file: PemFile, what: str) -> str:
    if file.read().startswith(_DER_SEQUENCE):
        return f"holds no {what} in PEM: it seems to be DER, which `openssl` converts"
    return f"holds no {what} in PEM (-----BEGIN ...-----)"


def _damaged(what: str, exc: Exception) -> str:
    reason = getattr(exc, "reason", None)
    return f"the {what} is damaged, or only a part" + (f" ({reason})" if reason else "")


def first_certificate(file: PemFile) -> str | None:
    """Return the first certificate of a file, in PEM: the one that clients are shown."""
    match = _CERTIFICATE.search(file.read())
    if match is None:
        return None
    return ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(match[0].decode("latin-1")))


def _warnings(config: Config, certificate: str | None) -> Iterator[str]:
    if config.ssl_version in OBSOLETE:
        yield f"ssl_version={config.ssl_version}: {OBSOLETE[config.ssl_version]} is obsolete"
    if config.ssl_ca_certs and not config.ssl_cert_reqs and config.ssl_context_factory is None:
        yield "ssl_ca_certs has no effect without ssl_cert_reqs: clients are asked for nothing"
    if certificate is not None and (problem := out_of_date(certificate)):
        yield f"ssl_certfile={config.ssl_certfile!r}: {problem}"


def out_of_date(certificate: str) -> str | None:
    """Return what is wrong with the dates of a certificate, None where nothing is."""
    try:
        start, end = validity(ssl.PEM_cert_to_DER_cert(certificate))
    except ValueError:  # OpenSSL looks at dates only when it verifies: so will the clients
        return "the certificate's dates are not in the form of RFC 5280"
    now = datetime.now(timezone.utc)
    if now > end:
        return f"the certificate has expired at {end:%Y-%m-%d %H:%M} UTC"
    if now < start:
        return f"the certificate counts only from {start:%Y-%m-%d %H:%M} UTC on"
    return None
