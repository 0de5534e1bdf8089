"""What a request's head means: target, version, Host, framing, persistence. Pure.

Everything that RFC 9110 and 9112 call invalid or ambiguous is refused here, once for every
parser, with the status that they name. `reader` takes heads apart, `partial` collects them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from uvicorn_worker.errors import BadRequest

if TYPE_CHECKING:
    from uvicorn_worker.asgi import Headers

CHUNKED: Final = -1  # a body length that only the coding tells

# RFC 9112 section 6.3: longer than any body that fits a file system (2**63 has 19 digits).
MAX_LENGTH_DIGITS: Final = 19

# RFC 9110 section 16.1, the registry of methods (WebDAV and friends), and PURGE of the caches. A
# method not listed here is answered with 501 (RFC 9110 section 9.1), whatever the parser knows.
METHODS: Final = {
    name.encode(): name
    for name in (
        "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "ACL", "BIND",
        "CHECKOUT", "COPY", "LINK", "LOCK", "M-SEARCH", "MERGE", "MKACTIVITY", "MKCALENDAR",
        "MKCOL", "MOVE", "NOTIFY", "PROPFIND", "PROPPATCH", "PURGE", "REBIND", "REPORT", "SEARCH",
        "SOURCE", "SUBSCRIBE", "UNBIND", "UNLINK", "UNLOCK", "UNSUBSCRIBE", "QUERY",
    )
}  # fmt: skip

# Fields that may appear once only, beside those that have rules of their own.
SINGLE_FIELDS: Final = (b"host", b"content-length", b"content-type")

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
match_token = re.compile(_TOKEN).fullmatch
match_version = re.compile(rb"HTTP/([0-9])\.([0-9])").fullmatch
# A request line of HTTP/1.1 in origin-form (RFC 9112 section 3.2.1), all of whose characters are in
# every parser's grammar: method, target, path, query.
match_plain_line = re.compile(
    rb"([A-Z-]+) ((/[!-\"$->@-~]*)(?:\?([!-\"$-~]*))?) HTTP/1\.1"
).fullmatch
# RFC 3986 section 3.2: host (name, IPv4 or bracketed IPv6) and optional port, no userinfo.
match_host = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+\]|\[v[0-9A-Fa-f]+\.[\w.~!$&'()*+,;=:-]+\]"
    rb"|(?:[\w.~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?",
    re.ASCII,
).fullmatch
_match_absolute = re.compile(rb"(https?)://([^/?#]+)(/[^?]*)?(\?.*)?", re.IGNORECASE).fullmatch
_find_space = re.compile(rb"[\x00-\x20\x7f-\xff]").search
_match_authority = re.compile(rb"[^/?#@]+:[0-9]+").fullmatch


class Request:
    """The head of one request, checked; it does not change once it has been read.

    `head` are its bytes, as received. `target` is the request target as received; `path` and
    `query` are its parts as bytes, not decoded, `path_text` is the path decoded. `length` is the
    body's length in bytes, 0 for none, CHUNKED for a chunked one. `notable`: some fields are for
    the forwarding policy, or have a `_` in their name. `fields` are the headers by name, while the
    head is being read. `line_end` is where the request line ends in `head`. `ordinary`: of
    HTTP/1.1, its connection persists, its answer may have content. `repeatable`: the next request
    of its connection may be compared with it. `scope` is a template of the scope, where the request
    has come again.
    """

    __slots__ = ("expects_continue", "fields", "head", "headers", "http11", "keep_alive", "length",
                 "line_end", "method", "notable", "ordinary", "path", "path_text", "query",
                 "repeatable", "scope", "target", "upgrade")  # fmt: skip

    head: bytes
    method: str
    target: bytes
    path: bytes
    path_text: str
    query: bytes
    http11: bool
    headers: Headers
    fields: dict[bytes, bytes]
    keep_alive: bool
    length: int
    notable: bool
    expects_continue: bool
    upgrade: bytes
    line_end: int
    ordinary: bool
    repeatable: bool
    scope: dict[str, Any] | None


def repeat_fields(request: Request, before: Request) -> None:
    """Set what the fields say of `request` to what the same ones said `before`."""
    request.headers = before.headers
    request.keep_alive = before.keep_alive
    request.length = before.length
    request.notable = before.notable
    request.expects_continue = before.expects_continue
    request.upgrade = before.upgrade


def accept_version(request: Request, version: bytes, head: bytes, *, any_minor: bool) -> bytes:
    """Take a version that is not 1.1; return the head as a parser of 1.1 and 1.0 knows it."""
    if version == b"HTTP/1.0":
        request.http11 = False
        return head
    match = match_version(version)
    if match is None:
        raise request_line_error(head)
    if match[1] != b"1":
        raise BadRequest(f"HTTP version {version[5:8].decode()} is not supported", 505)
    if not any_minor:
        raise BadRequest(f"HTTP version {version[5:8].decode()} is not served")
    end = head.find(b"\r\n")
    return head[: end - len(version)] + b"HTTP/1.1" + head[end:]


def check_host(host: bytes | None, http11: bool) -> None:
    """RFC 9112 section 3.2: one Host in HTTP/1.1, and a valid one."""
    if host is None:
        if http11:
            raise BadRequest("no Host field")
    elif not match_host(host):
        raise BadRequest("invalid Host field")


def read_other_target(request: Request, path: bytes) -> bytes:
    """Return the path of a target that is not in plain origin-form (RFC 9112 section 3.2)."""
    method, target = request.method, request.target
    if target == b"*" and method == "OPTIONS":
        return b"*"
    elif b"#" not in target and (match := _match_absolute(target)):
        authority = match[2]
        if not match_host(authority) or authority.startswith(b":"):
            raise BadRequest("invalid authority in the request target")
        _replace_host(request, authority)
        if match[3] is None and match[4] is None and method == "OPTIONS":
            return b"*"  # RFC 9112 section 3.2.4: what a proxy would have sent on
        return match[3] or b"/"
    raise BadRequest("invalid request target")


def _replace_host(request: Request, authority: bytes) -> None:
    """RFC 9112 section 3.2.2: an absolute target overrules the Host field."""
    request.headers = headers = request.headers.copy()  # which may be that of a known section
    for index, (name, _) in enumerate(headers):
        if name == b"host":
            headers[index] = (b"host", authority)
            return
    headers.append((b"host", authority))


def read_connection(request: Request, *, persist: bool) -> None:
    """Set whether the connection persists, and the upgrade (RFC 9110 7.6.1, RFC 9112 9.3)."""
    options = [
        option.strip(b" \t").lower()
        for value in field_values(request, b"connection")
        for option in value.split(b",")
    ]
    if b"close" in options:
        request.keep_alive = False
    elif b"keep-alive" in options:
        request.keep_alive = persist
    if b"upgrade" in options and request.http11:  # RFC 9110 section 7.8: not for HTTP/1.0
        request.upgrade = request.fields.get(b"upgrade", b"")


def field_values(request: Request, name: bytes) -> list[bytes]:
    """Return the values of all fields called `name`, in order."""
    return [value for field, value in request.headers if field == name]


def check_repeated(headers: Headers) -> None:
    names = [name for name, _ in headers]
    for single in SINGLE_FIELDS:
        if names.count(single) > 1:
            raise BadRequest(f"repeated {single.decode().title()} field")


def read_framing(request: Request) -> None:
    """Set the length of the body (RFC 9112 section 6) and the wish for a 100 (RFC 9110 10.1.1)."""
    fields = request.fields
    length = fields.get(b"content-length")
    if b"transfer-encoding" in fields:
        if length is not None:
            raise BadRequest("Content-Length beside Transfer-Encoding")
        _read_codings(request)
    elif length is not None:
        request.length = content_length(length)
    if request.http11 and b"expect" in fields:
        expectations = b",".join(field_values(request, b"expect"))
        if expectations.strip(b" \t").lower() != b"100-continue":
            raise BadRequest("unknown expectation", 417)
        request.expects_continue = request.length != 0


def content_length(value: bytes) -> int:
    """Return the number of a Content-Length; raises BadRequest (RFC 9112 section 6.3)."""
    if not value.isdigit() or len(value) > MAX_LENGTH_DIGITS:
        raise BadRequest("invalid Content-Length")
    return int(value)


def _read_codings(request: Request) -> None:
    """RFC 9112 section 6.1: nothing but a final, single `chunked` can be decoded."""
    if not request.http11:
        raise BadRequest("Transfer-Encoding in an HTTP/1.0 request")
    value = b",".join(field_values(request, b"transfer-encoding")).lower()
    codings = [coding.strip(b" \t") for coding in value.split(b",")]
    if codings == [b"chunked"]:
        request.length = CHUNKED
        return
    registered = (b"chunked", b"compress", b"deflate", b"gzip", b"x-compress", b"x-gzip")
    if codings.count(b"chunked") > 1 or not all(map(match_token, codings)):
        raise BadRequest("invalid Transfer-Encoding")
    if codings[-1] == b"chunked" or not any(coding in registered for coding in codings):
        raise BadRequest("transfer coding is not supported", 501)
    raise BadRequest("chunked is not the final transfer coding")


def request_line_error(line: bytes) -> BadRequest:
    """Return why `line` is no request line."""
    if line[:1] == b"\x16":
        return BadRequest("TLS handshake on a port without TLS")
    return BadRequest("malformed request line")


def method_error(method: bytes, target: bytes) -> BadRequest:
    """Return why a method that is not in METHODS is refused."""
    if method == b"CONNECT" and not _match_authority(target):
        return BadRequest("invalid request target")
    if match_token(method) and not _find_space(target):
        return BadRequest("method is not supported", 501)
    return BadRequest("malformed request line")
