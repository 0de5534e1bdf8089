"""Request smuggling: messages that two parties could read as different requests.

RFC 9112 sections 6.3 and 11.2. Each carries a second request where the other reading ends; no
reading may let it reach the application.
"""

from __future__ import annotations

from itertools import product

from tests.server.conformance.harness import SMUGGLED, Want, accepted, get, head, post, refused

SMUGGLING = "RFC 9112 section 11.2"
HIDDEN = SMUGGLED.decode()
LAST = "0\r\n\r\n"
CHUNK = f"{len(HIDDEN):x}\r\n{HIDDEN}\r\n"

PAIRS = [
    refused(
        "cl-te",
        SMUGGLING,
        post(LAST + HIDDEN, f"Content-Length: {len(LAST + HIDDEN)}", "Transfer-Encoding: chunked"),
    ),
    refused(
        "te-cl", SMUGGLING, post(CHUNK + LAST, "Transfer-Encoding: chunked", "Content-Length: 4")
    ),
    refused(
        "cl-te-agreeing", SMUGGLING, post(LAST, "Content-Length: 5", "Transfer-Encoding: chunked")
    ),
    refused(
        "te-cl-zero",
        SMUGGLING,
        post(CHUNK + LAST, "Transfer-Encoding: chunked", "Content-Length: 0"),
    ),
    refused(
        "cl-te-in-get",
        SMUGGLING,
        get("/", "Content-Length: 5", "Transfer-Encoding: chunked") + LAST.encode(),
    ),
    refused(
        "cl-te-in-1.0",
        SMUGGLING,
        head("POST / HTTP/1.0", "Content-Length: 5", "Transfer-Encoding: chunked") + LAST.encode(),
    ),
    refused(
        "cl-cl",
        SMUGGLING,
        post("hello" + HIDDEN, "Content-Length: 5", f"Content-Length: {5 + len(HIDDEN)}"),
    ),
    refused("cl-list", SMUGGLING, post("hello" + HIDDEN, f"Content-Length: 5, {5 + len(HIDDEN)}")),
    refused(
        "cl-te-cl",
        SMUGGLING,
        post(LAST, "Content-Length: 5", "Transfer-Encoding: chunked", "Content-Length: 5"),
    ),
    refused(
        "te-te-cl",
        SMUGGLING,
        post(LAST, *["Transfer-Encoding: chunked"] * 2, "Content-Length: 5"),
        400,
        501,
    ),
    refused(
        "cl-hidden-by-connection",
        "RFC 9110 section 7.6.1: framing is not what Connection may name",
        post(
            LAST + HIDDEN,
            "Connection: content-length",
            "Content-Length: 5",
            "Transfer-Encoding: chunked",
        ),
    ),
]

OBFUSCATIONS = {
    "space-before-colon": "Transfer-Encoding : chunked",
    "tab-before-colon": "Transfer-Encoding\t: chunked",
    "space-before-name": " Transfer-Encoding: chunked",
    "tab-before-name": "\tTransfer-Encoding: chunked",
    "vertical-tab-before-value": "Transfer-Encoding:\x0bchunked",
    "form-feed-before-value": "Transfer-Encoding: \x0cchunked",
    "nul-before-value": "Transfer-Encoding: \0chunked",
    "nul-behind-value": "Transfer-Encoding: chunked\0",
    "bare-cr-before-value": "Transfer-Encoding:\rchunked",
    "bare-cr-behind-value": "Transfer-Encoding: chunked\r",
    "bare-cr-before-name": "X: y\rTransfer-Encoding: chunked",
    "bare-lf-before-name": "X: y\nTransfer-Encoding: chunked",
    "bare-lf-before-value": "Transfer-Encoding:\nchunked",
    "fold-before-value": "Transfer-Encoding:\r\n chunked",
    "fold-behind-value": "Transfer-Encoding: chunked\r\n ",
    "fold-behind-name": "Transfer-Encoding\r\n : chunked",
    "quotes": 'Transfer-Encoding: "chunked"',
    "parameter": "Transfer-Encoding: chunked; x=y",
    "prefix": "Transfer-Encoding: xchunked",
    "suffix": "Transfer-Encoding: chunkedx",
    "identity": "Transfer-Encoding: identity",
    "list": "Transfer-Encoding: identity, chunked",
    "list-behind": "Transfer-Encoding: chunked, identity",
    "empty": "Transfer-Encoding:",
    "8-bit-space": "Transfer-Encoding: \xa0chunked",
    "8-bit-name": "Transfer\xa0Encoding: chunked",
    "control-in-name": "Transfer-Encoding\x01: chunked",
    "upper-case": "TRANSFER-ENCODING: CHUNKED",
    "two-lines": "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
    "two-lines-behind": "Transfer-Encoding: chunked\r\nTransfer-encoding: x",
}

