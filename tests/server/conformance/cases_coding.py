"""Transfer-Encoding: `chunked` alone, never with Content-Length, never in HTTP/1.0.

RFC 9112 sections 6.1, 6.3 and 7.
"""

from __future__ import annotations

from tests.server.conformance.harness import Want, accepted, either, head, post, refused

CODING = "RFC 9112 section 6.1"
FRAMING = "RFC 9112 section 6.3"

CHUNKED = "5\r\nhello\r\n0\r\n\r\n"
HELLO = Want(method="POST", body=b"hello")


def codings(*values: str, name: str = "Transfer-Encoding") -> bytes:
    """Return a POST with a line for each value as it stands, and a chunked body behind it."""
    return post(CHUNKED, *(f"{name}:{value}" for value in values))


GOOD = [
    accepted("chunked", CODING, codings(" chunked"), HELLO),
    accepted("chunked-without-space", CODING, codings("chunked"), HELLO),
    accepted("chunked-with-space-around", CODING, codings(" \t chunked \t"), HELLO),
    accepted("chunked-upper-case", CODING, codings(" CHUNKED"), HELLO),
    accepted("chunked-mixed-case", CODING, codings(" ChUnKeD"), HELLO),
    accepted(
        "chunked-lower-case-name", CODING, codings(" chunked", name="transfer-encoding"), HELLO
    ),
    accepted(
        "chunked-upper-case-name", CODING, codings(" chunked", name="TRANSFER-ENCODING"), HELLO
    ),
    accepted(
        "chunked-with-te",
        CODING,
        post(CHUNKED, "TE: trailers", "Transfer-Encoding: chunked"),
        HELLO,
    ),
    accepted(
        "chunked-empty-body",
        FRAMING,
        post("0\r\n\r\n", "Transfer-Encoding: chunked"),
        Want(method="POST"),
    ),
    *(
        accepted(
            f"chunked-of-{method.lower()}",
            FRAMING,
            head(f"{method} / HTTP/1.1", "Transfer-Encoding: chunked") + CHUNKED.encode(),
            Want(method=method, body=b"hello"),
        )
        for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH")
    ),
    accepted(
        "coding-name-with-underscore-is-another-field",
        "RFC 9110 section 5.1",
        post("hello", "Content-Length: 5", "Transfer_Encoding: chunked"),
        HELLO,
    ),
    accepted(
        "coding-name-with-prefix-is-another-field",
        "RFC 9110 section 5.1",
        post("hello", "Content-Length: 5", "X-Transfer-Encoding: chunked"),
        HELLO,
    ),
    accepted(
        "content-encoding-is-no-framing",
        "RFC 9110 section 8.4",
        post("hello", "Content-Length: 5", "Content-Encoding: chunked"),
        HELLO,
    ),
]

EDGE = [
    either(
        "chunked-and-empty-element",
        "RFC 9110 section 5.6.1",
        codings(" chunked,"),
        HELLO,
        statuses=(400, 501),
    ),
    either(
        "empty-element-and-chunked",
        "RFC 9110 section 5.6.1",
        codings(" ,chunked"),
        HELLO,
        statuses=(400, 501),
    ),
]

UNKNOWN = [
    *(
        refused(f"coding-{name}", f"{CODING}: 501 for an unknown coding", codings(value), 400, 501)
        for name, value in [
            ("gzip-then-chunked", " gzip, chunked"),
            ("deflate-then-chunked", " deflate, chunked"),
            ("compress-then-chunked", " compress,chunked"),
            ("unknown-then-chunked", " foo, chunked"),
            ("identity-then-chunked", " identity, chunked"),
            ("gzip", " gzip"),
            ("identity", " identity"),
            ("unknown", " foo"),
            ("br", " br"),
            ("cow", " cow"),
        ]
    ),
    *(
        refused(
            f"coding-only-{name}",
            f"{CODING}: 501 for an unknown coding",
            codings(f" {name}, chunked"),
            501,
        )
        for name in ("gzip", "x-unheard-of")
    ),
]

