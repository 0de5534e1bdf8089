"""A small strict WebSocket client over one raw socket (RFC 6455).

It sends frames as it is told, right or wrong, and believes nothing of what it reads: a frame of
the server that breaks the protocol is an error with a name, and EOF and RST are told apart.
"""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from typing import TYPE_CHECKING, NamedTuple

from tests.support.rawhttp import End, ProtocolError, RawClient, Response, Truncated

if TYPE_CHECKING:
    from collections.abc import Sequence

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = b"\x37\xfa\x21\x3d"
DEFLATE = "permessage-deflate; client_max_window_bits"
TAIL = b"\x00\x00\xff\xff"


class Received(NamedTuple):
    """A frame of the server."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0

    @property
    def close(self) -> tuple[int, str]:
        """Code and reason of a close frame; 1005 where it says none."""
        assert self.opcode == CLOSE, self
        if not self.payload:
            return 1005, ""
        return int.from_bytes(self.payload[:2], "big"), self.payload[2:].decode()


def mask(payload: bytes, key: bytes = KEY) -> bytes:
    """Return the payload with a masking key applied."""
    length = len(payload)
    pad = (key * (length // 4 + 1))[:length]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(length, "big")


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    key: bytes | None = KEY,
    length: int | None = None,
    size: int | None = None,
) -> bytes:
    """Return a frame of a client.

    `key` None leaves it unmasked; `length` is said instead of the payload's own, in `size` bytes
    (1, 2 or 8) instead of the fewest.
    """
    said = len(payload) if length is None else length
    if size is None:
        size = 1 if said < 126 else 2 if said < 65536 else 8
    bit = 0 if key is None else 0x80
    head = bytes((fin << 7 | rsv << 4 | opcode,))
    if size == 1:
        head += bytes((bit | said,))
    else:
        head += bytes((bit | (126 if size == 2 else 127),)) + said.to_bytes(size, "big")
    return head + payload if key is None else head + key + mask(payload, key)


def close_frame(code: int | None = None, reason: bytes = b"") -> bytes:
    """Return a close frame of a client, right or wrong."""
    return frame(CLOSE, (b"" if code is None else code.to_bytes(2, "big")) + reason)


class Deflate:
    """The client's side of permessage-deflate."""

    def __init__(
        self,
        bits: int = 15,
        *,
        server_bits: int = 15,
        reset: bool = False,
        server_reset: bool = False,
    ) -> None:
        self._bits, self._reset = bits, reset
        self._server_bits, self._server_reset = server_bits, server_reset
        self._out = zlib.compressobj(wbits=-bits)
        self._in = zlib.decompressobj(wbits=-server_bits)

    def compress(self, data: bytes) -> bytes:
        if self._reset:
            self._out = zlib.compressobj(wbits=-self._bits)
        return (self._out.compress(data) + self._out.flush(zlib.Z_SYNC_FLUSH))[:-4]

    def decompress(self, data: bytes) -> bytes:
        if self._server_reset:
            self._in = zlib.decompressobj(wbits=-self._server_bits)
        # Piece by piece: within one call zlib takes its whole output for the window.
        data, parts = data + TAIL, []
        while data:
            parts.append(self._in.decompress(data, 256))
            data = self._in.unconsumed_tail
        return b"".join(parts)


def request(
    path: str = "/",
    *,
    headers: Sequence[tuple[str, str]] = (),
    key: str | None = None,
    without: Sequence[str] = (),
    line: str | None = None,
) -> bytes:
    """Return the handshake of a client; `headers` replace those of the same name."""
    fields = {
        "Host": ["localhost"],
        "Upgrade": ["websocket"],
        "Connection": ["Upgrade"],
        "Sec-WebSocket-Key": [key or base64.b64encode(os.urandom(16)).decode()],
        "Sec-WebSocket-Version": ["13"],
    }
    given = {name.lower() for name, _ in headers}
    lines = [line or f"GET {path} HTTP/1.1"]
    lines += [
        f"{name}: {value}"
        for name, values in fields.items()
        if name.lower() not in given and name not in without
        for value in values
    ]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class RawWebSocket(RawClient):
    """One connection; `handshake` holds the answer to the handshake once there is one."""

    handshake: Response

    def open(
        self,
        path: str = "/",
        *,
        headers: Sequence[tuple[str, str]] = (),
        behind: bytes = b"",
    ) -> Response:
        """Shake hands; `behind` goes out in the same packet. Return the answer, a right 101."""
        key = base64.b64encode(os.urandom(16)).decode()
        self.send(request(path, headers=headers, key=key) + behind)
        answer = self.read_interim()
        assert answer.status == 101, answer
        digest = base64.b64encode(hashlib.sha1(key.encode() + GUID).digest())
        assert answer.all(b"sec-websocket-accept") == [digest]
        assert [value.lower() for value in answer.all(b"upgrade")] == [b"websocket"]
        assert answer.connection_options == [b"upgrade"]
        self.handshake = answer
        return answer

    def read_frame(self) -> Received:
        """Return the server's next frame; raises ProtocolError for one that no server may send."""
        head = self.read_bytes(2)
        opcode, rsv, fin = head[0] & 15, head[0] >> 4 & 7, bool(head[0] & 0x80)
        length = head[1]
        if length & 0x80:
            raise ProtocolError("a masked frame of a server")
        if length == 126:
            length = int.from_bytes(self.read_bytes(2), "big")
            shortest = length > 125
        elif length == 127:
            length = int.from_bytes(self.read_bytes(8), "big")
            shortest = length > 65535
        else:
            shortest = True
        if not shortest:
            raise ProtocolError(f"a length of {length} in too many bytes")
        if opcode not in (CONT, TEXT, BINARY, CLOSE, PING, PONG):
            raise ProtocolError(f"opcode {opcode}")
        if opcode & 8 and (length > 125 or not fin):
            raise ProtocolError(f"control frame of {length} bytes, fin {fin}")
        return Received(opcode, self.read_bytes(length), fin, rsv)

    def read_message(self) -> str | bytes:
        """Return the server's next message, which has to come in one frame without extensions."""
        received = self.read_frame()
        assert received.fin, received
        assert received.rsv == 0, received
        assert received.opcode in (TEXT, BINARY), received
        return received.payload.decode() if received.opcode == TEXT else received.payload

    def read_close(self) -> tuple[int, str]:
        """Return code and reason of the server's next frame, which has to be a close frame."""
        received = self.read_frame()
        assert received.opcode == CLOSE, received
        return received.close

    def finish(self) -> End:
        """Return how the connection ends behind the last frame."""
        try:
            return self.read_end()
        except Truncated as exc:
            return exc.end
