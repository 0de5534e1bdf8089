"""Absolute targets and the Host field: which site a request is for.

RFC 9112 sections 3.2 and 3.2.2, RFC 9110 sections 4.2 and 7.2.
"""

from __future__ import annotations

from tests.server.conformance.harness import Want, accepted, either, head, refused

HOST = "RFC 9112 section 3.2"
ABSOLUTE = "RFC 9112 section 3.2.2"
URI = "RFC 9110 section 4.2"


def hosts(*values: str, version: str = "1.1", target: str = "/") -> bytes:
    """Return a GET with one Host line for each value, as it stands."""
    return head(f"GET {target} HTTP/{version}", *(f"Host:{value}" for value in values), host=None)


HOSTS = [
    *(
        accepted(f"host-{name}", HOST, hosts(value), Want(fields=(("host", value.strip(" \t")),)))
        for name, value in [
            ("name", " a"),
            ("with-port", " a.example:8000"),
            ("without-space", "a"),
            ("with-much-space", "  \t a \t "),
            ("upper-case", " A.EXAMPLE"),
            ("ipv4", " 127.0.0.1:80"),
            ("ipv6", " [::1]"),
            ("ipv6-with-port", " [2001:db8::1]:8080"),
            ("underscore", " my_service"),
            ("hyphens", " a--b.c-d"),
            ("final-dot", " a.example."),
            ("digits", " 12345"),
        ]
    ),
    accepted("host-line-last", HOST, head("GET / HTTP/1.1", "X: y", "Host: a", host=None)),
    accepted("host-lower-case-name", HOST, head("GET / HTTP/1.1", "host: a", host=None)),
    *(
        either(f"host-{name}", HOST, hosts(value))
        for name, value in [
            ("empty", ""),
            ("blank", "  "),
            ("empty-port", " a:"),
            ("port-out-of-range", " a:99999"),
            ("port-zero", " a:0"),
            ("encoded", " a%41"),
            ("sub-delims", " a!$&'()*+;=b"),
            ("comma", " a,b"),
            ("ip-future", " [v1.fe80::a]"),
            ("percent-alone", " a%zz"),
        ]
    ),
    refused("host-missing", HOST, hosts()),
    refused("host-missing-but-other-fields", HOST, head("GET / HTTP/1.1", "X: y", host=None)),
    refused("host-twice", HOST, hosts(" a", " b")),
    refused("host-twice-the-same", HOST, hosts(" a", " a")),
    refused("host-twice-apart", HOST, head("GET / HTTP/1.1", "X: y", "host: a")),
    refused("host-twice-one-empty", HOST, hosts(" a", "")),
    refused("host-three-times", HOST, hosts(" a", " a", " a")),
    *(
        refused(f"host-{name}", HOST, hosts(value))
        for name, value in [
            ("list", " a, b"),
            ("space-inside", " a b"),
            ("tab-inside", " a\tb"),
            ("slash", " a/b"),
            ("path", " a/"),
            ("userinfo", " u@a"),
            ("question-mark", " a?b"),
            ("fragment", " a#b"),
            ("backslash", " a\\b"),
            ("quote", ' "a"'),
            ("angle-brackets", " <a>"),
            ("uri", " http://a"),
            ("bad-port", " a:b"),
            ("negative-port", " a:-1"),
            ("two-ports", " a:80:81"),
            ("ipv6-bare", " ::1"),
            ("ipv6-open", " [::1"),
            ("ipv6-closed-only", " ::1]"),
            ("ipv6-and-more", " [::1]a"),
            ("ipv6-empty", " []"),
            ("nul", " a\x00b"),
            ("control", " a\x01"),
            ("delete", " a\x7f"),
            ("8-bit", " \xe9.example"),
            ("pipe", " a|b"),
            ("caret", " a^b"),
            ("braces", " {a}"),
        ]
    ),
    accepted(
        "host-missing-in-1.0",
        HOST,
        hosts(version="1.0"),
        Want(version="1.0", without=("host",)),
        closes=True,
    ),
    refused("host-twice-in-1.0", HOST, hosts(" a", " b", version="1.0")),
    refused("host-invalid-in-1.0", HOST, hosts(" a/b", version="1.0")),
]


def absolute(uri: str, *fields: str, host: str = "a", method: str = "GET") -> bytes:
    """Return a request whose target is a URI."""
    return head(f"{method} {uri} HTTP/1.1", *fields, host=host)


TARGETS = [
    *(
        accepted(f"absolute-{name}", ABSOLUTE, absolute(uri), Want(target, path=path))
        for name, uri, target, path in [
            ("path", "http://a/x", "/x", "/x"),
            ("query", "http://a/x?y=http://b/", "/x?y=http://b/", "/x"),
            ("root", "http://a/", "/", "/"),
            ("encoded", "http://a/%41", "/%41", "/A"),
            ("upper-case-scheme", "HTTP://a/x", "/x", "/x"),
            ("double-slash-path", "http://a//x", "//x", "//x"),
        ]
    ),
    accepted("absolute-without-path", URI + ".3", absolute("http://a"), Want("/")),
    accepted("absolute-query-without-path", URI + ".3", absolute("http://a?x=1"), Want("/?x=1")),
    accepted("absolute-with-port", ABSOLUTE, absolute("http://a:80/x", host="a:80"), Want("/x")),
    accepted("absolute-ipv6", ABSOLUTE, absolute("http://[::1]/x", host="[::1]"), Want("/x")),
    either("absolute-https", ABSOLUTE, absolute("https://a/x"), Want("/x")),
    either(
        "absolute-with-another-host",
        f"{ABSOLUTE}: the host of the target counts, not the field",
        absolute("http://b/x", host="a"),
        Want("/x", fields=(("host", "b"),)),
    ),
    either(
        "absolute-with-another-port",
        f"{ABSOLUTE}: the host of the target counts, not the field",
        absolute("http://a:81/x", host="a:80"),
        Want("/x", fields=(("host", "a:81"),)),
    ),
    either("absolute-userinfo", URI + ".4", absolute("http://u:p@a/x"), Want("/x")),
    either("absolute-ftp", ABSOLUTE, absolute("ftp://a/x"), Want("/x")),
    refused("absolute-without-host-field", HOST, head("GET http://a/ HTTP/1.1", host=None)),
    refused("absolute-with-two-host-fields", HOST, absolute("http://a/", "Host: b")),
    refused("absolute-with-invalid-host-field", HOST, absolute("http://a/", host="a/b")),
    *(
        refused(f"absolute-{name}", URI, absolute(uri))
        for name, uri in [
            ("empty-host", "http:///x"),
            ("empty-host-with-port", "http://:80/x"),
            ("bad-port", "http://a:b/x"),
            ("negative-port", "http://a:-1/x"),
            ("ipv6-open", "http://[::1/x"),
            ("one-slash", "http:/x"),
            ("no-slash", "http:x"),
            ("without-scheme", "://a/x"),
            ("space-in-host", "http://a b/x"),
            ("backslash", "http:\\\\a\\x"),
            ("8-bit-host", "http://\xe9/x"),
            ("nul-in-host", "http://a\x00/x"),
        ]
    ),
    accepted(
        "absolute-of-options",
        "RFC 9112 section 3.2.4",
        absolute("http://a/x", method="OPTIONS"),
        Want("/x", method="OPTIONS"),
    ),
    accepted(
        "absolute-of-post",
        ABSOLUTE,
        absolute("http://a/x", "Content-Length: 2", method="POST") + b"hi",
        Want("/x", method="POST", body=b"hi"),
    ),
]

CASES = [*HOSTS, *TARGETS]
