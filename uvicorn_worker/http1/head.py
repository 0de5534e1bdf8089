"""Write the head of a response: status line, fields, framing. Pure.

The application's fields are checked here: nothing it says can break the message's framing.
"""

from __future__ import annotations

import http
import re
from typing import TYPE_CHECKING, Final

from uvicorn_worker.errors import ApplicationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uvicorn_worker.asgi import ResponseHeaders

UNKNOWN_LENGTH: Final = -1

_PHRASES = {status.value: status.phrase.encode() for status in http.HTTPStatus}

# RFC 9112 section 4: the phrase may be empty, the space before it may not be left out. Status
# codes above 599 are nobody's, but clients take any of three digits (RFC 9110 section 15).
STATUS_LINES: Final = {
    status: b"HTTP/1.1 %d %b" % (status, _PHRASES.get(status, b"")) for status in range(200, 1000)
}

# RFC 9110 sections 6.4.1 and 15.3.6: responses without content, whatever the application sends.
EMPTY_STATUSES: Final = frozenset({204, 205, 304})

# Lines of short contents, which are most: looking one up costs a tenth of formatting it.
_LENGTH_LINES: Final = tuple(b"\r\ncontent-length: %d" % length for length in range(1024))

# Trailer fields that would change the message's framing or routing (RFC 9110 section 6.5.1).
_NO_TRAILERS = frozenset({
    b"content-length", b"transfer-encoding", b"connection", b"host", b"trailer", b"te", b"upgrade",
    b"content-encoding", b"content-type", b"content-range", b"set-cookie", b"authorization",
})  # fmt: skip

_match_token = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_find_line_break = re.compile(rb"[\r\n\0]").search

# Fields that were found right -> their line, or the number that a Content-Length says.
# Applications say the same few things over and over; what they make up each time would only push
# those out, and what is secret is not kept. Emptied when full: the common ones come back at once.
_known: dict[tuple[bytes, bytes], bytes | int] = {}
MAX_KNOWN: Final = 1024
MAX_KNOWN_VALUE: Final = 128
_UNKEPT: Final = frozenset({
    b"set-cookie", b"etag", b"last-modified", b"expires", b"location", b"content-range",
    b"x-request-id", b"x-process-time",
})  # fmt: skip


# Heads whose fields had all come before.
_heads: dict[tuple[int, ResponseHeaders], ResponseHead] = {}
MAX_HEADS: Final = 1024


class SpecialFields:
    """What an application said in fields whose meaning is the server's business.

    `close`: it wants the connection closed. `options`: its other Connection options, lower-case.
    """

    __slots__ = ("close", "has_date", "has_server", "options")

    def __init__(self) -> None:
        self.close = self.has_date = self.has_server = False
        self.options: list[bytes] = []


class ResponseHead:
    """What an application says before its content, checked; the same for many responses.

    `status`: an int, also where the application said 200.0. `lines`: status line and fields, as
    they are sent. `length` of the content, or UNKNOWN_LENGTH. `special` fields, if there are any.
    `closes`: the application wants the connection closed.
    `ordinary_length`: `length`, where there may be content and the server's fields are the same as
    in all such heads; else UNKNOWN_LENGTH.
    """

    __slots__ = ("_end", "_whole", "closes", "length", "lines", "ordinary_length",
                 "special", "status")  # fmt: skip

    def __init__(
        self, status: int, lines: bytes, length: int, special: SpecialFields | None
    ) -> None:
        self.status = int(status)
        self.lines = lines
        self.length = length
        self.special = special
        self.closes = special is not None and special.close
        self.ordinary_length = UNKNOWN_LENGTH
        if special is None and status not in EMPTY_STATUSES:
            self.ordinary_length = length
        self._end = b""
        self._whole = b""

    def whole(self, end: bytes) -> bytes:
        """Return the head with its Content-Length and `end`, which is the same for a second."""
        if end is not self._end:
            self._end = end
            self._whole = b"".join((self.lines, length_line(self.length), end))
        return self._whole


def length_line(length: int) -> bytes:
    """Return the line of a Content-Length, beginning with CRLF."""
    return _LENGTH_LINES[length] if length < 1024 else b"\r\ncontent-length: %d" % length


def read_fields(
    status: int, headers: ResponseHeaders
) -> tuple[list[bytes], int, SpecialFields | None]:
    """Check the application's status and fields.

    Returns the lines so far (status line, then fields, each beginning with CRLF), the content's
    length or UNKNOWN_LENGTH, and what is special. Raises ApplicationError.
    """
    line = STATUS_LINES.get(status)
    if line is None or status is True:
        raise ApplicationError(f"invalid status {status!r}: a response has one from 200 to 999")
    parts = [line]
    length = UNKNOWN_LENGTH
    special = None
    try:
        for field in headers:
            known = _known.get(field) if type(field) is tuple else None  # pairs may be lists
            if known is None:
                name, value = field
                known, special = _read_field(name, value, special)
            if isinstance(known, bytes):
                parts.append(known)
            elif length in (UNKNOWN_LENGTH, known):
                length = known
            else:
                raise ApplicationError(f"contradicting content-length {length} and {known}")
    except (TypeError, ValueError, AttributeError) as exc:
        raise _invalid_headers(exc) from exc
    return parts, length, special


