"""Collect a request's head that comes in parts. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn_worker.errors import BadRequest
from uvicorn_worker.http1.request import match_token, match_version, request_line_error

if TYPE_CHECKING:
    from uvicorn_worker.http1.reader import RequestReader


class PartialHead:
    """The beginning of a head whose end has not come yet.

    Bounded, and refused as soon as it cannot become a right one: a peer that ends its lines
    with a bare LF must not wait for the head's timeout to learn it.
    """

    __slots__ = ("_data", "_lines", "_reader", "_start")

    def __init__(self, reader: RequestReader) -> None:
        self._reader = reader
        self._data = bytearray()
        self._lines = 0  # complete ones
        self._start = 0  # of the incomplete last line

    def __len__(self) -> int:
        return len(self._data)

    def __bytes__(self) -> bytes:
        return bytes(self._data)

    def add(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Take more bytes; return the head and what follows it once it is complete.

        Raises BadRequest when a limit is passed or the lines cannot belong to a request.
        """
        buffer = self._data
        scanned = len(buffer)
        buffer += data
        while (newline := buffer.find(b"\n", scanned)) >= 0:
            line = bytes(buffer[self._start : newline + 1])
            scanned = self._start = newline + 1
            if scanned > self._reader.max_head:
                break
            if line == b"\r\n":
                if self._lines:
                    return bytes(buffer[:scanned]), bytes(buffer[scanned:])
                # RFC 9112 section 2.2: empty lines before a request line are ignored.
                del buffer[:scanned]
                scanned = self._start = 0
            else:
                self._check_line(line)
        if len(buffer) > self._reader.max_head:
            raise BadRequest("request head is too large", 431)
        # The last byte may be the CR of a CRLF that is on its way.
        if buffer.find(b"\r", max(self._start, scanned - 1), -1) >= 0:
            raise self._bare_line_end()
        self._check_length(len(buffer) - self._start)
        if (
            not self._lines
            and bytes(buffer[:1]) not in (b"", b"\r")
            and not match_token(buffer[:1])
        ):
            raise request_line_error(bytes(buffer))
        return None

    def _check_line(self, line: bytes) -> None:
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise self._bare_line_end()
        self._check_length(len(line) - 2)
        self._lines += 1
        if self._lines == 1:
            version = line[:-2].rpartition(b" ")[2]
            if line.count(b" ") != 2 or not match_version(version):
                raise request_line_error(line)
        elif self._lines - 1 > self._reader.max_fields:
            raise BadRequest("too many header fields", 431)

    def _check_length(self, length: int) -> None:
        """Refuse a line, complete or not, that is over its limit; `length` without CRLF."""
        if not self._lines:
            if length > self._reader.max_line + 1:  # the CR of an incomplete line counts too
                raise BadRequest("request line is too long", 414)
        elif length > self._reader.max_field_size:
            raise BadRequest("header field is too large", 431)

    def _bare_line_end(self) -> BadRequest:
        if not self._lines:
            return request_line_error(bytes(self._data))
        return BadRequest("malformed head: bare CR or LF")
