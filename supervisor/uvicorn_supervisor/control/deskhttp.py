"""HTTP/1.1 for questions to a supervisor: one request per connection, one answer. Sans-IO.

RFC 9112 as far as that needs it: a head of bounded size, content that is read and thrown away, an
answer with its length and `Connection: close`. Parameters come in the query.
"""

from __future__ import annotations

import http
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import httptools

# Prometheus and browsers send a few hundred bytes; cookies of other ports of localhost come too.
LONGEST_REQUEST: Final = 16 * 1024  # bytes, content included

TEXT: Final = "text/plain; charset=utf-8"


class Request(NamedTuple):
    """What somebody asks; names of `headers` are lower-case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]


class Answer(NamedTuple):
    """What somebody is answered."""

    status: int
    content: bytes
    content_type: str = TEXT
    headers: tuple[tuple[str, str], ...] = ()


class Refused(Exception):
    """A request that is not read on; `answer` says why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.answer = refusal(status, why)


def refusal(status: int, why: str) -> Answer:
    """Return an answer that says in one line why there is no other."""
    return Answer(status, f"{why}\n".encode())


class RequestReader:
    """Reads one request."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._size = 0
        self._url = b""
        self._headers: dict[str, str] = {}
        self._complete = False

    def feed(self, data: bytes) -> Request | None:
        """Take the bytes that came; return the request when it is complete.

        Raises:
            Refused: it is malformed or too long.
        """
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # nothing here changes the protocol: the request is answered as it is
        except httptools.HttpParserError as exc:
            if not self._complete:  # what follows the first request is nobody's business
                raise Refused(400, f"malformed request: {exc}") from exc
        if self._complete:
            return self._request()
        if self._size > LONGEST_REQUEST:
            raise Refused(413, f"requests may have {LONGEST_REQUEST} bytes")
        return None

    def _request(self) -> Request:
        try:
            url = urlsplit(self._url.decode("ascii"))
        except ValueError as exc:
            raise Refused(400, "malformed target") from exc
        method = self._parser.get_method().decode("ascii")
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        return Request(method, url.path, query, self._headers)

    # -- what httptools calls

    def on_url(self, url: bytes) -> None:
        if not self._complete:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._complete:
            self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_message_complete(self) -> None:
        self._complete = True


def encode(answer: Answer, *, head_only: bool = False) -> bytes:
    """Return an answer as it is sent; `head_only`: to a HEAD request (RFC 9110 section 9.3.2)."""
    lines = [
        f"HTTP/1.1 {answer.status} {http.HTTPStatus(answer.status).phrase}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.content)}",
        "Cache-Control: no-store",
        *(f"{name}: {value}" for name, value in answer.headers),
        "Connection: close",
    ]
    head = "\r\n".join((*lines, "", "")).encode("latin-1")
    return head if head_only else head + answer.content
