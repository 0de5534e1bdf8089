"""The chunked coding: sizes, extensions, terminators and trailers.

RFC 9112 section 7.1.
"""

from __future__ import annotations

from tests.server.conformance.harness import Case, Want, accepted, either, post, refused

CHUNK = "RFC 9112 section 7.1"
EXTENSION = "RFC 9112 section 7.1.1"
TRAILER = "RFC 9112 section 7.1.2"

HELLO = Want(method="POST", body=b"hello")
END = "0\r\n\r\n"


def chunked(text: str) -> bytes:
    """Return a POST with a chunked body as it stands."""
    return post(text, "Transfer-Encoding: chunked")


def good(name: str, rule: str, text: str, body: bytes = b"hello", *without: str) -> Case:
    """A chunked body that has to be understood."""
    return accepted(name, rule, chunked(text), Want(method="POST", body=body, without=without))


def bad(name: str, rule: str, text: str, *statuses: int) -> Case:
    """A chunked body that has to be refused."""
    return refused(name, rule, chunked(text), *statuses)


def choice(name: str, rule: str, text: str, *statuses: int) -> Case:
    """A chunked body that is refused, or understood as `hello`."""
    return either(name, rule, chunked(text), HELLO, statuses=statuses)


SIZES = [
    good("one-chunk", CHUNK, "5\r\nhello\r\n" + END),
    good("two-chunks", CHUNK, "2\r\nhe\r\n3\r\nllo\r\n" + END),
    good("chunks-of-one-byte", CHUNK, "".join(f"1\r\n{c}\r\n" for c in "hello") + END),
    good("size-upper-case", CHUNK, "A\r\n0123456789\r\n" + END, b"0123456789"),
    good("size-lower-case", CHUNK, "a\r\n0123456789\r\n" + END, b"0123456789"),
    good("size-of-two-digits", CHUNK, "1f\r\n" + "x" * 31 + "\r\n" + END, b"x" * 31),
    good("size-leading-zeros", CHUNK, "0005\r\nhello\r\n" + END),
    good("last-chunk-of-zeros", CHUNK, "5\r\nhello\r\n000\r\n\r\n"),
    good("data-of-line-ends", CHUNK, "4\r\n\r\n\r\n\r\n" + END, b"\r\n\r\n"),
    good("data-like-a-last-chunk", CHUNK, "7\r\n\r\n0\r\n\r\n\r\n" + END, b"\r\n0\r\n\r\n"),
    good("data-of-nul", CHUNK, "2\r\n\0\0\r\n" + END, b"\0\0"),
    good("1000-chunks", CHUNK, "1\r\nx\r\n" * 1000 + END, b"x" * 1000),
    good("chunk-of-100000", CHUNK, "186A0\r\n" + "y" * 100000 + "\r\n" + END, b"y" * 100000),
    choice("size-of-many-zeros", CHUNK, "0" * 30 + "5\r\nhello\r\n" + END),
    choice("size-then-space", CHUNK, "5 \r\nhello\r\n" + END),
    choice("size-then-tab", CHUNK, "5\t\r\nhello\r\n" + END),
    *(
        bad(f"size-{name}", CHUNK, f"{size}\r\nhello\r\n" + END)
        for name, size in [
            ("empty", ""),
            ("blank", " "),
            ("minus", "-5"),
            ("plus", "+5"),
            ("hexadecimal-prefix", "0x5"),
            ("underscore", "0_5"),
            ("not-a-digit", "g"),
            ("digit-then-letter", "5g"),
            ("digit-then-h", "5h"),
            ("after-space", " 5"),
            ("after-tab", "\t5"),
            ("comma", "5,"),
            ("dot", "5.0"),
            ("quoted", '"5"'),
            ("nul-behind", "5\0"),
            ("nul-before", "\x005"),
            ("vertical-tab-behind", "5\x0b"),
            ("two", "5 5"),
            ("8-bit", "\xb2"),
            ("only-an-extension", ";a=b"),
        ]
    ),
    *(
        bad(f"size-{name}", f"{CHUNK}: no overflow", f"{size}\r\nhello\r\n" + END, 400, 413)
        for name, size in [
            ("of-17-digits", "F" * 17),
            ("2-to-64-and-5", "10000000000000005"),
            ("2-to-64", "10000000000000000"),
            ("of-32-digits", "f" * 32),
            ("minus-one-in-64-bits", "FFFFFFFFFFFFFFFFF5"),
        ]
    ),
]

