"""Take request heads apart, with little work for what comes again.

Request lines, fields and whole sections that were found right before are looked up. What the parts
mean stands in `request`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from uvicorn_worker.errors import BadRequest
from uvicorn_worker.http1.request import (
    METHODS,
    Request,
    accept_version,
    check_host,
    check_repeated,
    match_plain_line,
    method_error,
    read_connection,
    read_framing,
    read_other_target,
    repeat_fields,
    request_line_error,
)
from uvicorn_worker.http1.sections import VARYING, KnownSections
from uvicorn_worker.serverconfig import FIELD_LIMIT, LINE_LIMIT

if TYPE_CHECKING:
    from uvicorn_worker.http1.parser import HeadParser
    from uvicorn_worker.serverconfig import ServerConfig

# What "0 = no limit" means: nothing may grow without a bound (contract: 1 MiB, 32768 fields).
MAX_LINE: Final = 1024 * 1024
MAX_FIELDS: Final = 32768

# Clients and proxies say the same things in every request. What was found right once is looked up:
# request lines, single fields, and whole header sections. Peers choose all three, so numbers and
# sizes are bounded, and each table is emptied when full: what is common comes back at once.
MAX_KNOWN_LINES: Final = 1024
MAX_KNOWN_LINE: Final = 256

# A head up to this size is kept for as long as its connection, whose next one may say the same.
MAX_REPEATED: Final = 1024

# Lines not worth keeping: they would push the others out.
UNKEPT_FIELDS: Final = VARYING | {b"content-length", b"sec-websocket-key"}

# Host values found valid; peers choose them, so the number is bounded.
MAX_KNOWN_HOSTS: Final = 1024


class RequestReader:
    """Reads heads by the rules of one configuration."""

    __slots__ = ("_any_minor_version", "_check_grammar", "_forwarding", "_hosts", "_lines",
                 "_persist", "_request_lines", "_sections", "_small", "_unfold",
                 "max_field_size", "max_fields", "max_head", "max_line")  # fmt: skip

    def __init__(
        self, parser: HeadParser, config: ServerConfig, forwarding: frozenset[bytes] = frozenset()
    ) -> None:
        """`forwarding` are the lower-case names that make a request notable."""
        self._forwarding = forwarding
        self._check_grammar = parser.check
        self._lines: dict[bytes, tuple[bytes, bytes]] = {}
        self._request_lines: dict[bytes, tuple[str, bytes, bytes, str, bytes]] = {}
        self._sections = KnownSections()
        self._hosts: set[bytes] = set()
        self.max_line = config.limit_request_line or MAX_LINE
        self.max_fields = config.limit_request_fields or MAX_FIELDS
        self.max_field_size = config.limit_request_field_size or MAX_LINE
        self.max_head: float = float("inf")
        if (most := config.h11_max_incomplete_event_size) is not None:
            self._limit_head(most, config)
        # A head no longer than this cannot break a limit on its size or on one of its lines.
        self._small = min(self.max_line, self.max_field_size, self.max_head)
        self._persist = config.timeout_keep_alive > 0
        self._unfold = config.permit_obsolete_folding
        self._any_minor_version = config.permit_unconventional_http_version

    def _limit_head(self, most: int, config: ServerConfig) -> None:
        """Let a head have `most` bytes, in one line if need be.

        So it is with h11, whose option this is; limits on lines that somebody has set stay.
        """
        self.max_head = most
        if config.limit_request_line == LINE_LIMIT:
            self.max_line = max(LINE_LIMIT, most)
        if config.limit_request_field_size == FIELD_LIMIT:
            self.max_field_size = max(FIELD_LIMIT, most)

    def read(self, head: bytes, before: Request | None = None) -> Request:
        """Return the request whose head `head` is; raises BadRequest.

        `head` goes up to and with the empty line; empty lines before the request line are gone.
        `before` is one that is `repeatable`: the client may say the same but for the first line.
        """
        if len(head) > self._small:
            self._check_sizes(head)
        request = Request()
        request.head = head
        request.scope = None
        if self._unfold:
            head = _unfold(head)
        end = head.find(b"\r\n")
        line = head[:end]
        section = head[end:]
        known_line = self._request_lines.get(line) or self._read_plain_line(line)
        if known_line is not None:
            request.http11 = True
            request.method, request.target, request.path, request.path_text, request.query = (
                known_line
            )
        else:
            head = self._read_request_line(request, line, head)
        if not (request.http11 and self._find_fields(request, section, before)):
            self._check_grammar(head)
            self._read_fields(request, section)
            if request.http11:
                self._sections.remember(section, request)
        elif known_line is None:  # the fields have been through all this before; has the line?
            self._check_grammar(head[:end] + b"\r\nhost:\r\n\r\n")
        if known_line is None:
            self._read_target(request)
        request.line_end = end
        request.ordinary = request.keep_alive and request.http11 and request.method != "HEAD"
        request.repeatable = not (
            known_line is None or request.notable or request.upgrade or len(head) > MAX_REPEATED
        )
        return request

    def _find_fields(self, request: Request, section: bytes, before: Request | None) -> bool:
        """Set what known fields say; return whether they are known."""
        sections = self._sections
        if before is None:
            known = sections.exact.get(section)
            if known is not None:
                known.tell(request, ())
                return True
        elif section == before.head[before.line_end :]:
            repeat_fields(request, before)
            return True
        known, values = sections.find(section)
        if known is None:
            return False
        known.tell(request, values)
        if before is None and not values:  # which may be secrets
            sections.remember_exact(section, request)
        return True

    def _read_plain_line(self, line: bytes) -> tuple[str, bytes, bytes, str, bytes] | None:
        """Return what a request line says that needs no second look; None for any other."""
        match = match_plain_line(line)
        if match is None:
            return None
        name, target, path, query = match.groups(b"")
        method = METHODS.get(name)
        if method is None:
            return None
        said = (method, target, path, _decode(path), query)
        if len(line) <= MAX_KNOWN_LINE:
            if len(self._request_lines) >= MAX_KNOWN_LINES:
                self._request_lines.clear()
            self._request_lines[line] = said
        return said

    def _read_request_line(self, request: Request, line: bytes, head: bytes) -> bytes:
        """Take apart a request line; return the head as a parser of 1.1 and 1.0 knows it."""
        try:
            method, request.target, version = line.split(b" ")
        except ValueError:
            raise request_line_error(line) from None
        request.http11 = True
        if version != b"HTTP/1.1":
            head = accept_version(request, version, head, any_minor=self._any_minor_version)
        known_method = METHODS.get(method)
        if known_method is None:
            raise method_error(method, request.target)
        request.method = known_method
        return head

    def _read_target(self, request: Request) -> None:
        """Take apart the target of a request whose line and fields are in the grammar."""
        target = request.target
        path, _, request.query = target.partition(b"?")
        if not path.startswith(b"/") or target.find(b"#") >= 0:
            path = read_other_target(request, path)
        request.path = path
        request.path_text = _decode(path)

    def _read_fields(self, request: Request, section: bytes) -> None:
        """Take apart the fields, which begin and end with CRLF, and see what they say."""
        lines = section.split(b"\r\n")  # one empty in front, two behind
        if len(lines) > self.max_fields + 3:
            raise BadRequest("too many header fields", 431)
        known_line = self._lines.get
        headers = [known_line(line) or self._read_line(line) for line in lines[1:-2]]
        fields = dict(headers)
        if len(fields) != len(headers):
            check_repeated(headers)
        request.headers = headers
        request.fields = fields
        request.notable = (
            not fields.keys().isdisjoint(self._forwarding) or b"".join(fields).find(b"_") >= 0
        )
        host = fields.get(b"host")
        if host not in self._hosts:
            self._check_host(host, request.http11)
        request.keep_alive = request.http11 and self._persist
        request.length = 0
        request.expects_continue = False
        request.upgrade = b""
        if b"connection" in fields:
            read_connection(request, persist=self._persist)
        if b"content-length" in fields or b"transfer-encoding" in fields or b"expect" in fields:
            read_framing(request)

    def _read_line(self, line: bytes) -> tuple[bytes, bytes]:
        """Return the field of a line that is in the grammar, and remember it where that pays."""
        name, _, value = line.partition(b":")
        field = (name.lower(), value.strip(b" \t"))  # RFC 9112 section 5.1
        if len(line) <= MAX_KNOWN_LINE and field[0] not in UNKEPT_FIELDS:
            if len(self._lines) >= MAX_KNOWN_LINES:
                self._lines.clear()
            self._lines[line] = field
        return field

    def _check_sizes(self, head: bytes) -> None:
        """Apply the limits on the lines, counted as Gunicorn counts: a field with its CRLF."""
        if len(head) > self.max_head:
            raise BadRequest("request head is too large", 431)
        lines = head.split(b"\r\n")
        if len(lines[0]) > self.max_line:
            raise BadRequest("request line is too long", 414)
        if len(max(lines[1:], key=len)) + 2 > self.max_field_size:
            raise BadRequest("header field is too large", 431)

    def _check_host(self, host: bytes | None, http11: bool) -> None:
        check_host(host, http11)
        if host is not None and len(self._hosts) < MAX_KNOWN_HOSTS:
            self._hosts.add(host)


def _decode(path: bytes) -> str:
    """Return what a path in ASCII stands for (RFC 3986 section 2.1)."""
    text = path.decode("ascii")
    if "%" not in text:
        return text
    from urllib.parse import unquote  # 1 ms of a start, for few paths

    return unquote(text)


def _unfold(head: bytes) -> bytes:
    """Join folded lines (RFC 9112 section 5.2); there is nothing to join before the first field."""
    start = head.find(b"\r\n") + 2
    return head[:start] + re.sub(rb"\r\n[ \t]+", b" ", head[start:])
