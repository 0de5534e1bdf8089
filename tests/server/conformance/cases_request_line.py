"""The request line: method, target, version and what stands between them.

RFC 9112 section 3, RFC 9110 section 9.
"""

from __future__ import annotations

from tests.server.conformance.harness import Want, accepted, either, get, head, refused

LINE = "RFC 9112 section 3"
LENIENT = "RFC 9112 section 3: a recipient may split on whitespace, not on a bare CR"
METHOD = "RFC 9110 section 9.1"
VERSION = "RFC 9112 section 2.3"
ROBUST = "RFC 9112 section 2.2"


def line(text: str) -> bytes:
    """Return a request whose request line is `text`."""
    return head(text)


METHODS = [
    *(
        accepted(f"method-{name}", METHOD, line(f"{name} / HTTP/1.1"), Want(method=name))
        for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH")
    ),
    *(
        either(
            f"method-{name}",
            f"{METHOD}: 501 for a method that is not recognised",
            line(f"{name} / HTTP/1.1"),
            Want(method=name),
            statuses=(400, 405, 501),
        )
        for name in ("PROPFIND", "MKCOL", "REPORT", "PURGE", "LINK", "M-SEARCH", "QUERY", "FOOBAR")
    ),
    either(
        "method-of-every-token-character",
        "RFC 9110 section 5.6.2",
        line("!#$%&'*+-.^_`|~0aZ / HTTP/1.1"),
        Want(method="!#$%&'*+-.^_`|~0aZ"),
        statuses=(400, 405, 501),
    ),
    refused(
        "method-lower-case", f"{METHOD}: case-sensitive", line("get / HTTP/1.1"), 400, 405, 501
    ),
    refused(
        "method-mixed-case", f"{METHOD}: case-sensitive", line("Get / HTTP/1.1"), 400, 405, 501
    ),
    refused("method-long", f"{LINE}: 501, or 400", line("A" * 200 + " / HTTP/1.1"), 400, 501),
    refused("method-missing", LINE, line("/ HTTP/1.1")),
    refused("method-empty", LINE, line(" / HTTP/1.1")),
    *(
        refused(f"method-with-{ord(char):02x}", METHOD, line(f"GE{char}T / HTTP/1.1"))
        for char in '\x00\x01\t\x0b\x7f"(),/:;<=>?@[\\]{}\x80\xff'
    ),
]

