"""`proxy_protocol.read`: what a PROXY header says, and where there is none."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uvicorn_worker.errors import BadRequest
from uvicorn_worker.proxies.proxy_protocol import ProxyInfo, read

if TYPE_CHECKING:
    from uvicorn_worker.proxies.proxy_protocol import Version

VERSIONS: tuple[Version, ...] = ("v1", "v2", "auto")
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
HTTP = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


def v2(command: int, family: int, block: bytes = b"", length: int | None = None) -> bytes:
    size = len(block) if length is None else length
    return SIGNATURE + bytes([command, family]) + size.to_bytes(2, "big") + block


V4_BLOCK = bytes([192, 0, 2, 1, 10, 0, 0, 9]) + b"\x12\x67\x01\xbb"
V6_BLOCK = (
    ipaddress.IPv6Address("2001:db8::1").packed
    + ipaddress.IPv6Address("::ffff:10.0.0.9").packed
    + b"\x12\x67\x00\x50"
)
UNIX_BLOCK = b"/a".ljust(108, b"\0") + b"/b".ljust(108, b"\0")
TLV = b"\x04\x00\x03abc"

V4 = (("192.0.2.1", 4711), ("10.0.0.9", 443))
V6 = (("2001:db8::1", 4711), ("::ffff:10.0.0.9", 80))

GOOD = [
    # version 1
    (b"PROXY TCP4 192.0.2.1 10.0.0.9 4711 443\r\n", ProxyInfo(*V4, 1, "TCP4")),
    (b"PROXY TCP6 2001:DB8:0::1 ::ffff:10.0.0.9 4711 80\r\n", ProxyInfo(*V6, 1, "TCP6")),
    (b"PROXY TCP6 2001:db8::1 ::ffff:a00:9 4711 80\r\n", ProxyInfo(*V6, 1, "TCP6")),
    (
        b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n",
        ProxyInfo(("0.0.0.0", 0), ("255.255.255.255", 65535), 1, "TCP4"),
    ),
    (
        b"PROXY TCP6 " + b"ffff:" * 7 + b"ffff " + b"ffff:" * 7 + b"ffff 65535 65535\r\n",
        ProxyInfo(("ffff:" * 7 + "ffff", 65535), ("ffff:" * 7 + "ffff", 65535), 1, "TCP6"),
    ),
    (b"PROXY UNKNOWN\r\n", ProxyInfo(None, None, 1, "UNKNOWN")),
    (b"PROXY UNKNOWN \r\n", ProxyInfo(None, None, 1, "UNKNOWN")),
    (b"PROXY UNKNOWN what \xff  ever\r\n", ProxyInfo(None, None, 1, "UNKNOWN")),
    (b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", ProxyInfo(None, None, 1, "UNKNOWN")),  # 107 bytes
    # version 2
    (v2(0x21, 0x11, V4_BLOCK), ProxyInfo(*V4, 2, "TCP4")),
    (v2(0x21, 0x21, V6_BLOCK), ProxyInfo(*V6, 2, "TCP6")),
    (v2(0x21, 0x11, V4_BLOCK + TLV), ProxyInfo(*V4, 2, "TCP4")),
    (v2(0x21, 0x21, V6_BLOCK + TLV * 2), ProxyInfo(*V6, 2, "TCP6")),
    (v2(0x21, 0x11, V4_BLOCK.ljust(4096, b"\0")), ProxyInfo(*V4, 2, "TCP4")),
    (v2(0x21, 0x12, V4_BLOCK), ProxyInfo(None, None, 2, "UDP4")),
    (v2(0x21, 0x22, V6_BLOCK), ProxyInfo(None, None, 2, "UDP6")),
    (v2(0x21, 0x31, UNIX_BLOCK), ProxyInfo(None, None, 2, "UNIX")),
    (v2(0x21, 0x32, UNIX_BLOCK + TLV), ProxyInfo(None, None, 2, "UNIX")),
    (v2(0x21, 0x00), ProxyInfo(None, None, 2, "UNSPEC")),
    (v2(0x21, 0x00, V4_BLOCK), ProxyInfo(None, None, 2, "UNSPEC")),
    (v2(0x21, 0x10, b"x"), ProxyInfo(None, None, 2, "UNSPEC")),
    (v2(0x21, 0x01, b"x"), ProxyInfo(None, None, 2, "UNSPEC")),
    (v2(0x20, 0x00), ProxyInfo(None, None, 2, "LOCAL")),
    (v2(0x20, 0x11, V4_BLOCK), ProxyInfo(None, None, 2, "LOCAL")),
    (v2(0x20, 0xFF, TLV), ProxyInfo(None, None, 2, "LOCAL")),
]


def allowed(header: bytes) -> tuple[Version, Version]:
    return ("v1", "auto") if header.startswith(b"PROXY") else ("v2", "auto")


@pytest.mark.parametrize(("header", "info"), GOOD)
@pytest.mark.parametrize("rest", [b"", HTTP, b"\r\n", b"PROXY "])
def test_a_header_is_read_and_what_follows_is_left(
    header: bytes, info: ProxyInfo, rest: bytes
) -> None:
    for version in allowed(header):
        assert read(header + rest, version) == (info, len(header))


@pytest.mark.parametrize("header", [header for header, _ in GOOD])
def test_every_part_of_a_header_needs_more_bytes(header: bytes) -> None:
    for version in allowed(header):
        assert [read(header[:size], version) for size in range(len(header))] == [None] * len(header)


@pytest.mark.parametrize(
    "buffer",
    [
        HTTP,
        b"POST / HTTP/1.1\r\n",
        b"PUT / HTTP/1.1\r\n",
        b"PROPFIND / HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"proxy TCP4 192.0.2.1 10.0.0.9 4711 443\r\n",
        b" PROXY",
        b"\r\n" + HTTP,
        b"\r\n\r\n" + HTTP,
        b"\x16\x03\x01\x02\x00",
        SIGNATURE[:-1] + b"!",
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_http_at_once_is_seen_at_the_first_byte_that_differs(
    buffer: bytes, version: Version
) -> None:
    answers = [read(buffer[:size], version) for size in range(len(buffer) + 1)]
    same = max(
        sum(1 for size in range(1, len(buffer) + 1) if signature.startswith(buffer[:size]))
        for signature in (b"PROXY", SIGNATURE)
    )

    assert answers == [None] * (same + 1) + [(None, 0)] * (len(buffer) - same)


@pytest.mark.parametrize(
    ("buffer", "earliest"),
    [
        # version 1: the line (and the shortest beginning for which it is certain)
        (b"PROXY\r\n", None),
        (b"PROXY \r\n", None),
        (b"PROXYTCP4 192.0.2.1 10.0.0.9 4711 443\r\n", None),
        (b"PROXY  TCP4 192.0.2.1 10.0.0.9 4711 443\r\n", None),
        (b"PROXY TCP4 192.0.2.1 10.0.0.9 4711 443 \r\n", None),
        (b"PROXY TCP4 192.0.2.1 10.0.0.9 4711\r\n", None),
        (b"PROXY TCP4 192.0.2.1 10.0.0.9 4711 443 1\r\n", None),
        (b"PROXY\tTCP4 192.0.2.1 10.0.0.9 4711 443\r\n", None),
        (b"PROXY TCP5 192.0.2.1 10.0.0.9 4711 443\r\n", None),
        (b"PROXY tcp4 192.0.2.1 10.0.0.9 4711 443\r\n", None),
        (b"PROXY UDP4 192.0.2.1 10.0.0.9 4711 443\r\n", None),
        (b"PROXY UNKNOWNS\r\n", None),
        (b"PROXYS UNKNOWN\r\n", None),
        (b"PROXY TCP4 2001:db8::1 2001:db8::2 4711 443\r\n", None),
        (b"PROXY TCP6 192.0.2.1 10.0.0.9 4711 443\r\n", None),
        (b"PROXY TCP4 192.0.2.256 10.0.0.9 4711 443\r\n", None),
        (b"PROXY TCP4 192.0.2.01 10.0.0.9 4711 443\r\n", None),
        (b"PROXY TCP4 192.0.2 10.0.0.9 4711 443\r\n", None),
        (b"PROXY TCP4 192.0.2.1 example.com 4711 443\r\n", None),
        (b"PROXY TCP4 192.0.2.1 10.0.0.9/8 4711 443\r\n", None),
        (b"PROXY TCP4 192.0.2.\xb2 10.0.0.9 4711 443\r\n", None),
        (b"PROXY TCP6 fe80::1%eth0 ::1 4711 443\r\n", None),
        (b"PROXY TCP6 [::1] ::1 4711 443\r\n", None),
        (b"PROXY TCP6 ::1:: ::1 4711 443\r\n", None),
        (b"PROXY TCP4 192.0.2.1 10.0.0.9 04711 443\r\n", None),
        (b"PROXY TCP4 192.0.2.1 10.0.0.9 65536 443\r\n", None),
        (b"PROXY TCP4 192.0.2.1 10.0.0.9 4711 00\r\n", None),
        (b"PROXY TCP4 192.0.2.1 10.0.0.9 -1 443\r\n", None),
        (b"PROXY TCP4 192.0.2.1 10.0.0.9 +1 443\r\n", None),
        (b"PROXY TCP4 192.0.2.1 10.0.0.9 4711 0x1\r\n", None),
        (b"PROXY TCP4 192.0.2.1 10.0.0.9 4711 443\n" + HTTP, 39),
        (b"PROXY TCP4 192.0.2.1 10.0.0.9 4711 443\r" + HTTP, 40),
        (b"PROXY TCP4 192.0.2.1 10.0.0.9 4711 443\r\r\n", 40),
        (b"PROXY UNKNOWN\n\r\n", 14),
        (b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n", 107),  # 108 bytes
        (b"PROXY UNKNOWN " + b"x" * 93 + b"\r\n", 107),
        # version 2
        (v2(0x11, 0x11, V4_BLOCK), 13),
        (v2(0x31, 0x11, V4_BLOCK), 13),
        (v2(0x22, 0x11, V4_BLOCK), 13),
        (v2(0x2F, 0x11, V4_BLOCK), 13),
        (v2(0x21, 0x41, V4_BLOCK), 14),
        (v2(0x21, 0x13, V4_BLOCK), 14),
        (v2(0x21, 0xFF, V4_BLOCK), 14),
        (v2(0x21, 0x11, V4_BLOCK[:-1]), 16),
        (v2(0x21, 0x12), 16),
        (v2(0x21, 0x21, V6_BLOCK[:-1]), 16),
        (v2(0x21, 0x31, UNIX_BLOCK[:-1]), 16),
        (v2(0x21, 0x11, length=4097), 16),
        (v2(0x20, 0x00, length=65535), 16),
    ],
)
def test_a_malformed_header_is_refused_as_soon_as_it_is_certain(
    buffer: bytes, earliest: int | None
) -> None:
    if earliest is None:
        earliest = len(buffer)
    for version in allowed(buffer):
        for size in range(earliest):
            assert read(buffer[:size], version) is None
        for size in range(earliest, len(buffer) + 1):
            with pytest.raises(BadRequest, match="malformed PROXY header") as caught:
                read(buffer[:size], version)
            assert caught.value.status == 400


@pytest.mark.parametrize(
    ("header", "version", "signature"),
    [
        (b"PROXY UNKNOWN\r\n", "v2", 5),
        (v2(0x20, 0x00), "v1", 12),
    ],
)
def test_the_version_that_is_not_allowed_is_refused(
    header: bytes, version: Version, signature: int
) -> None:
    assert read(header[: signature - 1], version) is None
    with pytest.raises(BadRequest, match="is allowed"):
        read(header[:signature], version)


@given(st.binary(max_size=140), st.sampled_from([b"", b"PROXY ", b"PROXY TCP6 ", SIGNATURE]))
def test_any_bytes_are_read_or_refused_and_more_bytes_change_no_answer(
    data: bytes, beginning: bytes
) -> None:
    buffer = beginning + data
    answer: object = None
    for size in range(len(buffer) + 1):
        try:
            now: object = read(buffer[:size], "auto")
        except BadRequest:
            now = BadRequest
        assert answer is None or now == answer
        answer = now
