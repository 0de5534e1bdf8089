"""What `ForwardingPolicy` makes of Forwarded (RFC 7239), and what it says of mistakes."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.forwarding import LOCAL, PEER, make_policy, make_scope
from uvicorn_worker.errors import BadRequest
from uvicorn_worker.proxies.headers import MAX_NAMED, ForwardingPolicy, trust_summary
from uvicorn_worker.serverconfig import ServerConfig

if TYPE_CHECKING:
    from uvicorn_worker.asgi import Headers


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
