"""Lists of peers that a setting names. Pure.

What peers in a list may do is the business of whoever has one: `headers` for forwarding headers,
the connection for the PROXY protocol.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final, TypeAlias

from uvicorn_worker.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

Ip: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"
Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"

# Answers remembered per list. Peers choose what is looked up, so number and size of the keys are
# bounded: 1024 is more proxies than a server has.
MAX_REMEMBERED: Final = 1024
MAX_KEY: Final = 256

_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")  # RFC 4291 section 2.5.5.2


class PeerList:
    """The peers that a setting names: addresses, networks (CIDR), or `*` for all of them.

    Args:
        entries: the entries, or one string of them with commas between.

    Raises:
        ConfigError: an entry is none of these; the message names it.
    """

    __slots__ = ("_answers", "_names", "_networks", "everyone")

    def __init__(self, entries: Sequence[str] | str) -> None:
        if isinstance(entries, str):
            entries = entries.split(",")
        self._names = names = [name for entry in entries if (name := entry.strip())]
        self.everyone = "*" in names
        self._networks = [_parse_network(name) for name in names if name != "*"]
        self._answers: dict[str, bool] = {}

    def __str__(self) -> str:
        """Return whom it names, for people: `127.0.0.1, ::1 and UNIX sockets`."""
        if self.everyone:
            return "everyone"
        return f"{', '.join(self._names)} and UNIX sockets" if self._names else "UNIX sockets only"

    def trusts(self, host: str | None) -> bool:
        """Return whether the peer of a socket is in the list.

        `host` is its address; None, an empty string or a path is the peer of a UNIX socket, which
        got in by the permissions of a file and is always trusted. Not for text out of a message.
        """
        if not host or self.everyone:
            return True
        answer = self._answers.get(host)
        if answer is None:
            ip = parse_ip(host.partition("%")[0])  # a link-local address may name its interface
            answer = ip is None or self.contains(ip)
            if len(self._answers) < MAX_REMEMBERED and len(host) < MAX_KEY:
                self._answers[host] = answer
        return answer

    def contains(self, ip: Ip) -> bool:
        """Return whether an address is in the list.

        A dual-stack socket shows an IPv4 peer as IPv6 (`::ffff:192.0.2.1`): either form counts.
        """
        if self.everyone:
            return True
        mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
        return any(ip in one or (mapped is not None and mapped in one) for one in self._networks)


def parse_ip(text: str) -> Ip | None:
    """Return the address that a text is, None where it is none."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _parse_network(entry: str) -> Network:
    """Return an address or network as a network, IPv4-mapped IPv6 as IPv4."""
    try:
        network = ipaddress.ip_network(entry)
    except ValueError as exc:
        raise ConfigError(
            f"{entry!r} names no peers ({exc}): expected an address like '10.0.0.1' or "
            f"'2001:db8::1', a network like '10.0.0.0/8', or '*' for everyone"
        ) from None
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        address = network.network_address.ipv4_mapped
        return ipaddress.IPv4Network(f"{address}/{network.prefixlen - _MAPPED.prefixlen}")
    return network
