"""Certificates for tests, made by the command `openssl` within some milliseconds each."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "correct horse"
_END = "-----END CERTIFICATE-----"

# Python 3.13 is strict about extensions (RFC 5280 section 4.2.1).
# An attribute type that nobody has registered has to be declared to be used in a name.
_CONFIG = """\
oid_section = types
[types]
nobodysType = 1.2.3.40000.5
[req]
distinguished_name = name
[name]
[authority]
authorityKeyIdentifier = keyid
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[leaf]
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = DNS:localhost, IP:127.0.0.1
"""


@dataclass(frozen=True)
class Pair:
    """A certificate with the chain to its authority, and its key: paths, as options take them."""

    certificate: str
    key: str

    @property
    def chain(self) -> list[str]:
        """The certificates, each as `ssl` writes it."""
        with open(self.certificate, encoding="ascii") as file:
            blocks = file.read().split(_END)[:-1]
        ders = [ssl.PEM_cert_to_DER_cert(block.strip() + "\n" + _END) for block in blocks]
        return [ssl.DER_cert_to_PEM_cert(der) for der in ders]


class Authority:
    """Signs certificates: for servers called `localhost`, for clients, for other authorities."""

    def __init__(self, folder: Path, name: str = "root", by: Authority | None = None) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("no openssl")
        self._folder = folder
        self._config = folder / "openssl.cnf"
        self._config.write_text(_CONFIG)
        self._name, self._by = name, by
        self._pair = self._issue(name, f"/CN={name}", by or self, "authority", days=3)
        self.file = self._pair.certificate

    def issue(self, name: str, subject: str = "/CN=localhost", *, days: int = 2) -> Pair:
        """Make a pair that this authority has signed; `days` of -1: it expired yesterday."""
        return self._issue(name, subject, self, "leaf", days=days)

    def _issue(self, name: str, subject: str, by: Authority, section: str, *, days: int) -> Pair:
        folder = self._folder
        key, request, certificate = (str(folder / f"{name}.{end}") for end in ("key", "csr", "pem"))
        openssl(
            *("req", "-new", "-config", str(self._config), "-newkey", "ec", "-nodes"),
            *("-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", key, "-out", request),
            *("-utf8", "-multivalue-rdn", "-subj", subject),
        )
        if name == self._name and by is self:
            signer = ["-signkey", key]
        else:
            signer = ["-CA", by._pair.certificate, "-CAkey", by._pair.key]
        openssl(
            *("x509", "-req", "-in", request, "-out", certificate, "-days", str(days), *signer),
            *("-extfile", str(self._config), "-extensions", section),
        )
        if section == "leaf" and self._by is not None:
            # Those who trust the root do not know what is between it and the leaf.
            with open(certificate, "a") as file, open(self.file) as between:
                file.write(between.read())
        return Pair(certificate, key)

    def client_context(self, pair: Pair | None = None) -> ssl.SSLContext:
        """Return the context of a client that trusts this authority, and shows `pair`."""
        context = ssl.create_default_context(cafile=self.file)
        if pair is not None:
            context.load_cert_chain(pair.certificate, pair.key)
        return context


def openssl(*arguments: str) -> str:
    """Run the command; return what it prints."""
    done = subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True)
    return done.stdout


def encrypt_key(key: str, to: Path) -> str:
    """Write a copy of a key under PASSWORD; return its path."""
    openssl("ec", "-in", key, "-aes256", "-passout", f"pass:{PASSWORD}", "-out", str(to))
    return str(to)