ENDS = [
    bad("size-ended-by-lf", CHUNK, "5\nhello\r\n" + END),
    bad("size-ended-by-cr", CHUNK, "5\rhello\r\n" + END),
    bad("size-ended-by-cr-cr-lf", CHUNK, "5\r\r\nhello\r\n" + END),
    bad("data-ended-by-lf", CHUNK, "5\r\nhello\n" + END),
    bad("data-ended-by-cr", CHUNK, "5\r\nhello\r" + END),
    bad("data-ended-by-nothing", CHUNK, "5\r\nhello" + END),
    bad("data-ended-by-other-bytes", CHUNK, "5\r\nhelloXX" + END),
    bad("data-ended-by-spaces", CHUNK, "5\r\nhello  \r\n" + END),
    bad("data-ended-by-two-line-ends", CHUNK, "5\r\nhello\r\n\r\n" + END),
    bad("data-longer-than-size", CHUNK, "4\r\nhello\r\n" + END),
    bad("data-shorter-than-size", CHUNK, "6\r\nhello\r\n" + END),
    bad("last-chunk-ended-by-lf", CHUNK, "5\r\nhello\r\n0\n\r\n"),
    bad("last-chunk-and-end-by-lf", CHUNK, "5\r\nhello\r\n0\n\n"),
    bad("end-by-lf", CHUNK, "5\r\nhello\r\n0\r\n\n"),
    bad("end-by-cr-alone", CHUNK, "5\r\nhello\r\n0\r\n\rX"),
    bad("end-by-other-bytes", CHUNK, "5\r\nhello\r\n0\r\nXX\r\n\r\n"),
    bad("last-chunk-minus-zero", CHUNK, "5\r\nhello\r\n-0\r\n\r\n"),
    bad("last-chunk-hexadecimal-prefix", CHUNK, "5\r\nhello\r\n0x0\r\n\r\n"),
]

EXTENSIONS = [
    good("extension", EXTENSION, "5;a=b\r\nhello\r\n" + END),
    good("extension-without-value", EXTENSION, "5;a\r\nhello\r\n" + END),
    good("extensions-many", EXTENSION, "5;a=b;c;d=e\r\nhello\r\n" + END),
    good("extension-quoted", EXTENSION, '5;a="b c"\r\nhello\r\n' + END),
    good("extension-quoted-semicolon", EXTENSION, '5;a="b;c"\r\nhello\r\n' + END),
    good("extension-quoted-escape", EXTENSION, '5;a="b\\"c"\r\nhello\r\n' + END),
    good("extension-of-last-chunk", EXTENSION, "5\r\nhello\r\n0;a=b\r\n\r\n"),
    choice("extension-after-space", f"{EXTENSION}: BWS", "5 ;a=b\r\nhello\r\n" + END),
    choice("extension-with-spaces", f"{EXTENSION}: BWS", "5 ; a = b\r\nhello\r\n" + END),
    choice("extension-after-tab", f"{EXTENSION}: BWS", "5\t;\ta=b\r\nhello\r\n" + END),
    choice("extension-empty", EXTENSION, "5;\r\nhello\r\n" + END),
    choice("extension-without-name", EXTENSION, "5;=b\r\nhello\r\n" + END),
    choice("extension-quoted-open", EXTENSION, '5;a="b\r\nhello\r\n' + END),
    choice("extension-8-bit", EXTENSION, "5;a=\xe9\r\nhello\r\n" + END),
    bad("extension-with-lf", EXTENSION, "5;a\nb\r\nhello\r\n" + END),
    bad("extension-ended-by-lf", EXTENSION, "5;a=b\nhello\r\n" + END),
    bad("extension-empty-ended-by-lf", EXTENSION, "5;\nhello\r\n" + END),
    bad("extension-with-cr", EXTENSION, "5;a\rb\r\nhello\r\n" + END),
    bad("extension-ended-by-cr-cr-lf", EXTENSION, "5;a\r\r\nhello\r\n" + END),
    bad("extension-with-nul", EXTENSION, "5;a=\0\r\nhello\r\n" + END),
    bad("extension-with-control", EXTENSION, "5;a=\x01\r\nhello\r\n" + END),
    bad("extension-quoted-line-end", EXTENSION, '5;a="\r\n"\r\nhello\r\n' + END),
    bad("extension-of-last-chunk-with-lf", EXTENSION, "5\r\nhello\r\n0;a\nb\r\n\r\n"),
    bad(
        "extension-of-20000-bytes",
        "bounded",
        f"5;a={'b' * 20000}\r\nhello\r\n" + END,
        400,
        413,
        431,
    ),
    bad(
        "extensions-of-200000-bytes-in-all",
        "bounded",
        f"1;a={'b' * 2000}\r\nx\r\n" * 100 + END,
        *(400, 413, 431),
    ),
]

