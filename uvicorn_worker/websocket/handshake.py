"""The opening handshake (RFC 6455 section 4), before any library is involved. Pure."""

from __future__ import annotations

import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from uvicorn_worker.asgi import ASGI_VERSION, WEBSOCKET_SPEC_VERSION
from uvicorn_worker.errors import ApplicationError, BadRequest
from uvicorn_worker.http1.head import read_fields
from uvicorn_worker.http1.request import field_values
from uvicorn_worker.websocket import deflate

if TYPE_CHECKING:
    from uvicorn_worker.asgi import ResponseHeaders
    from uvicorn_worker.http1.request import Request
    from uvicorn_worker.state import ServerState
    from uvicorn_worker.websocket.deflate import Agreement

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3

VERSION: Final = b"13"
VERSION_LINE: Final = b"\r\nsec-websocket-version: 13"

# What a refusal says beside its status: which version would have been right (RFC 6455 section
# 4.4), what to upgrade to (RFC 9110 section 15.5.22), which method (section 15.5.6).
REFUSAL_LINES: Final = {
    400: VERSION_LINE,
    405: VERSION_LINE + b"\r\nallow: GET",
    426: VERSION_LINE + b"\r\nupgrade: websocket\r\nconnection: upgrade",
    503: b"\r\nretry-after: 1",
}

EXTENSIONS: Final[dict[str, dict[str, Any]]] = {"websocket.http.response": {}}

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_match_token = re.compile(_TOKEN).fullmatch
# RFC 6455 section 4.1: 16 bytes in base64.
_match_key = re.compile(rb"[A-Za-z0-9+/]{22}==").fullmatch
# One element of Sec-WebSocket-Extensions (RFC 6455 section 9.1), and one parameter of it.
_PARAMETER = rf'({_TOKEN})(?:[ \t]*=[ \t]*(?:({_TOKEN})|"({_TOKEN})"))?'
_match_extension = re.compile(rf"[ \t]*({_TOKEN})[ \t]*((?:;[ \t]*{_PARAMETER}[ \t]*)*)").fullmatch
_find_parameters = re.compile(rf";[ \t]*{_PARAMETER}").findall

# Fields of the answer that are the server's business; the subprotocol may be said either way.
_REPLACED: Final = (b"\r\nupgrade: ", b"\r\nsec-websocket-protocol: ")
_OWN_FIELDS: Final = frozenset({
    b"sec-websocket-accept", b"sec-websocket-extensions", b"sec-websocket-key",
    b"sec-websocket-version",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a client's handshake asks for."""

    accept: bytes
    """The value of Sec-WebSocket-Accept."""
    subprotocols: list[str]
    compression: Agreement | None


def read_handshake(request: Request, *, compress: bool) -> Handshake:
    """Return what an upgrade request to `websocket` asks for.

    Raises:
        BadRequest: it is no right handshake; with status 400, 405 or 426.
    """
    if request.method != "GET":
        raise BadRequest(f"WebSocket handshake with {request.method}", 405)
    if request.length:
        raise BadRequest("WebSocket handshake with a body")
    if field_values(request, b"sec-websocket-version") != [VERSION]:
        raise BadRequest("WebSocket handshake without Sec-WebSocket-Version: 13", 426)
    keys = field_values(request, b"sec-websocket-key")
    if len(keys) != 1 or not _match_key(keys[0]):
        raise BadRequest("WebSocket handshake without a valid Sec-WebSocket-Key")
    digest = hashlib.sha1(keys[0] + _GUID, usedforsecurity=False).digest()
    offers = _read_offers(request)
    return Handshake(
        accept=binascii.b2a_base64(digest, newline=False),
        subprotocols=_read_list(request, b"sec-websocket-protocol"),
        compression=_negotiate(offers) if compress else None,
    )


def _read_list(request: Request, name: bytes) -> list[str]:
    """Return the elements of a field that is a list, or repeated, or both."""
    values = b",".join(field_values(request, name)).decode("latin-1").split(",")
    return [item for value in values if (item := value.strip(" \t"))]


def _read_offers(request: Request) -> list[tuple[str, list[tuple[str, str | None]]]]:
    """Return the extensions offered, each with its parameters; raises BadRequest."""
    offers = []
    for item in _read_list(request, b"sec-websocket-extensions"):
        match = _match_extension(item)
        if match is None:
            raise BadRequest("malformed Sec-WebSocket-Extensions")
        parameters = [
            (name, token or quoted or None) for name, token, quoted in _find_parameters(match[2])
        ]
        offers.append((match[1], parameters))
    return offers


def _negotiate(offers: list[tuple[str, list[tuple[str, str | None]]]]) -> Agreement | None:
    """Return the agreement on the first offer of the client that can be kept."""
    for name, parameters in offers:
        if name == deflate.NAME:
            agreement = deflate.accept_offer(parameters)
            if agreement is not None:
                return agreement
    return None


def make_scope(scope: dict[str, Any], subprotocols: list[str]) -> dict[str, Any]:
    """Turn the HTTP scope of a handshake into that of its WebSocket (ASGI WebSocket 2.4)."""
    del scope["method"]
    scope["type"] = "websocket"
    scope["asgi"] = {"version": ASGI_VERSION, "spec_version": WEBSOCKET_SPEC_VERSION}
    scope["scheme"] = "wss" if scope["scheme"] == "https" else "ws"
    scope["subprotocols"] = subprotocols
    scope["extensions"] = EXTENSIONS.copy()
    return scope


def response_head(
    handshake: Handshake,
    subprotocol: str | None,
    headers: ResponseHeaders,
    server: ServerState,
) -> bytes:
    """Return the head of the response that completes the handshake.

    Raises:
        ApplicationError: the application's subprotocol or headers cannot be sent.
    """
    # Checked like those of any response; the first line is the status line.
    lines, _, special = read_fields(200, headers)
    for line in lines[1:]:
        name, _, value = line[2:].partition(b": ")
        if name == b"sec-websocket-protocol":
            subprotocol = subprotocol or value.decode("latin-1")
        elif name in _OWN_FIELDS:
            raise ApplicationError(f"the header {name!r} is the server's, not the application's")
    parts = [
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade"
        b"\r\nsec-websocket-accept: ",
        handshake.accept,
    ]
    if subprotocol:
        if not _match_token(str(subprotocol)):
            raise ApplicationError(f"invalid subprotocol {subprotocol!r}")
        if subprotocol in handshake.subprotocols:
            parts += (b"\r\nsec-websocket-protocol: ", subprotocol.encode())
        else:
            server.log.warning(
                "The subprotocol %r is left out: the client offered %s",
                subprotocol,
                ", ".join(handshake.subprotocols) or "none",
            )
    if handshake.compression is not None:
        parts += (b"\r\nsec-websocket-extensions: ", handshake.compression.response)
    parts += [line for line in lines[1:] if not line.startswith(_REPLACED)]
    if special is None:
        parts.append(server.common_end)
    else:
        parts.append(server.end_beside(date=special.has_date, server=special.has_server))
    return b"".join(parts)
