"""What applications are told of a TLS connection: the ASGI TLS extension, version 0.2."""

from __future__ import annotations

import itertools
import ssl
import sys
from typing import Any, Final

from uvicorn_worker.tls.certificates import subject_name

# RFC 8446 section 4.1.2 and those before it, by the names of the module ssl.
VERSIONS: Final = {
    "TLSv1": 0x0301, "TLSv1.1": 0x0302, "TLSv1.2": 0x0303, "TLSv1.3": 0x0304,
}  # fmt: skip


class ContextFacts:
    """What the connections of one context have in common. It does not hold the context."""

    __slots__ = ("_ciphers", "certificate")

    def __init__(self, certificate: str | None) -> None:
        self.certificate = certificate  # what clients are shown, in PEM; None: not known
        self._ciphers: dict[str, int] = {}  # OpenSSL's names -> the numbers on the wire

    def cipher(self, ssl_object: ssl.SSLObject) -> int | None:
        """Return the number of the connection's cipher suite."""
        chosen = ssl_object.cipher()
        if chosen is None:
            return None
        if not self._ciphers:
            # OpenSSL puts 0x0300 in front of the two bytes.
            for cipher in ssl_object.context.get_ciphers():
                self._ciphers[cipher["name"]] = cipher["id"] & 0xFFFF
        return self._ciphers.get(chosen[0])


def describe(ssl_object: ssl.SSLObject, facts: ContextFacts) -> dict[str, Any]:
    """Return the value of `scope["extensions"]["tls"]`; the handshake has to be complete.

    A client certificate that cannot be verified ends the handshake: there is no error to tell.
    """
    chain = _client_chain(ssl_object)
    return {
        "server_cert": facts.certificate,
        "client_cert_chain": [ssl.DER_cert_to_PEM_cert(certificate) for certificate in chain],
        "client_cert_name": subject_name(chain[0]) if chain else None,
        "client_cert_error": None,
        "tls_version": VERSIONS.get(ssl_object.version() or ""),
        "cipher_suite": facts.cipher(ssl_object),
    }


def _client_chain(ssl_object: ssl.SSLObject) -> list[bytes]:
    """Return the client's certificate and those it has sent along, each signing the one before.

    Python before 3.13 tells the first only; so do all where a session is resumed.
    """
    leaf = ssl_object.getpeercert(binary_form=True)
    if leaf is None:
        return []
    if sys.version_info < (3, 13):
        return [leaf]
    # What was sent may be anything, in any order; what was verified may be from our own files.
    sent = set(ssl_object.get_unverified_chain())
    verified = ssl_object.get_verified_chain()
    return [leaf, *itertools.takewhile(sent.__contains__, verified[1:])]
