"""The chunked decoder: what it refuses, and how much it takes."""

from __future__ import annotations

import pytest

from uvicorn_worker.errors import BadRequest
from uvicorn_worker.http1 import body
from uvicorn_worker.http1.body import ChunkedDecoder


def feed(parts: list[bytes]) -> None:
    decoder = ChunkedDecoder(max_fields=3, max_field_size=50)
    for part in parts:
        decoder.feed(part)


def decode(data: bytes) -> bytes:
    decoder = ChunkedDecoder(max_fields=3, max_field_size=50)
    content = b"".join(decoder.feed(data[i : i + 1]) for i in range(len(data)))
    assert decoder.ended
    whole = ChunkedDecoder(max_fields=3, max_field_size=50)
    assert whole.feed(data) == content
    return content


@pytest.mark.parametrize(
    ("data", "content"),
    [
        (b"0\r\n\r\n", b""),
        (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
        (b"A\r\n0123456789\r\n00\r\n\r\n", b"0123456789"),
        (b"1\r\n\r\r\n1\r\n\n\r\n0\r\n\r\n", b"\r\n"),
        (b'1;a;b=c ; d = "e;\\"f"\r\nx\r\n0;z\r\n\r\n', b"x"),
        (b"1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n", b"x"),
    ],
)
def test_content_of_a_chunked_body(data: bytes, content: bytes) -> None:
    assert decode(data) == content


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b" 3\r\nabc\r\n",
        b"3 \r\nabc\r\n",
        b"0x3\r\nabc\r\n",
        b"-1\r\n",
        b"+3\r\nabc\r\n",
        b"3\nabc\r\n",
        b"3\rabc\r\n",
        b"g\r\n",
        b"3;\r\nabc\r\n",
        b"3;a b\r\nabc\r\n",
        b'3;a="b\r\nabc\r\n',
        b"3;a\x00\r\nabc\r\n",
        b"3\r\nabcd\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"3\r\nabcX",
        b"11111111111111111\r\n",
        b"0\r\nA b\r\n\r\n",
        b"0\r\nA : b\r\n\r\n",
        b"0\r\n b: c\r\n\r\n",
        b"0\r\nA: b\n\r\n",
        b"0\r\n\n",
        b"0\r\nA: b\x00\r\n\r\n",
        b"0\r\nGET / HTTP/1.1\r\n\r\n",
    ],
)
def test_malformed_chunks_are_refused(data: bytes) -> None:
    for step in (1, len(data)):
        parts = [data[start : start + step] for start in range(0, len(data), step)]
        with pytest.raises(BadRequest, match="chunk"):
            feed([*parts, b"\r\n"])  # what is not wrong yet is so with an empty line here


@pytest.mark.parametrize(
    "data", [b"0\r\n" + b"A: b\r\n" * 4 + b"\r\n", b"0\r\nA: " + b"b" * 50 + b"\r\n\r\n"]
)
def test_large_trailer_sections_are_refused_with_431(data: bytes) -> None:
    with pytest.raises(BadRequest) as refusal:
        decode(data)
    assert refusal.value.status == 431


def test_extensions_are_limited_for_the_whole_body() -> None:
    chunk = b"1;" + b"a" * 1000 + b"\r\nx\r\n"
    with pytest.raises(BadRequest, match="extensions"):
        feed([chunk] * (body.MAX_EXTENSIONS // 1000 + 1))


def test_an_endless_size_line_is_refused() -> None:
    with pytest.raises(BadRequest):
        feed([b"0"] * (body.MAX_SIZE_LINE + 2))