def _invalid_headers(exc: Exception) -> ApplicationError:
    return ApplicationError(f"invalid response headers: expected pairs of bytes ({exc})")


def read_head(status: int, headers: ResponseHeaders) -> ResponseHead:
    """Check the application's status and fields; raises ApplicationError.

    Applications send few different heads: what was right as a whole is looked up.
    """
    try:
        headers = tuple(headers)
    except TypeError as exc:
        raise _invalid_headers(exc) from exc
    again = False
    try:
        head = _heads.get((status, headers))
        if head is not None:
            return head
        again = _known.keys() >= set(headers)
    except TypeError:  # pairs may be lists, which cannot be looked up
        pass
    lines, length, special = read_fields(status, headers)
    head = ResponseHead(status, b"".join(lines), length, special)
    if again and special is None:
        if len(_heads) >= MAX_HEADS:
            _heads.clear()
        _heads[status, headers] = head
    return head


def _read_field(
    name: object, value: object, special: SpecialFields | None
) -> tuple[bytes | int, SpecialFields | None]:
    """Return the line of a field, or the number of a Content-Length; raises ApplicationError."""
    name, value = _as_bytes(name), _as_bytes(value)
    if not _match_token(name):
        raise ApplicationError(f"invalid response header name {name!r}")
    if _find_line_break(value):
        raise ApplicationError(
            f"invalid response header {name!r}: a value contains CR, LF or NUL: {value!r}"
        )
    lower = name.lower()
    line: bytes | int
    if lower == b"content-length":
        if not value.isdigit():
            raise ApplicationError(f"invalid content-length {value!r}")
        line = int(value)
    elif lower in (b"transfer-encoding", b"connection", b"date", b"server"):
        if special is None:
            special = SpecialFields()
        return _read_special(lower, value, special), special
    else:
        line = b"\r\n%b: %b" % (lower, value)
    if len(value) <= MAX_KNOWN_VALUE and lower not in _UNKEPT:
        if len(_known) >= MAX_KNOWN:
            _known.clear()
        _known[name, value] = line
    return line, special


def _as_bytes(part: object) -> bytes:
    if isinstance(part, bytes | bytearray | memoryview):
        return bytes(part)
    raise TypeError(f"got {type(part).__name__}")


def _read_special(lower: bytes, value: bytes, special: SpecialFields) -> bytes:
    """Take note of a special field; return its line, empty where the server writes its own."""
    if lower == b"connection":
        for option in value.lower().split(b","):
            option = option.strip(b" \t")
            if option == b"close":
                special.close = True
            elif option != b"keep-alive":
                special.options.append(option)
    elif lower == b"date" and not special.has_date:
        special.has_date = True
        return b"\r\ndate: " + value
    elif lower == b"server" and not special.has_server:
        special.has_server = True
        return b"\r\nserver: " + value
    return b""  # Transfer-Encoding: the coding of this hop is the server's choice


def early_hints(links: Iterable[object]) -> bytes:
    """Return an interim 103 response (RFC 8297); raises ApplicationError for unusable links."""
    lines = [b"HTTP/1.1 103 Early Hints\r\n"]
    for link in links:
        if not isinstance(link, bytes) or _find_line_break(link):
            raise ApplicationError(f"invalid early hint {link!r}: expected bytes on one line")
        lines.append(b"link: %b\r\n" % link)
    lines.append(b"\r\n")
    return b"".join(lines)


def trailer_section(headers: ResponseHeaders) -> bytes:
    """Return the lines of a trailer section without its empty line (RFC 9112 section 7.1.2)."""
    lines = []
    try:
        for name, value in headers:
            if not _match_token(name) or _find_line_break(value) or name.lower() in _NO_TRAILERS:
                raise ApplicationError(f"invalid trailer field {name!r}: {value!r}")
            lines.append(b"%b: %b\r\n" % (name.lower(), value))
    except (TypeError, ValueError) as exc:
        raise ApplicationError(f"invalid trailers: expected pairs of bytes ({exc})") from exc
    return b"".join(lines)


def refusal(status: int, common_lines: bytes, *, head_only: bool) -> bytes:
    """Return a whole response in the server's own words, which announces the close."""
    phrase = _PHRASES[status]
    return (
        b"HTTP/1.1 %d %b\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d"
        b"\r\nconnection: close%b\r\n\r\n%b"
        % (
            status,
            phrase,
            len(phrase),
            common_lines,
            b"" if head_only else phrase,
        )
    )