TRAILERS = [
    good("trailer", TRAILER, "5\r\nhello\r\n0\r\nX-T: v\r\n\r\n", b"hello", "x-t"),
    good(
        "trailers", TRAILER, "5\r\nhello\r\n0\r\nX-T: v\r\nX-U: w\r\n\r\n", b"hello", "x-t", "x-u"
    ),
    good("trailer-empty-value", TRAILER, "5\r\nhello\r\n0\r\nX-T:\r\n\r\n", b"hello", "x-t"),
    good("trailer-of-empty-body", TRAILER, "0\r\nX-T: v\r\n\r\n", b"", "x-t"),
    *(
        either(
            f"trailer-{name}",
            "RFC 9110 section 6.5.1: not merged",
            chunked(f"5\r\nhello\r\n0\r\n{line}\r\n\r\n"),
            Want(method="POST", body=b"hello", without=(without,)),
        )
        for name, line, without in [
            ("content-length", "Content-Length: 38", "content-length"),
            ("authorization", "Authorization: Basic YTpi", "authorization"),
            ("cookie", "Cookie: a=b", "cookie"),
            ("forwarded-for", "X-Forwarded-For: 1.2.3.4", "x-forwarded-for"),
            ("connection", "Connection: close", "connection"),
            ("expect", "Expect: 100-continue", "expect"),
            ("upgrade", "Upgrade: websocket", "upgrade"),
        ]
    ),
    choice(
        "trailer-transfer-encoding",
        "RFC 9110 section 6.5.1",
        "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    choice("trailer-host", "RFC 9110 section 6.5.1", "5\r\nhello\r\n0\r\nHost: b\r\n\r\n"),
    *(
        bad(f"trailer-{name}", "RFC 9112 section 5", f"5\r\nhello\r\n0\r\n{lines}\r\n\r\n")
        for name, lines in [
            ("then-space", "X-T : v"),
            ("after-space", " X-T: v"),
            ("folded", "X-T: v\r\n w"),
            ("without-colon", "X-T"),
            ("without-name", ": v"),
            ("with-nul", "X-T: a\0b"),
            ("with-control", "X-T: a\x01b"),
            ("with-bare-cr", "X-T: a\rb"),
            ("with-bare-lf", "X-T: a\nb"),
            ("name-with-nul", "X\0T: v"),
            ("name-with-at", "X@T: v"),
            ("name-8-bit", "X\xe9: v"),
            ("like-a-request", "GET /x HTTP/1.1"),
        ]
    ),
    bad("trailer-ended-by-lf", "RFC 9112 section 2.2", "5\r\nhello\r\n0\r\nX-T: v\n\r\n"),
    bad("trailers-ended-by-lf", "RFC 9112 section 2.2", "5\r\nhello\r\n0\r\nX-T: v\r\n\n"),
    bad("trailer-of-20000-bytes", "bounded", f"0\r\nX-T: {'v' * 20000}\r\n\r\n", 400, 413, 431),
    bad("trailers-of-1000-lines", "bounded", "0\r\n" + "X-T: v\r\n" * 1000 + "\r\n", 400, 413, 431),
]

CASES = [*SIZES, *ENDS, *EXTENSIONS, *TRAILERS]
