"""What `ForwardingPolicy` makes of the forwarding headers of trusted and other peers."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uvicorn_worker.errors import ApplicationError, BadRequest, ConfigError
from uvicorn_worker.proxies import origin
from uvicorn_worker.proxies.headers import MAX_NAMED, ForwardingPolicy, trust_summary
from uvicorn_worker.serverconfig import ServerConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from uvicorn_worker.asgi import Headers, Scope

PEER = ("127.0.0.1", 50000)
ORIGIN = {b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port", b"forwarded"}
LOCAL = ("10.9.8.7", 8000)


# -- ForwardingPolicy: what stands in the settings


def make_policy(environ: Mapping[str, str] | None = None, **settings: Any) -> ForwardingPolicy:
    return ForwardingPolicy(ServerConfig(**settings), environ or {})


def make_scope(path: str = "/", *, kind: str = "http", root_path: str = "") -> Scope:
    return {
        "type": kind,
        "scheme": "http" if kind == "http" else "ws",
        "client": PEER,
        "server": LOCAL,
        "root_path": root_path,
        "path": root_path + path,
        "raw_path": (root_path + path).encode(),
    }


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, {b"x-forwarded-proto", b"script_name", *ORIGIN}),
        ({"proxy_headers": False}, {b"script_name"}),
        ({"proxy_headers": False, "forwarder_headers": ()}, set()),
        ({"forwarder_headers": ["*"], "secure_scheme_headers": {}}, {b"script_name", *ORIGIN}),
        (
            {"forwarder_headers": ["PATH_INFO"], "secure_scheme_headers": {"X-Ssl": "on"}},
            {b"x-ssl", *ORIGIN},
        ),
    ],
)
def test_names_are_the_fields_that_apply_reads(settings: dict[str, Any], names: set[bytes]) -> None:
    assert make_policy(**settings).names == names


@pytest.mark.parametrize(
    ("environ", "settings", "named"),
    [
        ({}, {"forwarded_allow_ips": ["proxy"]}, "'proxy'"),
        ({"SCRIPT_NAME": "app"}, {}, "SCRIPT_NAME='app'"),
        ({}, {"secure_scheme_headers": {"X-Ssl": "€"}}, "secure_scheme_headers"),
        ({}, {"forwarder_headers": ["€"]}, "forwarder_headers"),
    ],
)
def test_a_setting_that_cannot_be_understood_is_refused(
    environ: dict[str, str], settings: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make_policy(environ, **settings)

    assert named in str(caught.value)


# -- header_map and forwarder_headers

UNDERSCORES: Headers = [
    (b"host", b"a"),
    (b"x_foo", b"1"),
    (b"script_name", b"/app"),
    (b"x-foo", b"2"),
]


@pytest.mark.parametrize(
    ("header_map", "forwarders", "trusted", "kept"),
    [
        ("drop", ["SCRIPT_NAME"], True, [b"host", b"script_name", b"x-foo"]),
        ("drop", ["SCRIPT_NAME"], False, [b"host", b"x-foo"]),
        ("drop", ["*"], True, [b"host", b"x_foo", b"script_name", b"x-foo"]),
        ("drop", ["*"], False, [b"host", b"x-foo"]),
        ("drop", [], True, [b"host", b"x-foo"]),
        ("refuse", ["X_FOO", "script_name"], True, [b"host", b"x_foo", b"script_name", b"x-foo"]),
        ("refuse", ["SCRIPT_NAME"], True, None),
        ("refuse", ["*"], False, None),
        ("dangerous", [], False, [b"host", b"x_foo", b"script_name", b"x-foo"]),
    ],
)
def test_filter_keeps_names_with_underscores_as_header_map_says(
    header_map: str, forwarders: list[str], trusted: bool, kept: list[bytes] | None
) -> None:
    policy = make_policy(header_map=header_map, forwarder_headers=forwarders)
    headers = list(UNDERSCORES)

    if kept is None:
        with pytest.raises(BadRequest, match="'x_foo'") as caught:
            policy.filter(headers, trusted)
        assert caught.value.status == 400
    else:
        assert [name for name, _ in policy.filter(headers, trusted)] == kept
    assert headers == UNDERSCORES
    assert policy.filters is (header_map != "dangerous")


# -- scheme

SCHEMES = {"X-FORWARDED-PROTOCOL": "ssl", "X-FORWARDED-PROTO": "https", "X-FORWARDED-SSL": "on"}
PROTO, PROTOCOL, SSL = b"x-forwarded-proto", b"x-forwarded-protocol", b"x-forwarded-ssl"


@pytest.mark.parametrize(
    ("kind", "fields", "scheme"),
    [
        ("http", [], "http"),
        ("http", [(PROTO, b"https")], "https"),
        ("http", [(PROTO, b"http")], "http"),
        ("http", [(PROTO, b"HTTPS")], "http"),  # the value is compared exactly
        ("http", [(PROTO, b"wss")], "http"),
        ("http", [(PROTO, b"https, http")], "http"),  # of two proxies one has no encryption
        ("http", [(PROTO, b"http,https")], "http"),
        ("http", [(PROTO, b"https, https")], "https"),
        ("http", [(PROTO, b"https,")], "http"),
        ("http", [(PROTOCOL, b"ssl")], "https"),
        ("http", [(SSL, b"on")], "https"),
        ("http", [(SSL, b"off")], "http"),
        ("http", [(PROTO, b"https"), (SSL, b"on")], "https"),
        ("http", [(PROTO, b"https"), (SSL, b"off")], None),
        ("http", [(PROTO, b"https"), (PROTO, b"http")], None),
        ("http", [(PROTO, b"https"), (PROTO, b"https")], "https"),
        ("websocket", [(PROTO, b"https")], "wss"),
        ("websocket", [(PROTO, b"wss")], "wss"),
        ("websocket", [(PROTO, b"wss, https")], "wss"),
        ("websocket", [(PROTO, b"http")], "ws"),
        ("websocket", [(PROTO, b"ws")], "ws"),
        ("websocket", [(SSL, b"on")], "wss"),
        ("websocket", [(SSL, b"wss")], "ws"),
        ("websocket", [(PROTO, b"wss"), (SSL, b"on")], "wss"),
        ("websocket", [(PROTO, b"ws"), (SSL, b"on")], None),
    ],
)
def test_apply_sets_the_scheme(kind: str, fields: Headers, scheme: str | None) -> None:
    policy = make_policy(secure_scheme_headers=SCHEMES)
    scope = make_scope(kind=kind)

    if scheme is None:
        with pytest.raises(BadRequest, match="contradictory scheme headers"):
            policy.apply(scope, fields)
    else:
        expected = "ws" if kind == "websocket" and not fields else scheme
        policy.apply(scope, fields)
        assert scope["scheme"] == expected


def test_apply_can_make_a_scheme_insecure_behind_tls() -> None:
    scope = make_scope()
    scope["scheme"] = "https"

    make_policy().apply(scope, [(PROTO, b"http")])

    assert scope["scheme"] == "http"


def test_apply_leaves_scheme_and_client_alone_without_proxy_headers() -> None:
    scope = make_scope()

    make_policy(proxy_headers=False).apply(
        scope, [(PROTO, b"https"), (PROTO, b"http"), (b"x-forwarded-for", b"192.0.2.1")]
    )

    assert (scope["scheme"], scope["client"]) == ("http", PEER)


# -- client


@pytest.mark.parametrize(
    ("value", "client"),
    [
        # forms of one entry
        ("192.0.2.1", ("192.0.2.1", 0)),
        ("192.0.2.1:4711", ("192.0.2.1", 4711)),
        ("192.0.2.1:0", ("192.0.2.1", 0)),
        ("2001:db8::1", ("2001:db8::1", 0)),
        ("[2001:db8::1]", ("2001:db8::1", 0)),
        ("[2001:db8::1]:4711", ("2001:db8::1", 4711)),
        ('"192.0.2.1:4711"', ("192.0.2.1", 4711)),
        ('"[2001:db8::1]:4711"', ("2001:db8::1", 4711)),
        ("  192.0.2.1\t", ("192.0.2.1", 0)),
        ("::ffff:192.0.2.1", ("::ffff:192.0.2.1", 0)),
        # the right-most that is not trusted
        ("192.0.2.1, 10.0.0.1", ("192.0.2.1", 0)),
        ("192.0.2.1, 10.0.0.1, 127.0.0.1", ("192.0.2.1", 0)),
        ("198.51.100.1, 192.0.2.1, 10.0.0.1", ("192.0.2.1", 0)),
        ("10.0.0.9, 192.0.2.1", ("192.0.2.1", 0)),
        ("192.0.2.1, 10.0.0.1:99, [::1]:80", ("192.0.2.1", 0)),
        ("192.0.2.1, ::ffff:10.0.0.1", ("192.0.2.1", 0)),
        ("junk, 192.0.2.1", ("192.0.2.1", 0)),
        # all are trusted
        ("10.0.0.1", ("10.0.0.1", 0)),
        ("10.0.0.3:5, 10.0.0.2, 127.0.0.1", ("10.0.0.3", 5)),
        # empty elements
        (",192.0.2.1,,10.0.0.1,", ("192.0.2.1", 0)),
        ("", None),
        (" , ", None),
        # unusable
        ("unknown", None),
        ("_hidden", None),
        ("192.0.2.1, unknown", None),
        ("unknown, 10.0.0.1", None),
        ("192.0.2.1:", None),
        ("192.0.2.1:port", None),
        ("192.0.2.1:65536", None),
        ("192.0.2.1:+80", None),
        ("192.0.2.1:²", None),
        ("192.0.2.256", None),
        ("[192.0.2.1]:80", None),
        ("[2001:db8::1", None),
        ("[2001:db8::1]80", None),
        ("[2001:db8::1]:", None),
        ("fe80::1%<b>", None),
        ('"', None),
        ('""', None),
        ("example.com", None),
        ("1" * 5000, None),
    ],
)
def test_apply_finds_the_client(value: str, client: tuple[str, int] | None) -> None:
    policy = make_policy(forwarded_allow_ips=["127.0.0.1", "::1", "10.0.0.0/8"])
    headers = [(b"x-forwarded-for", value.encode("latin-1"))]

    for _ in range(2):  # the second time it is remembered
        scope = make_scope()
        policy.apply(scope, headers)
        assert scope["client"] == (client or PEER)


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("192.0.2.1, 198.51.100.1", ("192.0.2.1", 0)),
        (", 192.0.2.1, 198.51.100.1", ("192.0.2.1", 0)),
        ("unknown, 198.51.100.1", PEER),
    ],
)
def test_apply_takes_the_left_most_client_where_everyone_is_trusted(
    value: str, client: tuple[str, int]
) -> None:
    scope = make_scope()

    make_policy(forwarded_allow_ips=["127.0.0.1", "*"]).apply(
        scope, [(b"x-forwarded-for", value.encode())]
    )

    assert scope["client"] == client


def test_apply_joins_repeated_fields_in_order() -> None:
    scope = make_scope()

    make_policy().apply(
        scope, [(b"x-forwarded-for", b"192.0.2.1"), (b"x-forwarded-for", b"198.51.100.1")]
    )

    assert scope["client"] == ("198.51.100.1", 0)


def test_apply_remembers_a_bounded_number_of_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin, "MAX_REMEMBERED", 4)
    policy = make_policy()

    for number in range(50):
        scope = make_scope()
        policy.apply(scope, [(b"x-forwarded-for", b"192.0.2.%d" % number)])
        assert scope["client"] == (f"192.0.2.{number}", 0)

    assert policy._origin is not None
    assert len(policy._origin._clients) <= 4


@given(st.text(alphabet='0123456789abcdef.:[]",% \t', max_size=60))
def test_apply_gives_an_address_or_leaves_the_peer_whatever_is_sent(value: str) -> None:
    scope = make_scope()

    make_policy().apply(scope, [(b"x-forwarded-for", value.encode())])

    host, port = scope["client"]
    assert ipaddress.ip_address(host) is not None
    assert 0 <= port <= 65535


# -- server


@pytest.mark.parametrize(
    ("fields", "server"),
    [
        ({"host": "shop.example"}, ("shop.example", 80)),
        ({"host": "shop.example", "proto": "https"}, ("shop.example", 443)),
        ({"host": "shop.example:8443", "proto": "https"}, ("shop.example", 8443)),
        ({"host": "shop.example:8443", "port": "444"}, ("shop.example", 444)),
        ({"host": "[2001:db8::1]:8443"}, ("2001:db8::1", 8443)),
        ({"host": "[2001:db8::1]"}, ("2001:db8::1", 80)),
        ({"port": "443"}, ("10.9.8.7", 443)),
        # the nearest proxy's word
        ({"host": "evil.example, shop.example", "port": "1, 443"}, ("shop.example", 443)),
        # unusable
        ({"host": ""}, LOCAL),
        ({"host": ":80"}, LOCAL),
        ({"host": "shop.example:70000"}, LOCAL),
        ({"host": "shop example"}, LOCAL),
        ({"host": "user@shop.example"}, LOCAL),
        ({"host": "2001:db8::1"}, LOCAL),
        ({"host": "[:::1]"}, LOCAL),
        ({"host": "caf\xe9.example"}, LOCAL),
        ({"port": "0"}, LOCAL),
        ({"port": "https"}, LOCAL),
        ({"host": "/etc", "port": "8443"}, ("10.9.8.7", 8443)),
    ],
)
def test_apply_sets_the_server(fields: dict[str, str], server: tuple[str, int]) -> None:
    scope = make_scope()
    headers = [(b"host", b"inside.example")] + [
        (f"x-forwarded-{name}".encode(), value.encode("latin-1")) for name, value in fields.items()
    ]

    make_policy().apply(scope, headers)

    assert scope["server"] == server
    assert headers[0] == (b"host", b"inside.example")


def test_a_port_alone_says_nothing_of_a_unix_socket() -> None:
    scope = make_scope()
    scope["server"] = ("/run/app.sock", None)

    make_policy().apply(scope, [(b"x-forwarded-port", b"443")])

    assert scope["server"] == ("/run/app.sock", None)


# -- Forwarded (RFC 7239)


@pytest.mark.parametrize(
    ("value", "client", "scheme", "server"),
    [
        ("for=192.0.2.1", ("192.0.2.1", 0), "http", LOCAL),
        ('For="192.0.2.1:4711"', ("192.0.2.1", 4711), "http", LOCAL),
        ('for="[2001:db8::1]"', ("2001:db8::1", 0), "http", LOCAL),
        ('for="[2001:db8::1]:4711"', ("2001:db8::1", 4711), "http", LOCAL),
        ('for="[2001:db8::1]:_port"', ("2001:db8::1", 0), "http", LOCAL),
        ('for="192.0.2.\\1"', ("192.0.2.1", 0), "http", LOCAL),
        ("for=[2001:db8::1]:80", ("2001:db8::1", 80), "http", LOCAL),  # quotes forgotten
        ("for=192.0.2.1;proto=https", ("192.0.2.1", 0), "https", LOCAL),
        ("for=192.0.2.1;proto=HTTPS;host=a.example", ("192.0.2.1", 0), "https", ("a.example", 443)),
        ('host="a.example:81" ; for=192.0.2.1', ("192.0.2.1", 0), "http", ("a.example", 81)),
        (";for=192.0.2.1;;by=10.0.0.1;", ("192.0.2.1", 0), "http", LOCAL),
        ("for=192.0.2.1;proto=gopher;host=a/b", ("192.0.2.1", 0), "http", LOCAL),
        ("proto=https", PEER, "https", LOCAL),
        # the element of the right-most node that is no proxy of ours; scheme and host are its own
        ("for=192.0.2.1;proto=https, for=10.0.0.1", ("192.0.2.1", 0), "https", LOCAL),
        ("for=192.0.2.1, for=10.0.0.1;proto=https", ("192.0.2.1", 0), "http", LOCAL),
        (
            "for=6.6.6.6;host=evil.example, for=192.0.2.1;host=a.example, for=10.0.0.1",
            ("192.0.2.1", 0),
            "http",
            ("a.example", 80),
        ),
        ("for=10.0.0.2;proto=https, for=10.0.0.1", ("10.0.0.2", 0), "https", LOCAL),
        (", ,for=192.0.2.1,", ("192.0.2.1", 0), "http", LOCAL),
        ('for=192.0.2.1;ext="a,b;c"', ("192.0.2.1", 0), "http", LOCAL),
        # hidden
        ("for=unknown;proto=https", PEER, "https", LOCAL),
        ("for=192.0.2.1, for=_hidden;proto=https", PEER, "https", LOCAL),
        ('for="_hidden:_port"', PEER, "http", LOCAL),
        # malformed: no word of it counts
        ("for=192.0.2.1;for=192.0.2.2", PEER, "http", LOCAL),
        ("for=192.0.2.1 proto=https", PEER, "http", LOCAL),
        ("for=;proto=https", PEER, "http", LOCAL),
        ("proto=https;192.0.2.1", PEER, "http", LOCAL),
        ("for=192.0.2.1, junk, for=10.0.0.1", PEER, "http", LOCAL),
        ("junk, for=192.0.2.1", ("192.0.2.1", 0), "http", LOCAL),  # left of the client: anybody's
        ("", PEER, "http", LOCAL),
    ],
)
def test_apply_reads_forwarded(
    value: str, client: tuple[str, int], scheme: str, server: tuple[str, int]
) -> None:
    policy = make_policy(forwarded_allow_ips=["127.0.0.1", "10.0.0.0/8"])

    for _ in range(2):  # the second time it is remembered
        scope = make_scope()
        policy.apply(scope, [(b"forwarded", value.encode())])
        assert (scope["client"], scope["scheme"], scope["server"]) == (client, scheme, server)


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("sent", ['for="', 'for="x', 'for="x\\"', 'for="a";by="'])
@pytest.mark.parametrize(
    "added", [["for=192.0.2.1"], ['for="[2001:db8::1]"'], ["for=192.0.2.1", 'for="[::1]"']]
)
def test_a_quote_that_swallows_what_proxies_wrote_is_refused(
    sent: str, added: list[str], separate: bool
) -> None:
    values = [sent, *added] if separate else [", ".join([sent, *added])]

    with pytest.raises(BadRequest, match="quoted string"):
        make_policy().apply(make_scope(), [(b"forwarded", value.encode()) for value in values])


def test_forwarded_counts_for_nothing_beside_the_customary_fields() -> None:
    standard = (b"forwarded", b"for=6.6.6.6;proto=https;host=evil.example")
    for custom in (
        (b"x-forwarded-for", b"192.0.2.1"),
        (b"x-forwarded-proto", b"http"),
        (b"x-forwarded-host", b"a.example"),
        (b"x-forwarded-port", b"80"),
    ):
        alone, both = make_scope(), make_scope()
        make_policy().apply(alone, [custom])
        make_policy().apply(both, [standard, custom])
        assert both == alone


def test_forwarded_may_name_the_scheme_as_any_other_field() -> None:
    policy = make_policy(secure_scheme_headers={"Forwarded": "proto=https"})
    scope = make_scope()

    policy.apply(scope, [(b"forwarded", b"proto=https")])

    assert (scope["scheme"], scope["client"]) == ("https", PEER)


def test_apply_takes_the_left_most_element_where_everyone_is_trusted() -> None:
    scope = make_scope()

    make_policy(forwarded_allow_ips=["*"]).apply(
        scope, [(b"forwarded", b"for=192.0.2.1;proto=https, for=198.51.100.1;proto=http")]
    )

    assert (scope["client"], scope["scheme"]) == (("192.0.2.1", 0), "https")


def test_forwarded_of_a_websocket_has_its_schemes() -> None:
    for value, scheme in ((b"proto=https", "wss"), (b"proto=wss", "wss"), (b"proto=http", "ws")):
        scope = make_scope(kind="websocket")
        make_policy().apply(scope, [(b"forwarded", value)])
        assert scope["scheme"] == scheme


@given(st.text(alphabet='for=by;proto=https,"\\[]:_ 0123456789.\xe9', max_size=60))
def test_apply_survives_whatever_forwarded_says(value: str) -> None:
    scope = make_scope()

    try:
        make_policy().apply(scope, [(b"forwarded", value.encode("latin-1"))])
    except BadRequest:
        assert '"' in value
    assert ipaddress.ip_address(scope["client"][0]) is not None


# -- what is said about it


def test_what_cannot_be_understood_is_named_once_a_field() -> None:
    warnings: list[str] = []
    policy = ForwardingPolicy(ServerConfig(), {}, warnings.append)

    for value in (b"junk", b"more junk"):
        for name in (b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port"):
            policy.apply(make_scope(), [(name, value + b"/" * 200)])
        policy.apply(make_scope(), [(b"forwarded", value)])
    policy.apply(make_scope(), [(b"forwarded", b"for=nobody")])

    named = [text.partition(" ")[0] for text in warnings]
    assert named == ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "Forwarded"]
    assert "'junk'" in warnings[-1]
    assert max(map(len, warnings)) < 250


@pytest.mark.parametrize("value", ["unknown", "_hidden", "192.0.2.1, unknown", "unknown:80"])
def test_a_client_that_is_not_told_is_no_mistake(value: str) -> None:
    warnings: list[str] = []

    ForwardingPolicy(ServerConfig(), {}, warnings.append).apply(
        make_scope(), [(b"x-forwarded-for", value.encode())]
    )

    assert warnings == []


def test_each_peer_that_is_not_believed_is_named_once_up_to_a_number() -> None:
    policy = make_policy()
    fields = [(b"host", b"a"), (b"x-forwarded-for", b"192.0.2.1")]

    texts = [policy.disbelieved(f"10.0.0.{host}", fields) for host in (7, 7, *range(20, 40))]

    assert texts[0] == (
        "X-Forwarded-For from 10.0.0.7 is ignored: add it to forwarded_allow_ips if it is your "
        "proxy"
    )
    assert texts[1] is None
    assert len([text for text in texts if text]) == MAX_NAMED


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        ({}, [(b"host", b"a")]),
        ({}, [(b"script_name", b"/a")]),
        ({"proxy_headers": False}, [(b"x-forwarded-for", b"192.0.2.1")]),
    ],
)
def test_a_peer_that_sends_nothing_to_believe_is_not_named(
    settings: dict[str, Any], fields: Headers
) -> None:
    assert make_policy(**settings).disbelieved("10.0.0.7", fields) is None


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({}, "Proxy headers are believed from 127.0.0.1, ::1 and UNIX sockets"),
        ({"forwarded_allow_ips": ()}, "Proxy headers are believed from UNIX sockets only"),
        (
            {"forwarded_allow_ips": ("*",)},
            "Proxy headers are believed from everyone: "
            "whoever reaches this server can pass for any client",
        ),
        (
            {"proxy_headers": False, "proxy_protocol": "v2", "proxy_allow_ips": ("10.0.0.1",)},
            "Proxy headers are believed from nobody: proxy_headers is off; "
            "PROXY protocol headers from 10.0.0.1 and UNIX sockets",
        ),
    ],
)
def test_trust_is_told_in_a_line(settings: dict[str, Any], line: str) -> None:
    assert trust_summary(ServerConfig(**settings)) == line


# -- mount point


@pytest.mark.parametrize(
    ("root_path", "environ", "header", "sent", "expected"),
    [
        # (path sent by the client's proxy) -> (root_path, path)
        ("", "", None, "/x", ("", "/x")),
        ("/app", "", None, "/x", ("/app", "/app/x")),
        ("", "/app", None, "/app/x", ("/app", "/app/x")),
        ("", "/app/", None, "/app", ("/app", "/app")),
        ("", "/", None, "/x", ("", "/x")),
        ("/root", "/app", None, "/x", ("/root", "/root/x")),
        ("", "", "/app", "/app/x", ("/app", "/app/x")),
        ("", "", "/app/", "/app/x", ("/app", "/app/x")),
        ("", "", "/", "/x", ("", "/x")),
        ("", "/app", "/other", "/other/x", ("/other", "/other/x")),
        ("", "/app", "", "/x", ("", "/x")),
        ("/root", "", "/app", "/app/x", ("/app", "/app/x")),
        ("/root", "", "/app", "/app", ("/app", "/app")),
        ("", "", "/caf%C3%A9", "/café/x", ("/café", "/café/x")),
        ("", "", "/café", "/café/x", ("/café", "/café/x")),
        ("", "/app", None, "*", ("/app", "*")),
        ("", "", "/app", "*", ("/app", "*")),
        # not below it
        ("", "/app", None, "/x", None),
        ("", "/app", None, "/apple", None),
        ("", "/app", None, "/", None),
        ("", "", "/app", "/x", None),
        ("", "", "/app", "/apple/x", None),
        ("", "", "app", "/app/x", None),
        ("/root", "", "/app", "/x", None),
        ("", "/app", "/other", "/app/x", None),
    ],
)
def test_mount_point_comes_from_header_then_root_path_then_environment(
    root_path: str, environ: str, header: str | None, sent: str, expected: tuple[str, str] | None
) -> None:
    policy = make_policy({"SCRIPT_NAME": environ} if environ else {}, root_path=root_path)
    scope: Scope = {
        "type": "http",
        "client": PEER,
        "root_path": policy.root_path,
        "path": policy.path_prefix + sent,
        "raw_path": policy.raw_path_prefix + sent.encode(),
    }
    headers = [] if header is None else [(b"script_name", header.encode())]

    def read() -> None:
        if headers:
            policy.apply(scope, headers)
        if policy.script_name:
            policy.check_mount(scope)

    if expected is None:
        with pytest.raises(ApplicationError, match="is not below"):
            read()
    else:
        read()
        assert (scope["root_path"], scope["path"]) == expected
        assert scope["raw_path"] == expected[1].encode()


def test_apply_gives_no_mount_point_that_the_proxies_may_not_set() -> None:
    scope = make_scope("/x")

    make_policy(forwarder_headers=()).apply(scope, [(b"script_name", b"/app")])

    assert (scope["root_path"], scope["path"]) == ("", "/x")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([b"/app", b"/x"], "contradictory SCRIPT_NAME"),
        ([b"/caf\xe9"], "not UTF-8"),
    ],
)
def test_apply_refuses_an_unclear_mount_point(values: list[bytes], reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        make_policy().apply(make_scope("/app"), [(b"script_name", value) for value in values])


def test_the_mount_point_does_not_need_proxy_headers() -> None:
    scope = make_scope("/app/x", kind="websocket")

    make_policy(proxy_headers=False).apply(scope, [(b"script_name", b"/app")])

    assert (scope["root_path"], scope["path"]) == ("/app", "/app/x")