BAD = [
    *(
        refused(f"coding-{name}", FRAMING, codings(value), 400, 501)
        for name, value in [
            ("empty", ""),
            ("blank", "  "),
            ("comma", " ,"),
            ("chunked-twice", " chunked, chunked"),
            ("chunked-then-gzip", " chunked, gzip"),
            ("chunked-then-identity", " chunked, identity"),
            ("chunked-with-parameter", " chunked;q=1"),
            ("chunked-with-empty-parameter", " chunked;"),
            ("chunked-with-prefix", " xchunked"),
            ("chunked-with-suffix", " chunkedx"),
            ("chunked-cut", " chunke"),
            ("chunked-with-word", " x chunked"),
            ("chunked-then-word", " chunked x"),
            ("chunked-quoted", ' "chunked"'),
            ("chunked-single-quoted", " 'chunked'"),
            ("chunked-with-colon", " :chunked"),
            ("chunked-with-equals", " chunked=1"),
            ("chunked-with-semicolon-list", " identity; chunked"),
            ("chunked-8-bit", " chun\xebed"),
            ("chunked-kelvin-sign", " chun\xe2\x84\xaaed"),
            ("chunked-no-break-space", " \xa0chunked"),
            ("chunked-next-line", " \x85chunked"),
        ]
    ),
    *(
        refused(f"coding-{name}", "RFC 9110 section 5.5", codings(value))
        for name, value in [
            ("nul-behind", " chunked\x00"),
            ("nul-before", " \x00chunked"),
            ("vertical-tab-before", " \x0bchunked"),
            ("vertical-tab-behind", " chunked\x0b"),
            ("form-feed-before", " \x0cchunked"),
            ("backspace", " chunkee\x08d"),
            ("delete", " chunked\x7f"),
        ]
    ),
    *(
        refused(f"coding-lines-{name}", FRAMING, codings(*values), 400, 501)
        for name, values in [
            ("chunked-chunked", (" chunked", " chunked")),
            ("chunked-identity", (" chunked", " identity")),
            ("identity-chunked", (" identity", " chunked")),
            ("gzip-chunked", (" gzip", " chunked")),
            ("chunked-gzip", (" chunked", " gzip")),
            ("chunked-empty", (" chunked", "")),
            ("empty-chunked", ("", " chunked")),
            ("chunked-x", (" chunked", " x")),
        ]
    ),
    *(
        refused(f"coding-name-{name}", "RFC 9112 section 5.1", codings(" chunked", name=text))
        for name, text in [
            ("then-space", "Transfer-Encoding "),
            ("then-tab", "Transfer-Encoding\t"),
            ("then-nul", "Transfer-Encoding\0"),
            ("then-vertical-tab", "Transfer-Encoding\x0b"),
            ("after-space", " Transfer-Encoding"),
            ("after-tab", "\tTransfer-Encoding"),
            ("with-space", "Transfer Encoding"),
            ("with-nul", "Transfer\0Encoding"),
            ("quoted", '"Transfer-Encoding"'),
            ("8-bit", "Transfer\xadEncoding"),
        ]
    ),
    refused("coding-folded", "RFC 9112 section 5.2", codings("\r\n chunked")),
    refused("coding-folded-by-tab", "RFC 9112 section 5.2", codings("\r\n\tchunked")),
    refused("coding-folded-further", "RFC 9112 section 5.2", codings(" chunked\r\n , identity")),
    refused(
        "coding-after-bare-lf",
        "RFC 9112 section 2.2",
        post(CHUNKED, "X: y\nTransfer-Encoding: chunked"),
    ),
    refused(
        "coding-after-bare-cr",
        "RFC 9112 section 2.2",
        post(CHUNKED, "X: y\rTransfer-Encoding: chunked"),
    ),
    refused("coding-ended-by-lf", "RFC 9112 section 2.2", codings(" chunked\nX: y")),
    refused(
        "chunked-in-1.0",
        f"{CODING}: faulty in HTTP/1.0",
        head("POST / HTTP/1.0", "Transfer-Encoding: chunked") + CHUNKED.encode(),
    ),
    refused(
        "chunked-in-1.0-kept-alive",
        f"{CODING}: faulty in HTTP/1.0",
        head("POST / HTTP/1.0", "Transfer-Encoding: chunked", "Connection: keep-alive")
        + CHUNKED.encode(),
    ),
]

CASES = [*GOOD, *EDGE, *UNKNOWN, *BAD]
