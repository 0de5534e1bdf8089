"""Responses as they stand on the wire, and what a strict client says of them (RFC 9112)."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field

STATUS_LINE = re.compile(rb"HTTP/(1\.[01]) ([1-9]\d\d) ([\t\x20-\x7e\x80-\xff]*)")
FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")
FIELD_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}")

SINGLETONS = (b"content-length", b"transfer-encoding", b"date", b"server")
"""Fields that a server has no reason to send twice."""


class ProtocolError(AssertionError):
    """What the server sent is not HTTP/1.1."""


class Truncated(ProtocolError):
    """The connection ended inside a response; `response` is what had come of it."""

    def __init__(self, what: str, response: Response | None, end: End) -> None:
        super().__init__(f"{what}; the connection ended with {end.name}; so far: {response}")
        self.response = response
        self.end = end


class NoAnswer(ProtocolError):
    """The connection ended where a response was expected."""

    def __init__(self, end: End) -> None:
        super().__init__(f"no response: the connection ended with {end.name}")
        self.end = end


class End(enum.Enum):
    """How the server ended its direction of the connection."""

    EOF = "FIN"
    RESET = "RST"


@dataclass
class Response:
    """One response as it stood on the wire; field names lower-case."""

    version: str
    status: int
    reason: bytes
    headers: list[tuple[bytes, bytes]]
    framing: str = "none"  # none, length, chunked or close
    body: bytes = b""
    chunks: list[bytes] = field(default_factory=list)
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    interim: list[Response] = field(default_factory=list)
    head: bytes = b""

    def all(self, name: bytes) -> list[bytes]:
        """Return the values of every field called `name` (lower-case)."""
        return [value for key, value in self.headers if key == name]

    def get(self, name: bytes) -> bytes | None:
        """Return the value of the field called `name`, None without one."""
        values = self.all(name)
        return values[0] if values else None

    @property
    def connection_options(self) -> list[bytes]:
        """The options of every Connection field, lower-case (RFC 9110 section 7.6.1)."""
        return [o.strip() for o in b",".join(self.all(b"connection")).lower().split(b",")]

    @property
    def says_close(self) -> bool:
        """Whether the response announces the end of the connection (RFC 9112 section 9.6)."""
        return b"close" in self.connection_options


def check_head(response: Response) -> None:
    """Raise ProtocolError for fields that contradict each other or the status."""
    for name in SINGLETONS:
        if len(response.all(name)) > 1:
            raise ProtocolError(f"{name.decode()} more than once: {response.headers}")
    length, coding = response.get(b"content-length"), response.get(b"transfer-encoding")
    if length is not None and not (length.isdigit() and length.isascii()):
        raise ProtocolError(f"Content-Length: {length!r}")
    if length is not None and coding is not None:
        raise ProtocolError("Content-Length and Transfer-Encoding in one response")
    if coding is not None and coding.lower() != b"chunked":
        raise ProtocolError(f"Transfer-Encoding: {coding!r}")
    options = response.connection_options
    if options.count(b"close") + options.count(b"keep-alive") > 1:
        raise ProtocolError(f"the connection's end is announced twice: {response.headers}")
    framed = length is not None or coding is not None
    if framed and (response.status < 200 or response.status == 204):
        # RFC 9110 section 8.6, RFC 9112 section 6.1
        raise ProtocolError(f"framing fields in a {response.status}: {response.headers}")


def framing_of(response: Response, method: str) -> str:
    """Return how the body of a final response is delimited (RFC 9112 section 6.3)."""
    if method == "HEAD" or response.status in (204, 304):
        return "none"
    if method == "CONNECT" and response.status < 300:
        return "none"
    if response.get(b"transfer-encoding") is not None:
        return "chunked"
    return "close" if response.get(b"content-length") is None else "length"
