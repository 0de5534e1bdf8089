"""A small strict HTTP/1.1 client over one raw socket (RFC 9112).

It sends what it is given, byte for byte, and believes nothing of what it reads: each violation of
the message syntax is an error with a name, and EOF and RST are told apart.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from typing import TYPE_CHECKING

from tests.support.rawresponse import (
    CHUNK_SIZE,
    FIELD_LINE,
    FIELD_VALUE,
    STATUS_LINE,
    End,
    NoAnswer,
    ProtocolError,
    Response,
    Truncated,
    check_head,
    framing_of,
)
from tests.support.tcpqueue import UnreadBytes

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["End", "NoAnswer", "ProtocolError", "RawClient", "Response", "Truncated"]

TIMEOUT = 10.0
"""Seconds for any one thing the server has to do; a pass needs milliseconds."""


class RawClient:
    """One connection. Reading raises ProtocolError for anything that a strict client refuses."""

    def __init__(self, address: tuple[str, int], *, timeout: float = TIMEOUT) -> None:
        self.socket = socket.create_connection(address, timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.address: tuple[str, int] = self.socket.getsockname()
        self.end: End | None = None
        self._peer = address
        self._buffer = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # -- writing

    def send(self, data: bytes, step: int = 0) -> None:
        """Send `data`; in pieces of `step` bytes, each after the server has read the one before.

        A server that has ended the connection meanwhile is no error here: its answer tells.
        """
        try:
            if step:
                self._send_pieces(data, step)
            else:
                self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def _send_pieces(self, data: bytes, step: int) -> None:
        unread = UnreadBytes(self._peer, self.address)
        try:
            for start in range(0, len(data), step):
                self.socket.sendall(data[start : start + step])
                if not self._taken(unread):
                    self.socket.sendall(data[start + step :])  # it stopped reading: no use pacing
                    return
        finally:
            unread.close()

    def _taken(self, unread: UnreadBytes, patience: float = 0.5) -> bool:
        """Wait until the server has read everything; say whether it did."""
        deadline = time.monotonic() + patience
        while unread.count():
            if time.monotonic() > deadline:
                return False
            select.select([], [], [], 0.00005)  # lets the server's thread run
        return True

    def wait_until_taken(self) -> None:
        """Return when the server has read everything sent so far.

        Raises:
            AssertionError: it did not within the client's timeout.
        """
        unread = UnreadBytes(self._peer, self.address)
        try:
            assert self._taken(unread, TIMEOUT), "the server does not read"
        finally:
            unread.close()

    def half_close(self) -> None:
        """End our direction of the connection; the other one stays open."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Abort the connection: the server sees ECONNRESET."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """Close the socket; twice is once."""
        self.socket.close()

    # -- reading

    def read_response(self, method: str = "GET") -> Response:
        """Return the next final response, the interim ones before it in `interim`.

        Raises:
            NoAnswer: the connection ended instead.
            Truncated: the connection ended inside it.
            ProtocolError: it breaks the message syntax.
        """
        interim: list[Response] = []
        while True:
            response = self._read_head()
            if response.status >= 200:
                break
            if response.status == 101:
                raise ProtocolError(f"an upgrade nobody asked for: {response}")
            interim.append(response)
        response.interim = interim
        response.framing = framing_of(response, method)
        self._read_body(response)
        return response

    def read_interim(self) -> Response:
        """Return the next response, which has to be an interim one (1xx)."""
        response = self._read_head()
        if response.status >= 200:
            raise ProtocolError(f"a final response instead of an interim one: {response}")
        return response

    def read_end(self) -> End:
        """Return how the connection ends; raises ProtocolError if bytes come before the end."""
        rest = self.read_rest()
        if rest:
            raise ProtocolError(f"bytes after the last response: {rest[:200]!r}")
        assert self.end is not None
        return self.end

    def read_rest(self) -> bytes:
        """Return every byte up to the end of the connection."""
        while self._fill():
            pass
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def read_bytes(self, count: int) -> bytes:
        """Return the next `count` bytes of a response, whatever they are."""
        return self._take(count, None)

    def quiet(self) -> bool:
        """Return whether nothing has arrived that is not read yet."""
        return not self._buffer and not select.select([self.socket], [], [], 0)[0]

    def _fill(self) -> bool:
        if self.end is not None:
            return False
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            self.end = End.RESET
            return False
        except TimeoutError:
            raise AssertionError(
                f"nothing more within {TIMEOUT} s; unread so far: {bytes(self._buffer[:300])!r}"
            ) from None
        if not data:
            self.end = End.EOF
            return False
        self._buffer += data
        return True

    def _take(self, count: int, response: Response | None) -> bytes:
        while len(self._buffer) < count:
            if not self._fill():
                self._truncated(f"{count} bytes wanted", response)
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def _line(self, response: Response | None) -> bytes:
        while (found := self._buffer.find(b"\r\n")) < 0:
            if not self._fill():
                self._truncated("a line wanted", response)
        line = bytes(self._buffer[:found])
        del self._buffer[: found + 2]
        if b"\n" in line or b"\r" in line or b"\0" in line:
            raise ProtocolError(f"CR, LF or NUL inside a line: {line!r}")
        return line

    def _truncated(self, what: str, response: Response | None) -> None:
        assert self.end is not None
        if response is not None:
            response.body = b"".join(response.chunks) + bytes(self._buffer)
        raise Truncated(f"{what}, {bytes(self._buffer[:80])!r} there", response, self.end)

    def _read_head(self) -> Response:
        while not self._buffer:
            if not self._fill():
                assert self.end is not None
                raise NoAnswer(self.end)
        line = self._line(None)
        match = STATUS_LINE.fullmatch(line)
        if match is None:
            raise ProtocolError(f"not a status line: {line!r}")
        headers, head = self._read_fields(None)
        version, status, reason = match.groups()
        made = Response(version.decode(), int(status), reason, headers)
        made.head = line + b"\r\n" + head
        check_head(made)
        return made

    def _read_fields(self, response: Response | None) -> tuple[list[tuple[bytes, bytes]], bytes]:
        fields, raw = [], b""
        while line := self._line(response):
            match = FIELD_LINE.fullmatch(line)
            if match is None or not FIELD_VALUE.fullmatch(match[2]):
                raise ProtocolError(f"not a field line: {line!r}")
            fields.append((match[1].lower(), match[2]))
            raw += line + b"\r\n"
        return fields, raw + b"\r\n"

    def _read_body(self, response: Response) -> None:
        if response.framing == "length":
            response.body = self._take(int(response.get(b"content-length") or b"0"), response)
        elif response.framing == "chunked":
            self._read_chunks(response)
        elif response.framing == "close":
            response.body = self.read_rest()
            if self.end is not End.EOF:
                raise Truncated("a body up to the end", response, End.RESET)

    def _read_chunks(self, response: Response) -> None:
        while True:
            line = self._line(response)
            if not CHUNK_SIZE.fullmatch(line):
                raise ProtocolError(f"not a chunk size: {line!r}")
            size = int(line, 16)
            if not size:
                response.body = b"".join(response.chunks)
                response.trailers = self._read_fields(response)[0]
                return
            chunk = self._take(size, response)
            response.chunks.append(chunk)
            if (ending := self._take(2, response)) != b"\r\n":
                raise ProtocolError(f"a chunk of {size} bytes is followed by {ending!r}")