TARGETS = [
    *(
        accepted(f"target-{name}", "RFC 9112 section 3.2.1", get(target), Want(target, path=path))
        for name, target, path in [
            ("root", "/", "/"),
            ("segments", "/a/b;c=1,d/e", "/a/b;c=1,d/e"),
            ("query", "/a?x=y&z=%20", "/a"),
            ("question-marks", "/a?b?c=/d?", "/a"),
            ("query-of-slashes", "/?//", "/"),
            ("encoded", "/%41%2fb", "/A/b"),
            ("encoded-twice", "/%2541", "/%41"),
            ("encoded-utf-8", "/%E2%82%AC", "/€"),
            ("encoded-space", "/a%20b", "/a b"),
            ("encoded-line-end", "/a%0d%0aX:y", "/a\r\nX:y"),
            ("plus", "/a+b", "/a+b"),
            ("empty-segments", "//a//b", "//a//b"),
            ("dots", "/a/../b/./c", "/a/../b/./c"),
            ("punctuation", "/-._~!$&'()*+,;=:@", "/-._~!$&'()*+,;=:@"),
            ("colon", "/http://a/", "/http://a/"),
            ("of-1000-bytes", "/" + "a" * 999, "/" + "a" * 999),
        ]
    ),
    accepted("target-empty-query", "RFC 9112 section 3.2.1", get("/a?"), Want("/a")),
    *(
        either(
            f"target-{name}", "RFC 9112 section 3.2: 400 for an invalid target", get(raw), Want(raw)
        )
        for name, raw in [
            ("percent-alone", "/%"),
            ("percent-letters", "/%zz"),
            ("percent-cut", "/a%4"),
            ("percent-nul", "/a%00b"),
            ("percent-not-utf-8", "/%ff%fe"),
            ("quote", '/a"b'),
            ("angle-brackets", "/<a>"),
            ("braces", "/{a}"),
            ("pipe", "/a|b"),
            ("backslash", "/a\\b"),
            ("caret", "/a^b"),
            ("backtick", "/a`b"),
            ("square-brackets", "/a[1]"),
        ]
    ),
    either("target-fragment", "RFC 9112 section 3.2.1", get("/a#b"), Want("/a")),
    either("target-query-fragment", "RFC 9112 section 3.2.1", get("/a?b#c"), Want("/a?b")),
    *(
        refused(f"target-with-{ord(char):02x}", "RFC 9112 section 3.2", get(f"/a{char}b"))
        for char in "\x00\x01\x07\x08\x0b\x0c\x0e\x1b\x1f\x7f\x80\xa0\xe9\xff"
    ),
    refused("target-with-bare-cr", ROBUST, get("/a\rb")),
    refused("target-with-bare-lf", ROBUST, get("/a\nb")),
    refused("target-with-space", LINE, get("/a b")),
    refused("target-with-tab", LINE, get("/a\tb")),
    refused("target-missing", LINE, line("GET HTTP/1.1")),
    refused("target-empty", LINE, line("GET  HTTP/1.1")),
    refused("target-relative", "RFC 9112 section 3.2", get("a/b")),
    refused("target-word", "RFC 9112 section 3.2", get("a")),
    refused("target-query-alone", "RFC 9112 section 3.2", get("?a=b")),
    refused("target-dot", "RFC 9112 section 3.2", get(".")),
    refused("target-backslash-first", "RFC 9112 section 3.2", get("\\a")),
    refused("target-asterisk-and-more", "RFC 9112 section 3.2.4", line("OPTIONS *a HTTP/1.1")),
    refused("target-asterisk-of-get", "RFC 9112 section 3.2.4", get("*")),
    refused("target-asterisk-of-post", "RFC 9112 section 3.2.4", line("POST * HTTP/1.1")),
    refused("target-authority-of-get", "RFC 9112 section 3.2.3", get("a:80")),
    refused("target-authority-of-post", "RFC 9112 section 3.2.3", line("POST a:80 HTTP/1.1")),
    refused(
        "target-path-of-connect", "RFC 9112 section 3.2.3", line("CONNECT / HTTP/1.1"), 400, 501
    ),
    refused(
        "target-uri-of-connect",
        "RFC 9112 section 3.2.3",
        line("CONNECT http://a/ HTTP/1.1"),
        *(400, 405, 501),
    ),
    *(
        refused(f"connect-{name}", "RFC 9110 section 9.3.6", line(f"CONNECT {to} HTTP/1.1"), *codes)
        for codes in [(400, 405, 501)]
        for name, to in [
            ("without-port", "a"),
            ("with-empty-port", "a:"),
            ("with-bad-port", "a:b"),
            ("with-port-out-of-range", "a:65536"),
            ("without-host", ":80"),
        ]
    ),
]