DISGUISES = [
    refused(
        f"{'cl-te' if first else 'te-cl'}-{name}",
        SMUGGLING,
        post(
            LAST + HIDDEN,
            *(
                [f"Content-Length: {len(LAST + HIDDEN)}", line]
                if first
                else [line, "Content-Length: 5"]
            ),
        ),
        *(400, 501),
    )
    for first, (name, line) in product((True, False), OBFUSCATIONS.items())
]

CHUNKS = [
    refused(f"chunk-{name}", SMUGGLING, post(body, "Transfer-Encoding: chunked"), 400, 413)
    for name, body in [
        ("extension-ended-by-lf", f"0;\n{HIDDEN}" + LAST),
        ("extension-hides-a-chunk", f"5;\n0\r\n\r\n{HIDDEN}"),
        ("size-ended-by-lf-hides-a-request", f"0\n\r\n{HIDDEN}"),
        ("size-wraps-to-zero", f"10000000000000000\r\n\r\n{HIDDEN}"),
        ("size-wraps-to-five", f"10000000000000005\r\nhello\r\n0\r\n\r\n{HIDDEN}"),
        ("size-negative", f"-1\r\n{HIDDEN}"),
        ("size-hexadecimal-prefix", f"0x0\r\n\r\n{HIDDEN}"),
        ("data-spills", f"3\r\nhello\r\n0\r\n\r\n{HIDDEN}"),
        ("terminator-of-any-two-bytes", f"2\r\nxx45\r\n0\r\n\r\n{HIDDEN}"),
        ("trailer-ended-by-lf", f"0\r\nX: y\n\n{HIDDEN}"),
    ]
]

SEPARATION = [
    refused(
        "get-with-bad-length-hides-a-request",
        SMUGGLING,
        get("/", "Content-Length: -1") + SMUGGLED,
    ),
    refused("host-line-hidden-by-bare-cr", SMUGGLING, get("/", "X: y\rHost: b")),
    refused(
        "request-hidden-by-bare-lf-head", SMUGGLING, b"GET / HTTP/1.1\r\nHost: a\n\n" + SMUGGLED
    ),
    refused("request-line-in-the-target", SMUGGLING, get("/ HTTP/1.1\rX:")),
    refused(
        "second-request-after-bad-body",
        SMUGGLING,
        post("Z\r\n", "Transfer-Encoding: chunked") + SMUGGLED,
    ),
    refused("head-cut-by-nul", SMUGGLING, b"GET / HTTP/1.1\r\nHost: a\r\n\0\r\n\r\n" + SMUGGLED),
    refused(
        "bad-request-behind-a-good-one",
        SMUGGLING,
        post("hello", "Content-Length: 5") + get("/", "X : y") + SMUGGLED,
        after=(Want(method="POST", body=b"hello"),),
    ),
    refused(
        "bad-body-behind-a-good-request",
        SMUGGLING,
        get("/one") + post("5\r\nhelloXX", "Transfer-Encoding: chunked") + SMUGGLED,
        after=(Want("/one"),),
    ),
    refused(
        "bad-request-behind-three-good-ones",
        SMUGGLING,
        get("/1") + get("/2") + get("/3") + b"\0\r\n\r\n",
        after=(Want("/1"), Want("/2"), Want("/3")),
    ),
    accepted(
        "a-body-is-never-a-request",
        SMUGGLING,
        post(SMUGGLED, f"Content-Length: {len(SMUGGLED)}"),
        Want(method="POST", body=SMUGGLED),
    ),
    accepted(
        "a-chunk-is-never-a-request",
        SMUGGLING,
        post(CHUNK + LAST, "Transfer-Encoding: chunked"),
        Want(method="POST", body=SMUGGLED),
    ),
    accepted(
        "a-body-of-get-is-never-a-request",
        SMUGGLING,
        get("/", f"Content-Length: {len(SMUGGLED)}") + SMUGGLED,
        Want(body=SMUGGLED),
    ),
]

CASES = [*PAIRS, *DISGUISES, *CHUNKS, *SEPARATION]
