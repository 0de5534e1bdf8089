"""Whom a `PeerList` trusts, what it refuses, and how it is shown."""

from __future__ import annotations

import pytest

from uvicorn_worker.errors import ConfigError
from uvicorn_worker.proxies import peers
from uvicorn_worker.proxies.peers import PeerList

LOOPBACK = ("127.0.0.1", "::1")


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
    listed = PeerList(entries)

    assert listed.trusts(host) is trusted
    assert listed.trusts(host) is trusted  # the remembered answer


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
    monkeypatch.setattr(peers, "MAX_REMEMBERED", 3)
    listed = PeerList(["10.0.0.0/8"])

    for number in range(10):
        assert listed.trusts(f"10.0.0.{number}")
        assert not listed.trusts(f"11.0.0.{number}")

    assert len(listed._answers) == 3


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        (LOOPBACK, "127.0.0.1, ::1 and UNIX sockets"),
        (["10.0.0.0/8"], "10.0.0.0/8 and UNIX sockets"),
        ([], "UNIX sockets only"),
        (["10.0.0.1", "*"], "everyone"),
    ],
)
def test_peer_list_says_whom_it_names(entries: list[str], text: str) -> None:
    assert str(PeerList(entries)) == text