VERSIONS = [
    accepted("version-1.1", VERSION, line("GET / HTTP/1.1")),
    accepted("version-1.0", VERSION, line("GET / HTTP/1.0"), Want(version="1.0"), closes=True),
    *(
        refused(f"version-{number}", "RFC 9110 section 15.6.6", line(f"GET / HTTP/{number}"), 505)
        for number in ("0.9", "0.0", "2.0", "3.0", "9.9", "2.1")
    ),
    *(
        refused(
            f"version-{number}",
            "only 1.0 and 1.1 are served",
            line(f"GET / HTTP/{number}"),
            400,
            505,
        )
        for number in ("1.2", "1.9")
    ),
    *(
        refused(f"version-{number or 'empty'}", VERSION, line(f"GET / HTTP/{number}"), 400, 505)
        for number in ("", "1", "2", "11", "1.10", "11.1", "01.1", "1.01", "10.0")
    ),
    *(
        refused(f"version-{name}", VERSION, line(f"GET / {text}"))
        for name, text in [
            ("lower-case", "http/1.1"),
            ("mixed-case", "Http/1.1"),
            ("other-name", "HTTPS/1.1"),
            ("misspelt", "HTP/1.1"),
            ("icecast", "ICE/1.0"),
            ("rtsp", "RTSP/1.0"),
            ("without-name", "/1.1"),
            ("without-slash", "HTTP1.1"),
            ("two-slashes", "HTTP//1.1"),
            ("without-major", "HTTP/.1"),
            ("without-minor", "HTTP/1."),
            ("comma", "HTTP/1,1"),
            ("three-numbers", "HTTP/1.1.1"),
            ("letter", "HTTP/1.a"),
            ("plus", "HTTP/+1.1"),
            ("minus", "HTTP/-1.1"),
            ("hexadecimal", "HTTP/0x1.1"),
            ("nul-behind", "HTTP/1.1\x00"),
            ("letter-behind", "HTTP/1.1x"),
            ("space-inside", "HTTP/ 1.1"),
            ("space-before-slash", "HTTP /1.1"),
            ("8-bit", "HTTP/1.\xb9"),
        ]
    ),
    refused("version-missing", "HTTP/0.9 is not served", line("GET /"), 400, 505),
    refused("version-missing-space", "HTTP/0.9 is not served", line("GET / "), 400, 505),
    refused("nothing-but-a-method", LINE, line("GET")),
    refused(
        "http2-preface",
        "RFC 9113 section 3.4",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
        *(400, 505),
    ),
]

SPACES = [
    either("two-spaces-before-target", LENIENT, line("GET  / HTTP/1.1")),
    either("two-spaces-behind-target", LENIENT, line("GET /  HTTP/1.1")),
    either("tab-before-target", LENIENT, line("GET\t/ HTTP/1.1")),
    either("tab-behind-target", LENIENT, line("GET /\tHTTP/1.1")),
    either("space-behind-version", LENIENT, line("GET / HTTP/1.1 ")),
    either("tab-behind-version", LENIENT, line("GET / HTTP/1.1\t")),
    either("space-before-method", LENIENT, line(" GET / HTTP/1.1")),
    refused("vertical-tab-as-space", LENIENT, line("GET\x0b/ HTTP/1.1")),
    refused("form-feed-as-space", LENIENT, line("GET /\x0cHTTP/1.1")),
    refused("bare-cr-as-space", ROBUST, line("GET\r/ HTTP/1.1")),
    refused("bare-cr-before-version", ROBUST, line("GET / \rHTTP/1.1")),
    refused("bare-cr-behind-version", ROBUST, line("GET / HTTP/1.1\r")),
    refused("a-fourth-word", LINE, line("GET / HTTP/1.1 HTTP/1.1")),
    refused("no-break-space", LINE, line("GET\xa0/ HTTP/1.1")),
]

BEFORE = [
    accepted("empty-line-before", ROBUST, b"\r\n" + get()),
    either("two-empty-lines-before", ROBUST, b"\r\n\r\n" + get()),
    either("bare-lf-before", ROBUST, b"\n" + get()),
    refused("bare-cr-before", ROBUST, b"\r" + get()),
    refused("nul-before", LINE, b"\0" + get()),
    refused("byte-order-mark-before", LINE, b"\xef\xbb\xbf" + get()),
    refused(
        "tls-client-hello", "not HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 40
    ),
    refused("ssh-banner", "not HTTP", b"SSH-2.0-OpenSSH_9.6\r\n"),
    refused("smtp-greeting", "not HTTP", b"EHLO a.example\r\n"),
    refused("proxy-header-unasked", "not HTTP", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + get()),
    refused("response-as-request", "not HTTP", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
]

CASES = [*METHODS, *TARGETS, *VERSIONS, *SPACES, *BEFORE]
