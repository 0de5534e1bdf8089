"""What `ForwardingPolicy` makes of the forwarding headers of trusted and other peers."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.forwarding import LOCAL, PEER, make_policy, make_scope
from uvicorn_worker.errors import BadRequest, ConfigError
from uvicorn_worker.proxies import origin

if TYPE_CHECKING:
    from uvicorn_worker.asgi import Headers

ORIGIN = {b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port", b"forwarded"}


# -- ForwardingPolicy: what stands in the settings


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, {b"x-forwarded-proto", *ORIGIN}),
        ({"proxy_headers": False}, set()),
        ({"proxy_headers": False, "forwarder_headers": ["SCRIPT_NAME"]}, {b"script_name"}),
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
