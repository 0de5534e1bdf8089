"""Both parsers under the same rules: equal requests or equal refusals, however the bytes come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from uvicorn_worker.errors import BadRequest
from uvicorn_worker.http1.body import ChunkedDecoder
from uvicorn_worker.http1.h11_parser import H11Parser
from uvicorn_worker.http1.httptools_parser import HttptoolsParser
from uvicorn_worker.http1.partial import PartialHead
from uvicorn_worker.http1.reader import RequestReader
from uvicorn_worker.serverconfig import ServerConfig

if TYPE_CHECKING:
    from uvicorn_worker.http1.request import Request

FIELDS = (
    "method",
    "target",
    "path",
    "query",
    "http11",
    "headers",
    "keep_alive",
    "length",
    "expects_continue",
    "upgrade",
)

GOOD_HEADS = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /a%20b?c=d&e HTTP/1.1\r\nHost: a:80\r\nAccept: */*\r\nX-Empty:\r\nCookie: a=b\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\n",
    b"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n",
    b"GET http://b/c?d HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"DELETE /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
]

# What mutations put in: the bytes that framing depends on, and some that it does not.
MEANINGFUL = [bytes([byte]) for byte in b'\r\n\t \0:;,/?#*%"\\()<>\x7f\x80\xffaZ019+-_'] + [
    b"\r\n",
    b"\r\n\r\n",
    b"\r\n ",
    b"Host: b\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: 03",
    b"Transfer-Encoding: chunked\r\n",
    b"transfer-encoding: gzip, chunked\r\n",
    b"Connection: close\r\n",
    b"HTTP/1.1",
    b"HTTP/2.0",
]


def outcome(
    reader: RequestReader, head: bytes, before: Request | None = None
) -> tuple[object, ...]:
    """Return what `head` means: the request's attributes, or the refusal's status."""
    try:
        request = reader.read(head, before)
    except BadRequest as exc:
        return ("refused", exc.status)
    return attributes(request)


def attributes(request: Request) -> tuple[object, ...]:
    return tuple(getattr(request, name) for name in FIELDS)


def readers(**config: object) -> tuple[RequestReader, RequestReader]:
    settings = ServerConfig(**config)  # type: ignore[arg-type]  # names and values are the tests' own
    return RequestReader(HttptoolsParser(), settings), RequestReader(H11Parser(), settings)


def complete(mutated: bytes) -> bytes | None:
    """Return the part of `mutated` that a connection would take for a head."""
    end = mutated.find(b"\r\n\r\n") + 4
    head = mutated[:end].lstrip(b"\r\n") if end > 3 else b""
    return head if head.endswith(b"\r\n\r\n") else None


@pytest.mark.parametrize("head", GOOD_HEADS)
def test_good_heads_mean_the_same_to_both_parsers(head: bytes) -> None:
    first, second = (outcome(reader, head) for reader in readers())
    assert first == second
    assert first[0] != "refused"


@pytest.mark.parametrize("head", GOOD_HEADS)
def test_a_head_means_the_same_every_time(head: bytes) -> None:
    """Lines and header sections that were seen before are looked up."""
    for reader in readers():
        first = outcome(reader, head)
        assert [outcome(reader, head) for _ in range(6)] == [first] * 6


VARYING_HEAD = (
    b"POST /x HTTP/1.1\r\nHost: a\r\nCookie: %b\r\nAccept: */*\r\ncontent-length:%b\r\n"
    b"X-Request-ID:%b\r\nCOOKIE: as it is\r\n\r\n"
)


@pytest.mark.parametrize(
    ("cookie", "length", "number"),
    [
        (b"a=b", b" 5", b"1"),
        (b"c=d; e=f", b" 70000 ", b"\t 2\t"),
        (b"", b" 0", b""),
        (b"\xff\t: x", b"12", b" a  b "),
        (b"a", b" +5", b"1"),
        (b"a", b"", b"1"),
        (b"a", b" 5, 5", b"1"),
        (b"a", b" 00000000000000000005", b"1"),
        (b"a\0b", b" 5", b"1"),
        (b"a", b" 5", b"\x7f"),
        (b"a\rb", b" 5", b"1"),
        (b"a\nb: c", b" 5", b"1"),
        (b"a\r\n folded", b" 5", b"1"),
        (b"a\r\nContent-Length: 6", b" 5", b"1"),
        (b"a\r\nTransfer-Encoding: chunked", b" 5", b"1"),
        (b"a\r\nExpect: 100-continue", b" 5", b"1"),
        (b"a\r\nConnection: close", b" 5", b"1"),
        (b" " * 4000 + b"\0", b" 5", b"1"),
    ],
)
def test_values_that_vary_in_a_known_section_mean_what_they_mean_in_a_new_one(
    cookie: bytes, length: bytes, number: bytes
) -> None:
    head = VARYING_HEAD % (cookie, length, number)
    for knowing, new in zip(readers(), readers(), strict=True):
        for turn in range(6):
            knowing.read(VARYING_HEAD % (b"x=%d" % turn, b" %d" % turn, b" %d" % turn))
        expected = outcome(new, head)
        assert [outcome(knowing, head) for _ in range(4)] == [expected] * 4


@pytest.mark.parametrize("head", GOOD_HEADS)
@pytest.mark.parametrize("before", GOOD_HEADS[:3])
def test_the_request_before_changes_nothing(before: bytes, head: bytes) -> None:
    """Its fields may be the same, or end with the same."""
    line_end = before.find(b"\r\n")
    for same, new in zip(readers(), readers(), strict=True):
        again = same.read(before)
        assert again.repeatable
        fields = before[line_end:]
        for other in (head, b"HEAD /other HTTP/1.1" + fields, b"GET * HTTP/1.1" + fields[3:]):
            assert outcome(same, other, again) == outcome(new, other)


def test_a_known_section_behind_a_wrong_request_line_is_refused() -> None:
    section = b"\r\nHost: a\r\nAccept: */*\r\n\r\n"
    for reader in readers():
        for _ in range(3):
            assert reader.read(b"GET / HTTP/1.1" + section).method == "GET"
        for line in (
            b"GET /\x01 HTTP/1.1",
            b"GET /\xff HTTP/1.1",
            b"G\x00T / HTTP/1.1",
            b"GET / HTTP/1.3",
        ):
            with pytest.raises(BadRequest):
                reader.read(line + section)


@st.composite
def mutated_heads(draw: st.DrawFn) -> bytes:
    head = bytearray(draw(st.sampled_from(GOOD_HEADS)))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(head)))
        removed = draw(st.integers(0, 3))
        head[start : start + removed] = draw(st.sampled_from([b"", *MEANINGFUL]))
    return bytes(head)


@settings(max_examples=1500, deadline=None)
@given(mutated_heads())
@example(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n")
@example(b"GET / HTTP/1.1\nHost: a\r\n\r\n")
def test_a_mutated_head_means_the_same_to_both_or_is_refused(mutated: bytes) -> None:
    head = complete(mutated)
    if head is None:
        return
    first, second = (outcome(reader, head) for reader in readers())
    if "refused" not in (first[0], second[0]):
        assert first == second


@settings(max_examples=300, deadline=None)
@given(mutated_heads(), st.lists(st.integers(1, 40), max_size=12))
def test_a_head_means_the_same_however_it_is_split(mutated: bytes, sizes: list[int]) -> None:
    head = complete(mutated)
    if head is None:
        return
    reader, _ = readers()
    whole = outcome(reader, head)
    split = split_outcome(reader, head, sizes)
    # A head with several faults may be refused for another one when it comes in parts.
    assert split == whole or (split[0] == whole[0] == "refused")


def split_outcome(reader: RequestReader, head: bytes, sizes: list[int]) -> tuple[object, ...]:
    partial = PartialHead(reader)
    position = 0
    try:
        for size in [*sizes, len(head)]:
            found = partial.add(head[position : position + size])
            position += size
            if found is not None:
                assert found[0] + found[1] == head[:position]
                return outcome(reader, found[0])
    except BadRequest as exc:
        return ("refused", exc.status)
    pytest.fail("the head did not end")


@st.composite
def chunked_bodies(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Return content and a chunked coding of it."""
    parts = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=5))
    extension = draw(st.sampled_from([b"", b";a", b";a=b", b' ; a="b\\"c"']))
    trailer = draw(st.sampled_from([b"", b"X: y\r\n", b"A: b\r\nC:\r\n"]))
    coded = b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts)
    return b"".join(parts), coded + b"0\r\n" + trailer + b"\r\n"


@settings(max_examples=500, deadline=None)
@given(chunked_bodies(), st.binary(max_size=5), st.lists(st.integers(1, 30), max_size=12))
def test_chunks_mean_the_same_however_they_are_split(
    body: tuple[bytes, bytes], behind: bytes, sizes: list[int]
) -> None:
    content, coded = body
    decoder = ChunkedDecoder(max_fields=10, max_field_size=100)
    data, position, got, rest = coded + behind, 0, b"", b""
    for size in [*sizes, len(data)]:
        part = data[position : position + size]
        position += size
        if decoder.ended:
            rest += part
            continue
        got += decoder.feed(part)
        if decoder.ended:
            rest = decoder.rest
    assert decoder.ended
    assert (got, rest) == (content, behind)
