"""Frames as bytes: opcodes, heads, and what a close frame says (RFC 6455 sections 5 and 7.4). Pure.

Reading whole frames is an engine's work; heads of what the server sends, and the payload of close
frames in both directions, are the same for all of them.
"""

from __future__ import annotations

import struct
from typing import Final

from uvicorn_worker.errors import ApplicationError, ProtocolViolation

CONT: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

# First bytes of frames that are whole messages; `COMPRESSED` is RSV1 (RFC 7692 section 6).
WHOLE_TEXT: Final = 0x81
WHOLE_BINARY: Final = 0x82
COMPRESSED: Final = 0x40

FIN: Final = 0x80  # in the first byte
RESERVED: Final = 0x70
MASKED: Final = 0x80  # in the second byte
MAX_CONTROL: Final = 125  # RFC 6455 section 5.5
MAX_REASON: Final = MAX_CONTROL - 2

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
NO_STATUS: Final = 1005
ABNORMAL: Final = 1006
INVALID_DATA: Final = 1007
TOO_BIG: Final = 1009
INTERNAL_ERROR: Final = 1011

# RFC 6455 section 7.4, and the registry it opens (1012 to 1014): codes that may be on the wire
# below those of libraries and applications.
_WIRE_CODES: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})

# Payloads whose length stands in the second byte, and their heads by first byte and length.
SHORT: Final = 126
SHORT_HEADS: Final = {
    first: tuple(bytes((first, length)) for length in range(SHORT))
    for whole in (WHOLE_TEXT, WHOLE_BINARY)
    for first in (whole, whole | COMPRESSED)
}

_pack_medium = struct.Struct("!BBH").pack
_pack_large = struct.Struct("!BBQ").pack


def head(first: int, length: int) -> bytes:
    """Return the head of a data frame that the server sends, by its first byte."""
    if length < SHORT:
        return SHORT_HEADS[first][length]
    if length < 65536:
        return _pack_medium(first, 126, length)
    return _pack_large(first, 127, length)


def control_frame(opcode: int, payload: bytes = b"") -> bytes:
    return bytes((0x80 | opcode, len(payload))) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """Return a close frame; `code` NO_STATUS for one that says nothing.

    A reason that is too long is cut between two characters. Raises ApplicationError for a code
    that may not be sent.
    """
    if code == NO_STATUS:
        return control_frame(CLOSE)
    if not is_wire_code(code):
        raise ApplicationError(f"invalid close code {code!r}: not one that may be sent")
    text = reason.encode()
    if len(text) > MAX_REASON:
        text = text[:MAX_REASON].decode(errors="ignore").encode()
    return control_frame(CLOSE, code.to_bytes(2, "big") + text)


def read_close(payload: bytes) -> tuple[int, str]:
    """Return code and reason of a close frame; raises ProtocolViolation."""
    if not payload:
        return NO_STATUS, ""
    if len(payload) == 1:
        raise ProtocolViolation(PROTOCOL_ERROR, "close frame of one byte")
    code = int.from_bytes(payload[:2], "big")
    if not is_wire_code(code):
        raise ProtocolViolation(PROTOCOL_ERROR, f"invalid close code {code}")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError as exc:
        raise ProtocolViolation(INVALID_DATA, "close reason is not UTF-8") from exc


def is_wire_code(code: object) -> bool:
    """Return whether a close frame may carry `code`."""
    return isinstance(code, int) and (code in _WIRE_CODES or 3000 <= code <= 4999)
