"""permessage-deflate (RFC 7692): what is agreed on in the handshake, and the two directions.

It is the same for both engines and not left to them: what a message may grow to has to be limited
in one place, and browsers offer compression always, so this is the common case.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from uvicorn_worker.errors import ProtocolViolation
from uvicorn_worker.websocket.frames import INVALID_DATA, TOO_BIG

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME: Final = "permessage-deflate"

# RFC 7692 section 7.2.1: the end of what a sync flush emits, which is not sent.
TAIL: Final = b"\x00\x00\xff\xff"

# Our share of the memory of a connection that compresses: 15 bits and level 8 take 256 KiB for
# the one direction and 40 for the other, this 32 and 11 (zlib, "Memory Footprint").
WINDOW_BITS: Final = 12
MEMORY_LEVEL: Final = 5
MAX_WINDOW_BITS: Final = 15
MIN_WINDOW_BITS: Final = 9  # of a compressor: zlib cannot make raw streams with 8

# Shorter messages are sent as they are (RFC 7692 section 6 allows it for each): with their heads
# they fit into a packet anyway.
COMPRESS_FROM: Final = 128

# A message may contain final blocks (RFC 7692 section 7.2.3.4), each of which needs a new
# decompressor: more than a sender's flushes explain is an attack on the processor.
MAX_FINAL_BLOCKS: Final = 16


@dataclass(frozen=True, slots=True)
class Agreement:
    """The parameters that an offer was accepted with."""

    server_bits: int
    client_bits: int
    server_reset: bool  # server_no_context_takeover
    client_reset: bool
    response: bytes
    """The value of Sec-WebSocket-Extensions."""


def accept_offer(parameters: Sequence[tuple[str, str | None]]) -> Agreement | None:
    """Return what to agree on with a client that offers these parameters, None to decline.

    RFC 7692 section 7: an offer with an unknown, repeated or invalid parameter is declined.
    """
    known = dict(parameters)
    if len(known) != len(parameters):
        return None
    server_reset = "server_no_context_takeover" in known
    client_reset = "client_no_context_takeover" in known
    server_bits = client_bits = None
    for name, value in parameters:
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            if value is not None:
                return None
        elif name == "server_max_window_bits":
            server_bits = _window_bits(value)
            if server_bits is None or server_bits < MIN_WINDOW_BITS:
                return None
        elif name == "client_max_window_bits":
            # Without a value: the client takes whatever limit the server names.
            client_bits = MAX_WINDOW_BITS if value is None else _window_bits(value)
            if client_bits is None:
                return None
        else:
            return None
    return _agree(server_bits, client_bits, server_reset, client_reset)


def _window_bits(value: str | None) -> int | None:
    """RFC 7692 section 7.1.2: a decimal from 8 to 15 without leading zeroes."""
    return int(value) if value in ("8", "9", "10", "11", "12", "13", "14", "15") else None


def _agree(
    server_bits: int | None, client_bits: int | None, server_reset: bool, client_reset: bool
) -> Agreement:
    response = NAME
    if server_reset:
        response += "; server_no_context_takeover"
    if client_reset:
        response += "; client_no_context_takeover"
    server = WINDOW_BITS if server_bits is None else min(server_bits, WINDOW_BITS)
    if server_bits is not None:
        response += f"; server_max_window_bits={server}"
    # A client that does not offer to limit its window must not be asked to.
    client = MAX_WINDOW_BITS if client_bits is None else min(client_bits, WINDOW_BITS)
    if client_bits is not None:
        response += f"; client_max_window_bits={client}"
    return Agreement(server, client, server_reset, client_reset, response.encode())


class Inflater:
    """Decompresses a client's messages, one after the other. Takes memory with the first one."""

    __slots__ = ("_bits", "_reset", "_stream")

    def __init__(self, agreement: Agreement) -> None:
        # zlib compresses with 9 where 8 was agreed on.
        self._bits = -max(agreement.client_bits, MIN_WINDOW_BITS)
        self._reset = agreement.client_reset
        self._stream: zlib._Decompress | None = None

    def inflate(self, data: bytes, limit: float, *, last: bool) -> bytes:
        """Return the next part of a message, decompressed; `last` for its end.

        Raises:
            ProtocolViolation: it is longer than `limit` bytes, or not compressed data.
        """
        stream = self._stream
        if stream is None:
            self._stream = stream = zlib.decompressobj(self._bits)
        if last:
            data += TAIL
            if self._reset:
                self._stream = None
        # One byte more than allowed shows that there is more; 0 stands for no limit.
        most = 0 if limit == float("inf") else int(limit) + 1
        try:
            result = stream.decompress(data, most)
            if stream.eof:
                result = self._inflate_on(stream, result, most)
        except zlib.error as exc:
            raise ProtocolViolation(INVALID_DATA, "invalid compressed data") from exc
        if len(result) > limit:
            raise ProtocolViolation(TOO_BIG, "message is too big")
        return result

    def _inflate_on(self, stream: zlib._Decompress, result: bytes, most: int) -> bytes:
        """Go on behind a final block, at which zlib's streams end."""
        for _ in range(MAX_FINAL_BLOCKS):
            rest = stream.unused_data
            window = result[-(1 << -self._bits) :]
            stream = zlib.decompressobj(self._bits, zdict=window)
            if self._stream is not None:
                self._stream = stream
            if most and len(result) >= most:
                return result
            result += stream.decompress(rest, max(1, most - len(result)) if most else 0)
            if not stream.eof:
                return result
        raise ProtocolViolation(INVALID_DATA, "too many final blocks in compressed data")


class Deflater:
    """Compresses the server's messages, one after the other. Takes memory with the first one."""

    __slots__ = ("_bits", "_reset", "_stream")

    def __init__(self, agreement: Agreement) -> None:
        self._bits = -agreement.server_bits
        self._reset = agreement.server_reset
        self._stream: zlib._Compress | None = None

    def deflate(self, data: bytes) -> bytes:
        """Return a whole message, compressed."""
        stream = self._stream
        if stream is None:
            stream = zlib.compressobj(wbits=self._bits, memLevel=MEMORY_LEVEL)
            if not self._reset:
                self._stream = stream
        return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[: -len(TAIL)]
