"""Whom `PeerList` trusts, and what `ForwardingPolicy` makes of a trusted peer's headers."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uvicorn_worker import proxy
from uvicorn_worker.errors import ApplicationError, BadRequest, ConfigError
from uvicorn_worker.proxy import ForwardingPolicy, PeerList
from uvicorn_worker.serverconfig import ServerConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from uvicorn_worker.asgi import Headers, Scope

PEER = ("127.0.0.1", 50000)
LOOPBACK = ("127.0.0.1", "::1")


# -- PeerList


@pytest.mark.parametrize(
    ("entries", "host", "trusted"),
    [
        # the peer of a UNIX socket
        ([], None, True),
        ([], "", True),
        ([], "/run/nginx.sock", True),
        # addresses
        ([], "127.0.0.1", False),
        (LOOPBACK, "127.0.0.1", True),
        (LOOPBACK, "127.0.0.2", False),
        (LOOPBACK, "::1", True),
        (LOOPBACK, "0:0:0:0:0:0:0:1", True),
        (["2001:DB8::1"], "2001:db8::1", True),
        (["fe80::1"], "fe80::1%eth0", True),
        # networks
        (["10.0.0.0/8"], "10.255.0.1", True),
        (["10.0.0.0/8"], "11.0.0.1", False),
        (["2001:db8::/32"], "2001:db8:ffff::", True),
        (["2001:db8::/32"], "2001:db9::", False),
        (["0.0.0.0/0"], "192.0.2.1", True),
        (["0.0.0.0/0"], "2001:db8::1", False),
        (["::/0"], "192.0.2.1", False),
        # IPv4 peers on a dual-stack socket
        (LOOPBACK, "::ffff:127.0.0.1", True),
        (["10.0.0.0/8"], "::ffff:10.1.2.3", True),
        (["10.0.0.0/8"], "::ffff:11.1.2.3", False),
        (["::ffff:10.0.0.1"], "10.0.0.1", True),
        (["::ffff:10.0.0.1"], "::ffff:10.0.0.1", True),
        (["::ffff:10.0.0.0/104"], "10.1.2.3", True),
        (["::ffff:10.0.0.0/104"], "::ffff:11.0.0.1", False),
        (["::/0"], "::ffff:192.0.2.1", True),
        # everyone
        (["*"], "192.0.2.1", True),
        (["10.0.0.1", "*"], "192.0.2.1", True),
        ("10.0.0.1, *", "2001:db8::1", True),
        # one string, blanks
        ("10.0.0.1,10.0.0.2", "10.0.0.2", True),
        (" 10.0.0.1 , 10.1.0.0/16 ,", "10.1.2.3", True),
        ("", "127.0.0.1", False),
    ],
)
def test_peer_list_trusts_whom_it_names(
    entries: list[str] | str, host: str | None, trusted: bool
) -> None:
    peers = PeerList(entries)

    assert peers.trusts(host) is trusted
    assert peers.trusts(host) is trusted  # the remembered answer


@pytest.mark.parametrize(
    ("entries", "named"),
    [
        (["127.0.0.1", "nginx"], "'nginx'"),
        ("10.0.0.1/33", "'10.0.0.1/33'"),
        (["10.0.0.1/8"], "host bits"),
        (["10.0.0.256"], "'10.0.0.256'"),
        (["010.0.0.1"], "'010.0.0.1'"),
        (["10.0.0.1-10.0.0.9"], "expected an address like"),
        (["unix:/run/x.sock"], "'unix:/run/x.sock'"),
    ],
)
def test_peer_list_refuses_what_names_no_peer(entries: list[str] | str, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PeerList(entries)

    assert named in str(caught.value)


def test_peer_list_remembers_a_bounded_number_of_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "MAX_REMEMBERED", 3)
    peers = PeerList(["10.0.0.0/8"])

    for number in range(10):
        assert peers.trusts(f"10.0.0.{number}")
        assert not peers.trusts(f"11.0.0.{number}")

    assert len(peers._answers) == 3


# -- ForwardingPolicy: what stands in the settings


def make_policy(environ: Mapping[str, str] | None = None, **settings: Any) -> ForwardingPolicy:
    return ForwardingPolicy(ServerConfig(**settings), environ or {})


def make_scope(path: str = "/", *, kind: str = "http", root_path: str = "") -> Scope:
    return {
        "type": kind,
        "scheme": "http" if kind == "http" else "ws",
        "client": PEER,
        "root_path": root_path,
        "path": root_path + path,
        "raw_path": (root_path + path).encode(),
    }


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, {b"x-forwarded-for", b"x-forwarded-proto", b"script_name"}),
        ({"proxy_headers": False}, {b"script_name"}),
        ({"proxy_headers": False, "forwarder_headers": ()}, set()),
        (
            {"forwarder_headers": ["*"], "secure_scheme_headers": {}},
            {b"x-forwarded-for", b"script_name"},
        ),
        (
            {"forwarder_headers": ["PATH_INFO"], "secure_scheme_headers": {"X-Ssl": "on"}},
            {b"x-forwarded-for", b"x-ssl"},
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
        ("http", [(PROTO, b"https, http")], "http"),
        ("http", [(PROTOCOL, b"ssl")], "https"),
        ("http", [(SSL, b"on")], "https"),
        ("http", [(SSL, b"off")], "http"),
        ("http", [(PROTO, b"https"), (SSL, b"on")], "https"),
        ("http", [(PROTO, b"https"), (SSL, b"off")], None),
        ("http", [(PROTO, b"https"), (PROTO, b"http")], None),
        ("http", [(PROTO, b"https"), (PROTO, b"https")], "https"),
        ("websocket", [(PROTO, b"https")], "wss"),
        ("websocket", [(PROTO, b"wss")], "wss"),
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
    monkeypatch.setattr(proxy, "MAX_REMEMBERED", 4)
    policy = make_policy()

    for number in range(50):
        scope = make_scope()
        policy.apply(scope, [(b"x-forwarded-for", b"192.0.2.%d" % number)])
        assert scope["client"] == (f"192.0.2.{number}", 0)

    assert len(policy._clients) <= 4


@given(st.text(alphabet='0123456789abcdef.:[]",% \t', max_size=60))
def test_apply_gives_an_address_or_leaves_the_peer_whatever_is_sent(value: str) -> None:
    scope = make_scope()

    make_policy().apply(scope, [(b"x-forwarded-for", value.encode())])

    host, port = scope["client"]
    assert ipaddress.ip_address(host) is not None
    assert 0 <= port <= 65535


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
