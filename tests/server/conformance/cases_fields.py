"""Field lines: names, colons, values, folding and the ends of lines.

RFC 9112 sections 2.2 and 5, RFC 9110 sections 5.1, 5.5 and 5.6.
"""

from __future__ import annotations

from tests.server.conformance.harness import Want, accepted, either, get, refused

SYNTAX = "RFC 9112 section 5.1"
NAME = "RFC 9110 section 5.1"
VALUE = "RFC 9110 section 5.5"
FOLD = "RFC 9112 section 5.2"
LINES = "RFC 9112 section 2.2"


def want(name: str, value: str) -> Want:
    """Return a GET of `/` with this field in the scope."""
    return Want(fields=((name, value),))


VALUES = [
    *(
        accepted(f"value-{name}", VALUE, get("/", line), want("x", value))
        for name, line, value in [
            ("plain", "X: y", "y"),
            ("without-space", "X:y", "y"),
            ("with-tab-before", "X:\ty", "y"),
            ("with-space-around", "X:  \t y \t ", "y"),
            ("empty", "X:", ""),
            ("blank", "X:   ", ""),
            ("with-colons", "X: a:b:c", "a:b:c"),
            ("with-colon-first", "X::y", ":y"),
            ("with-inner-space", "X: a  b\tc", "a  b\tc"),
            ("with-obs-text", "X: \x80\xe9\xff", "\x80\xe9\xff"),
            ("with-quoted-string", 'X: "a, \\"b\\""', '"a, \\"b\\""'),
            (
                "of-all-visible",
                "X: " + "".join(map(chr, range(0x21, 0x7F))),
                "".join(map(chr, range(0x21, 0x7F))),
            ),
            ("of-8000-bytes", "X: " + "v" * 8000, "v" * 8000),
        ]
    ),
    *(
        refused(f"value-with-{code:02x}", f"{VALUE}: no controls", get("/", f"X: a{chr(code)}b"))
        for code in (*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F)
    ),
    refused("value-is-nul", VALUE, get("/", "X: \x00")),
    refused("value-ends-in-nul", VALUE, get("/", "X: a\x00")),
    refused("value-begins-with-nul", VALUE, get("/", "X:\x00a")),
    refused("value-ends-in-vertical-tab", VALUE, get("/", "X: a\x0b")),
]

NAMES = [
    accepted(
        "name-lower-cased",
        "ASGI: names lower-case",
        get("/", "X-FoO-Bar: y"),
        want("x-foo-bar", "y"),
    ),
    accepted(
        "name-of-token-characters",
        NAME,
        get("/", "!#$%&'*+-.^_`|~09aZ: y"),
        want("!#$%&'*+-.^_`|~09az", "y"),
    ),
    accepted("name-of-digits", NAME, get("/", "123: y"), want("123", "y")),
    accepted("name-of-100-bytes", NAME, get("/", "n" * 100 + ": y"), want("n" * 100, "y")),
    refused("name-empty", SYNTAX, get("/", ": y")),
    refused("name-alone", SYNTAX, get("/", "X")),
    refused("name-and-value-without-colon", SYNTAX, get("/", "X y")),
    refused("name-then-space", SYNTAX, get("/", "X : y")),
    refused("name-then-tab", SYNTAX, get("/", "X\t: y")),
    refused("name-then-spaces", SYNTAX, get("/", "X   : y")),
    refused("name-then-nul", SYNTAX, get("/", "X\x00: y")),
    refused("name-then-vertical-tab", SYNTAX, get("/", "X\x0b: y")),
    refused("name-with-space", NAME, get("/", "X Y: z")),
    *(
        refused(f"name-with-{ord(char):02x}", NAME, get("/", f"X{char}Y: z"))
        for char in '"(),/;<=>?@[\\]{}\x00\x01\x08\x0b\x0c\x1f\x7f\x80\xe9\xff'
    ),
    refused("request-line-as-field", SYNTAX, get("/", "GET / HTTP/1.1")),
]

