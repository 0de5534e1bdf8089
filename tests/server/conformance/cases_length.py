"""Content-Length: one number in decimal digits, or nothing.

RFC 9110 section 8.6, RFC 9112 section 6.3.
"""

from __future__ import annotations

from tests.server.conformance.harness import Want, accepted, either, get, head, post, refused

LENGTH = "RFC 9110 section 8.6"
FRAMING = "RFC 9112 section 6.3"

HELLO = Want(method="POST", body=b"hello")
EMPTY = Want(method="POST")


def lengths(*values: str, name: str = "Content-Length") -> bytes:
    """Return a POST with a line for each value as it stands, and `hello` behind it."""
    return post("hello", *(f"{name}:{value}" for value in values))


GOOD = [
    accepted("length", LENGTH, lengths(" 5"), HELLO),
    accepted("length-without-space", LENGTH, lengths("5"), HELLO),
    accepted("length-with-space-around", LENGTH, lengths(" \t 5 \t"), HELLO),
    accepted("length-lower-case-name", LENGTH, lengths(" 5", name="content-length"), HELLO),
    accepted("length-upper-case-name", LENGTH, lengths(" 5", name="CONTENT-LENGTH"), HELLO),
    accepted("length-zero", LENGTH, post("", "Content-Length: 0"), EMPTY),
    accepted("length-missing", FRAMING, post(""), EMPTY),
    accepted(
        "length-of-get", FRAMING, get("/", "Content-Length: 5") + b"hello", Want(body=b"hello")
    ),
    accepted(
        "length-of-delete",
        FRAMING,
        head("DELETE / HTTP/1.1", "Content-Length: 5") + b"hello",
        Want(method="DELETE", body=b"hello"),
    ),
    accepted(
        "length-of-head",
        FRAMING,
        head("HEAD / HTTP/1.1", "Content-Length: 5") + b"hello",
        Want(method="HEAD", body=b"hello"),
    ),
    accepted(
        "length-of-options",
        FRAMING,
        head("OPTIONS / HTTP/1.1", "Content-Length: 5") + b"hello",
        Want(method="OPTIONS", body=b"hello"),
    ),
    accepted(
        "length-in-1.0",
        FRAMING,
        head("POST / HTTP/1.0", "Content-Length: 5") + b"hello",
        Want(method="POST", body=b"hello", version="1.0"),
        closes=True,
    ),
    accepted(
        "length-and-binary-body",
        FRAMING,
        post(bytes(range(256)), "Content-Length: 256"),
        Want(method="POST", body=bytes(range(256))),
    ),
    accepted(
        "length-and-body-like-a-request",
        FRAMING,
        post("GET /x HTTP/1.1\r\nHost: a\r\n\r\n", "Content-Length: 28"),
        Want(method="POST", body=b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"),
    ),
    accepted(
        "length-and-line-ends-as-body",
        FRAMING,
        post("\r\n\r\n\n", "Content-Length: 5"),
        Want(method="POST", body=b"\r\n\r\n\n"),
    ),
    accepted(
        "length-of-200000",
        FRAMING,
        post(b"0123456789" * 20000, "Content-Length: 200000"),
        Want(method="POST", body=b"0123456789" * 20000),
    ),
    accepted(
        "length-name-with-underscore-is-another-field",
        "RFC 9110 section 5.1",
        post("", "Content_Length: 38"),
        EMPTY,
    ),
    accepted(
        "length-name-with-prefix-is-another-field",
        "RFC 9110 section 5.1",
        post("", "X-Content-Length: 38"),
        EMPTY,
    ),
]

EDGE = [
    either("length-leading-zero", LENGTH, lengths(" 05"), HELLO),
    either("length-leading-zeros", LENGTH, lengths(" 0000000000000000005"), HELLO),
    either("length-two-zeros", LENGTH, post("", "Content-Length: 00"), EMPTY),
]

BAD = [
    *(
        refused(f"length-{name}", LENGTH, lengths(value))
        for name, value in [
            ("empty", ""),
            ("blank", " "),
            ("plus", " +5"),
            ("minus", " -5"),
            ("minus-zero", " -0"),
            ("minus-one", " -1"),
            ("plus-zero", " +0"),
            ("hexadecimal", " 0x5"),
            ("hexadecimal-digits", " a"),
            ("octal", " 0o5"),
            ("fraction", " 5.0"),
            ("exponent", " 5e0"),
            ("underscore", " 5_0"),
            ("digit-group", " 1,000"),
            ("word", " five"),
            ("letter-behind", " 5b"),
            ("letter-before", " b5"),
            ("semicolon", " 5;"),
            ("parameter", " 5; q=1"),
            ("quotes", ' "5"'),
            ("single-quotes", " '5'"),
            ("space-inside", " 5 5"),
            ("space-after-sign", " - 5"),
            ("tab-inside", " 5\t5"),
            ("nul-behind", " 5\x00"),
            ("nul-before", " \x005"),
            ("vertical-tab-before", " \x0b5"),
            ("form-feed-behind", " 5\x0c"),
            ("no-break-space-before", " \xa05"),
            ("superscript", " \xb2"),
            ("utf-8-digit", " \xd9\xa5"),
            ("list-of-equals", " 5, 5"),
            ("list-of-equals-without-space", " 5,5"),
            ("list-of-different", " 5, 6"),
            ("list-with-zero", " 0, 5"),
            ("list-with-empty-end", " 5,"),
            ("list-with-empty-start", " ,5"),
            ("list-of-empties", " ,"),
            ("comment", " 5 (five)"),
            ("infinity", " inf"),
        ]
    ),
    *(
        refused(f"length-{name}", f"{LENGTH}: no overflow", lengths(f" {number}"), 400, 413)
        for name, number in [
            ("2-to-64", 2**64),
            ("2-to-64-and-5", 2**64 + 5),
            ("2-to-128-and-5", 2**128 + 5),
            ("of-30-digits", 10**30),
            ("of-400-digits", int("5" * 400)),
        ]
    ),
    refused("length-2-to-32-times-2-to-32-and-5", LENGTH, lengths(f" {2**96 + 5}"), 400, 413),
    refused("length-twice-the-same", FRAMING, lengths(" 5", " 5")),
    refused("length-twice-different", FRAMING, lengths(" 5", " 43")),
    refused("length-twice-zero-first", FRAMING, lengths(" 0", " 5")),
    refused("length-twice-zero-last", FRAMING, lengths(" 5", " 0")),
    refused("length-twice-one-empty", FRAMING, lengths(" 5", "")),
    refused("length-twice-one-bad", FRAMING, lengths(" 5", " +5")),
    refused("length-three-times", FRAMING, lengths(" 5", " 5", " 5")),
    refused(
        "length-twice-in-other-case",
        FRAMING,
        post("hello", "Content-Length: 5", "X: y", "content-length: 6"),
    ),
    refused("length-bad-in-get", FRAMING, get("/", "Content-Length: x")),
    refused("length-bad-in-1.0", FRAMING, head("POST / HTTP/1.0", "Content-Length: +5") + b"hello"),
    refused(
        "length-twice-in-1.0",
        FRAMING,
        head("POST / HTTP/1.0", *["Content-Length: 5"] * 2) + b"hello",
    ),
    refused("length-then-space", "RFC 9112 section 5.1", lengths(" 5", name="Content-Length ")),
    refused("length-then-tab", "RFC 9112 section 5.1", lengths(" 5", name="Content-Length\t")),
    refused("length-after-space", "RFC 9112 section 2.2", lengths(" 5", name=" Content-Length")),
    refused("length-then-nul", "RFC 9112 section 5.1", lengths(" 5", name="Content-Length\0")),
    refused(
        "length-then-vertical-tab", "RFC 9112 section 5.1", lengths(" 5", name="Content-Length\x0b")
    ),
    refused("length-folded", "RFC 9112 section 5.2", lengths("\r\n 5")),
    refused("length-folded-further", "RFC 9112 section 5.2", lengths(" 5\r\n 5")),
    refused(
        "length-after-bare-lf", "RFC 9112 section 2.2", post("hello", "X: y\nContent-Length: 5")
    ),
    refused(
        "length-after-bare-cr", "RFC 9112 section 2.2", post("hello", "X: y\rContent-Length: 5")
    ),
]

CASES = [*GOOD, *EDGE, *BAD]
