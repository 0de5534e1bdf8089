"""Header sections that were found right before, known again although some values vary. Pure.

A client repeats its section to the byte, but for cookies, ids and the like. What those say means
nothing to the grammar nor to the server, as long as they have no control characters: with them cut
out, a section is right if it was before.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING, Final

from uvicorn_worker.http1.request import CHUNKED, content_length

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uvicorn_worker.asgi import Headers
    from uvicorn_worker.http1.request import Request

# Fields that differ from request to request, or are secret and long-lived. None of them may have a
# meaning to `request` or to a parser. Content-Length has one, and a place of its own.
VARYING: Final = frozenset({
    b"authorization", b"cookie", b"proxy-authorization", b"x-api-key", b"x-auth-token",
    b"x-csrf-token", b"x-csrftoken", b"x-xsrf-token", b"if-none-match", b"if-modified-since",
    b"range", b"referer", b"x-forwarded-for", b"forwarded", b"x-real-ip", b"x-request-id",
    b"x-correlation-id", b"x-request-start", b"traceparent", b"tracestate", b"cf-ray",
    b"cf-connecting-ip", b"x-amzn-trace-id", b"idempotency-key",
})  # fmt: skip

# As clients and proxies write them; in other spellings they do not vary. A pattern that ignores
# case takes twice as long.
_SPELLINGS: Final = sorted({
    *VARYING, *map(bytes.title, VARYING), b"content-length", b"Content-Length",
    b"X-Request-ID", b"X-Correlation-ID", b"X-Real-IP", b"X-CSRF-Token", b"X-CSRFToken",
    b"X-XSRF-TOKEN", b"CF-Ray", b"CF-Connecting-IP", b"X-API-Key",
})  # fmt: skip

# By their first letters: most lines need a look at these only.
_NAMES: Final = b"|".join(
    b"%b(?:%b)" % (first, b"|".join(re.escape(name[1:]) for name in names))
    for first, names in groupby(_SPELLINGS, lambda name: name[:1])
)
# One repetition only: peers choose how far a second one would have to go back.
_split: Final = re.compile(rb"\r\n(%b):([^\r]*)(?=\r\n)" % _NAMES).split

# RFC 9110 section 5.5: no control characters but the tab.
_LEGAL: Final = bytes({*range(32, 127), *range(128, 256), 9})

# Peers choose sections and values, so number and size are bounded.
MAX_KNOWN: Final = 256
MAX_SIZE: Final = 1024
MAX_SEEN: Final = 4096


class KnownSection:
    """What a section says, with places for the values that vary."""

    __slots__ = ("_headers", "_keep_alive", "_length", "_notable", "_places", "_sized")

    def __init__(self, request: Request, places: Sequence[int] = ()) -> None:
        """`places` are the indexes of the fields in `request.headers` that vary."""
        self._headers = request.headers.copy()
        self._length = request.length
        self._keep_alive = request.keep_alive
        self._notable = request.notable
        self._places = places
        self._sized: int | None = None
        for place in places:
            name, _ = self._headers[place]
            self._headers[place] = (name, b"")
            if name == b"content-length":
                self._sized = place

    def fill(self, values: Sequence[bytes]) -> Headers:
        """Return the headers with these values in their places."""
        headers = self._headers.copy()
        for place, value in zip(self._places, values):  # noqa: B905  # one each; the check costs half a zip
            headers[place] = (headers[place][0], value.strip(b" \t"))
        return headers

    def tell(self, request: Request, values: Sequence[bytes]) -> None:
        """Set what the fields say of `request`; raises BadRequest for a wrong Content-Length."""
        request.headers = headers = self.fill(values) if values else self._headers
        sized = self._sized
        request.length = self._length if sized is None else content_length(headers[sized][1])
        request.notable = self._notable
        request.keep_alive = self._keep_alive
        request.expects_continue = False
        request.upgrade = b""


class KnownSections:
    """The sections that came more than once: without what varies (`exact`), or but for that."""

    __slots__ = ("_known", "_seen", "exact")

    def __init__(self) -> None:
        self.exact: dict[bytes, KnownSection] = {}
        self._known: dict[tuple[bytes, ...], KnownSection] = {}
        self._seen: set[int] = set()

    def remember_exact(self, section: bytes, request: Request) -> None:
        """Keep a known section that has no values which vary, once it comes again."""
        if len(section) <= MAX_SIZE and self._comes_again(hash(section)):
            if len(self.exact) >= MAX_KNOWN:
                self.exact.clear()
            self.exact[section] = KnownSection(request)

    def find(self, section: bytes) -> tuple[KnownSection | None, Sequence[bytes]]:
        """Look up a section whatever the values that may vary; return those, too.

        It begins and ends with CRLF.
        """
        parts, values = _take_apart(section)
        known = self._known.get(parts)
        if known is not None and b"".join(values).translate(None, _LEGAL):
            known = None
        return known, values

    def remember(self, section: bytes, request: Request) -> None:
        """Keep a section of HTTP/1.1 that asks for nothing special, once it comes again.

        `request` has what it says.
        """
        if request.upgrade or request.length == CHUNKED or b"expect" in request.fields:
            return
        parts, _ = _take_apart(section)
        if sum(map(len, parts)) <= MAX_SIZE and self._comes_again(hash(parts)):
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[parts] = KnownSection(request, _places(parts))

    def _comes_again(self, mark: int) -> bool:
        """Return whether this hash was seen before; what comes only once costs no more."""
        if mark in self._seen:
            return True
        if len(self._seen) >= MAX_SEEN:
            self._seen.clear()
        self._seen.add(mark)
        return False


def _take_apart(section: bytes) -> tuple[tuple[bytes, ...], Sequence[bytes]]:
    """Return what stands between the varying fields and, in turn, their names; then the values.

    The former is the same for all sections that differ in values only.
    """
    pieces: list[bytes] = _split(section)
    values = pieces[2::3]
    del pieces[2::3]
    return tuple(pieces), values


def _places(parts: tuple[bytes, ...]) -> list[int]:
    """Return the indexes of the varying fields among all: each line begins with a CRLF."""
    places: list[int] = []
    lines = 0
    for between in parts[:-1:2]:
        lines += between.count(b"\r\n")
        places.append(lines + len(places))
    return places
