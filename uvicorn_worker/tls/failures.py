"""Say in plain words why a TLS handshake has failed, and on whose side."""

from __future__ import annotations

import ssl
from typing import Final

NOT_TLS: Final = "what came is not TLS"
NOTHING_IN_COMMON: Final = "no TLS version or cipher that both sides know"

# By the names that OpenSSL has for its reasons. Alerts are what the client says (RFC 8446 section
# 6.2); where its version of TLS is not known yet they are named after the oldest one.
_REASONS: Final = {
    "HTTP_REQUEST": "cleartext HTTP on a TLS port",
    "HTTPS_PROXY_REQUEST": "cleartext HTTP on a TLS port",
    "WRONG_VERSION_NUMBER": NOT_TLS,
    "PACKET_LENGTH_TOO_LONG": NOT_TLS,
    "RECORD_LAYER_FAILURE": NOT_TLS,
    "UNSUPPORTED_PROTOCOL": NOTHING_IN_COMMON,
    "VERSION_TOO_LOW": NOTHING_IN_COMMON,
    "NO_SHARED_CIPHER": NOTHING_IN_COMMON,
    "TLSV1_ALERT_PROTOCOL_VERSION": NOTHING_IN_COMMON,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": NOTHING_IN_COMMON,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the client has sent no certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "the client does not know who has signed this server's certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the client does not accept this server's certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the client does not accept this server's certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "for the client, this server's certificate has expired",
}


def explain(exc: ssl.SSLError) -> str:
    """Return one line for the log."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        # OpenSSL's words about certificates are clear.
        return f"TLS handshake failed: the client's certificate is refused: {exc.verify_message}"
    return f"TLS handshake failed: {_REASONS.get(exc.reason) or exc}"