FOLDING = [
    refused("fold-by-space", FOLD, get("/", "X: a", " b")),
    refused("fold-by-tab", FOLD, get("/", "X: a", "\tb")),
    refused("fold-of-many-spaces", FOLD, get("/", "X: a", "      b", "   c")),
    refused("fold-of-nothing", FOLD, get("/", "X: a", " ")),
    refused("fold-into-empty-value", FOLD, get("/", "X:", " b")),
    refused("fold-that-looks-like-a-field", FOLD, get("/", "X: a", " Y: b")),
    refused("fold-of-the-last-field", FOLD, get("/", "Y: z", "X: a", "\t")),
    refused("fold-of-host", FOLD, b"GET / HTTP/1.1\r\nHost:\r\n a\r\n\r\n"),
    refused("space-before-first-field", LINES, b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    refused("tab-before-first-field", LINES, b"GET / HTTP/1.1\r\n\tX: y\r\nHost: a\r\n\r\n"),
    refused("blank-line-before-first-field", LINES, b"GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n"),
]

ENDS = [
    refused("lf-ends-request-line", LINES, b"GET / HTTP/1.1\nHost: a\r\n\r\n"),
    refused("lf-ends-every-line", LINES, b"GET / HTTP/1.1\nHost: a\n\n"),
    refused("lf-ends-field", LINES, b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"),
    refused("lf-ends-last-field", LINES, b"GET / HTTP/1.1\r\nHost: a\n\r\n"),
    refused("lf-ends-head", LINES, b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
    refused("lf-inside-value", LINES, get("/", "X: a\nb")),
    refused("lf-before-colon", LINES, get("/", "X\n: b")),
    refused("cr-ends-field", LINES, b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n"),
    refused("cr-inside-value", LINES, get("/", "X: a\rb")),
    refused("cr-begins-value", LINES, get("/", "X:\ra")),
    refused("cr-inside-name", LINES, get("/", "X\rY: a")),
    refused("cr-before-colon", LINES, get("/", "X\r: a")),
    refused("cr-cr-lf", LINES, get("/", "X: a\r")),
    refused("cr-then-smuggled-field", LINES, get("/", "X: a\rContent-Length: 38")),
    refused("cr-before-the-empty-line", LINES, b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n"),
    refused("lf-cr", LINES, b"GET / HTTP/1.1\n\rHost: a\n\r\n\r"),
    refused("nul-line", LINES, b"GET / HTTP/1.1\r\nHost: a\r\n\0\r\n\r\n"),
    refused("next-line-byte-ends-field", LINES, b"GET / HTTP/1.1\r\nHost: a\x85X: y\r\n\r\n"),
]

MEANING = [
    refused(
        "content-type-twice",
        "refused: two meanings",
        get("/", "Content-Type: a/b", "Content-Type: c/d"),
    ),
    accepted(
        "fields-keep-order-and-number",
        "ASGI: as received",
        get("/", "X: 1", "Cookie: a=1", "x: 2", "Cookie: b=2", "X: 1"),
        Want(fields=(("x", "1"), ("x", "2"), ("cookie", "a=1"), ("cookie", "b=2"))),
    ),
    accepted("unknown-connection-option", "RFC 9110 section 7.6.1", get("/", "Connection: foo")),
    accepted("empty-connection", "RFC 9110 section 5.6.1", get("/", "Connection:")),
    either("connection-of-empty-elements", "RFC 9110 section 5.6.1", get("/", "Connection: , ,x,")),
    accepted("te-trailers", "RFC 9110 section 10.1.4", get("/", "TE: trailers", "Connection: te")),
    accepted("max-forwards", "RFC 9110 section 7.6.2", get("/", "Max-Forwards: 0")),
]

CASES = [*VALUES, *NAMES, *FOLDING, *ENDS, *MEANING]
