"""Tell bodies that come in parts from what follows them (RFC 9112 section 6). Pure.

One of a known length ends after so many bytes; the chunked transfer coding (section 7.1) is decoded
strictly and with limits.
"""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING, Final, Protocol

from uvicorn_worker.errors import BadRequest
from uvicorn_worker.http1.request import CHUNKED

if TYPE_CHECKING:
    from uvicorn_worker.http1.reader import RequestReader
    from uvicorn_worker.http1.request import Request

NO_LIMIT: Final = float("inf")

# A chunk's size line: 16 hexadecimal digits are 2**64 - 1; no client needs long extensions.
MAX_SIZE_DIGITS = 16
MAX_SIZE_LINE = 1024
# RFC 9112 section 7.1.1: a server ought to limit the total length of chunk extensions. The limit
# is for one body.
MAX_EXTENSIONS = 16 * 1024

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_match_size_line = re.compile(
    rb"([0-9A-Fa-f]{1,%d})((?:[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?)*)"
    % (MAX_SIZE_DIGITS, _TOKEN, _TOKEN, _QUOTED)
).fullmatch
_match_trailer = re.compile(_TOKEN + rb":[\t \x21-\x7e\x80-\xff]*").fullmatch


class ChunkState(enum.IntEnum):
    SIZE, DATA, DATA_END, TRAILERS, ENDED = range(5)


SIZE, DATA, DATA_END, TRAILERS, ENDED = ChunkState


class BodyReader(Protocol):
    """Takes the bytes of one body as they come."""

    @property
    def left(self) -> float:
        """How many bytes of content are still to come, infinite where nobody knows."""

    @property
    def ended(self) -> bool:
        """Whether the body is complete."""

    @property
    def rest(self) -> bytes:
        """The bytes behind the body, once it has ended."""

    def feed(self, data: bytes) -> bytes:
        """Return the content that `data` brings; raises BadRequest at the first error."""


def body_reader(request: Request, reader: RequestReader, limit: float) -> BodyReader:
    """Return what reads the body of `request`; a chunked one may have `limit` bytes."""
    if request.length == CHUNKED:
        return ChunkedDecoder(reader.max_fields, reader.max_field_size, limit)
    return SizedBody(request.length)


class SizedBody:
    """A body of a known length."""

    __slots__ = ("left", "rest")

    def __init__(self, length: int) -> None:
        self.left: float = length
        self.rest = b""

    @property
    def ended(self) -> bool:
        return self.left == 0

    def feed(self, data: bytes) -> bytes:
        left = int(self.left)
        if len(data) > left:
            data, self.rest = data[:left], data[left:]
        self.left = left - len(data)
        return data


class ChunkedDecoder:
    """A chunked body of at most `limit` bytes of content.

    `max_fields` and `max_field_size` limit the trailer section, which is checked and dropped:
    ASGI has no place for request trailers, and merging them into the header section would let
    a peer forge fields (RFC 9110 section 6.5.1).
    """

    __slots__ = ("_buffer", "_extensions", "_fields", "_left", "_max_field_size", "_max_fields",
                 "_room", "_state")  # fmt: skip

    left: Final = float("inf")

    def __init__(self, max_fields: int, max_field_size: int, limit: float = NO_LIMIT) -> None:
        self._state: ChunkState = SIZE
        self._room = limit
        self._left = 0
        self._buffer = b""
        self._extensions = 0
        self._fields = 0
        self._max_fields = max_fields
        self._max_field_size = max_field_size

    @property
    def ended(self) -> bool:
        return self._state is ENDED

    @property
    def rest(self) -> bytes:
        return self._buffer

    def feed(self, data: bytes) -> bytes:
        content = self._decode(data)
        self._room -= len(content)
        if self._room < 0:
            raise BadRequest("request body is too large", 413)
        return content

    def _decode(self, data: bytes) -> bytes:
        if self._buffer:
            data = self._buffer + data  # a line that came in parts: at most one line long
            self._buffer = b""
        pieces: list[bytes] = []
        position = 0
        while self._state is not ENDED:
            if self._state is DATA:
                piece = data[position : position + self._left]
                if not piece:
                    return b"".join(pieces)
                pieces.append(piece)
                position += len(piece)
                self._left -= len(piece)
                if self._left:
                    return b"".join(pieces)
                self._state = DATA_END
            end = data.find(b"\n", position)
            if end < 0:
                self._keep(data[position:])
                return b"".join(pieces)
            self._line_received(data[position : end + 1])
            position = end + 1
        self._buffer = data[position:]
        return b"".join(pieces)

    def _keep(self, part: bytes) -> None:
        """Hold the beginning of a line, unless it cannot become a right one."""
        if self._state is DATA_END:
            fits = part in (b"", b"\r")
        elif self._state is SIZE:
            fits = len(part) <= MAX_SIZE_LINE
        else:
            fits = len(part) <= self._max_field_size
        if not fits:
            self._line_received(part)  # raises: too long, or not what must stand here
            raise BadRequest("malformed chunked body: a line is too long")
        self._buffer = part

    def _line_received(self, line: bytes) -> None:
        if self._state is DATA_END:
            if line != b"\r\n":
                raise BadRequest("malformed chunked body: no CRLF after the chunk's data")
            self._state = SIZE
        elif self._state is SIZE:
            self._size_received(line)
        elif line == b"\r\n":
            self._state = ENDED
        else:
            self._trailer_received(line)

    def _size_received(self, line: bytes) -> None:
        right = len(line) <= MAX_SIZE_LINE and line.endswith(b"\r\n")
        match = _match_size_line(line[:-2]) if right else None
        if match is None:
            raise BadRequest("malformed chunked body: invalid chunk size or extension")
        self._left = int(match[1], 16)
        self._extensions += len(match[2])
        if self._extensions > MAX_EXTENSIONS:
            raise BadRequest("malformed chunked body: too many chunk extensions")
        self._state = DATA if self._left else TRAILERS

    def _trailer_received(self, line: bytes) -> None:
        self._fields += 1
        if len(line) > self._max_field_size or self._fields > self._max_fields:
            raise BadRequest("trailer section is too large", 431)
        if not line.endswith(b"\r\n") or not _match_trailer(line[:-2]):
            raise BadRequest("malformed chunked body: invalid trailer field")
