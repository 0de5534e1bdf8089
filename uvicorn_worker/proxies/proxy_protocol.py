"""The PROXY protocol: what a proxy says about its client before HTTP begins. Pure.

After the specification of its authors (HAProxy, "The PROXY protocol", versions 1 and 2). Who may
send such a header, and what an address in it is good for, is the connection's business.

Type-length-value entries of version 2 are skipped unread. The checksum (CRC32C) is one of them:
it is not checked, TCP has its own and it protects against no attacker.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from uvicorn_worker.errors import BadRequest

Version: TypeAlias = Literal["v1", "v2", "auto"]
Endpoint: TypeAlias = "tuple[str, int]"
Family: TypeAlias = Literal["TCP4", "TCP6", "UDP4", "UDP6", "UNIX", "UNKNOWN", "LOCAL", "UNSPEC"]

_V1_SIGNATURE: Final = b"PROXY"
_V2_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_FIXED: Final = 16  # bytes that every header of version 2 has

# Section 2.1: the longest line that can be right, with its CRLF.
_V1_MAX: Final = 107
# A bound of our own on what follows the fixed bytes: the length field could say 65,535, while
# addresses, names and the subject of a certificate are a few hundred bytes.
_V2_MAX: Final = 4096

# Section 2.2, the 14th byte: family and transport -> name, bytes of the address block. Every
# other combination of a known family and a known transport is UNSPEC on one side.
_V2_FAMILIES: Final[dict[int, tuple[Family, int]]] = {
    0x11: ("TCP4", 12),
    0x12: ("UDP4", 12),
    0x21: ("TCP6", 36),
    0x22: ("UDP6", 36),
    0x31: ("UNIX", 216),
    0x32: ("UNIX", 216),
}
_LOCAL: Final[tuple[Family, int]] = ("LOCAL", 0)
_UNSPEC: Final[tuple[Family, int]] = ("UNSPEC", 0)
_MAX_FAMILY: Final = 3
_MAX_TRANSPORT: Final = 2

_match_port = re.compile("0|[1-9][0-9]{0,4}").fullmatch


@dataclass(frozen=True, slots=True)
class ProxyInfo:
    """What a PROXY header says.

    `source` and `destination` are (host, port) of the client's connection to the proxy. Both are
    None where the header names no such TCP connection, and the socket's addresses stay in force:
    LOCAL (the proxy itself: a health check), UNKNOWN, UNSPEC, datagrams, UNIX sockets.
    """

    source: Endpoint | None
    destination: Endpoint | None
    version: Literal[1, 2]
    family: Family


def read(buffer: bytes, version: Version) -> tuple[ProxyInfo | None, int] | None:
    """Return the PROXY header at the beginning of a connection, and its length in bytes.

    (None, 0) means that there is none and HTTP begins at once: said at the first byte that
    differs. None means that more bytes are needed: call again with all of them.

    Args:
        buffer: all bytes that came on the connection so far.
        version: which version may be sent; `auto` allows both.

    Raises:
        BadRequest: there is one, but malformed or of a version that is not allowed. It is said
            as early as it is certain; the specification wants the connection closed.
    """
    if buffer.startswith(_V1_SIGNATURE):
        if version == "v2":
            raise BadRequest("PROXY header of version 1, only version 2 is allowed")
        return _read_v1(buffer)
    if buffer.startswith(_V2_SIGNATURE):
        if version == "v1":
            raise BadRequest("PROXY header of version 2, only version 1 is allowed")
        return _read_v2(buffer)
    if _V1_SIGNATURE.startswith(buffer) or _V2_SIGNATURE.startswith(buffer):
        return None
    return None, 0


def _read_v1(buffer: bytes) -> tuple[ProxyInfo, int] | None:
    """Read the line of version 1 (section 2.1); `buffer` begins with its signature."""
    end = buffer.find(b"\r\n", 0, _V1_MAX)
    complete = end >= 0
    line = buffer[:end] if complete else buffer[:_V1_MAX]
    # The last byte of an incomplete line may be the CR whose LF is on its way.
    if b"\n" in line or b"\r" in (line if complete else line[:-1]):
        raise _malformed("CR or LF alone")
    if not complete:
        if len(buffer) >= _V1_MAX:
            raise _malformed("line of more than 107 bytes")
        return None
    fields = line.split(b" ")
    if fields[0] == _V1_SIGNATURE and fields[1:2] == [b"UNKNOWN"]:
        # "the receiver must ignore anything presented before the CRLF"
        return ProxyInfo(None, None, 1, "UNKNOWN"), end + 2
    try:
        signature, name, *fields_of_both = line.decode("ascii").split(" ")
        source, destination, source_port, destination_port = fields_of_both
    except ValueError:
        raise _malformed("wrong number of fields, or not ASCII") from None
    family: Family
    if (signature, name) == ("PROXY", "TCP4"):
        family = "TCP4"
    elif (signature, name) == ("PROXY", "TCP6"):
        family = "TCP6"
    else:
        raise _malformed("unknown family")
    info = ProxyInfo(
        (_parse_host(source, family), _parse_port(source_port)),
        (_parse_host(destination, family), _parse_port(destination_port)),
        1,
        family,
    )
    return info, end + 2


def _read_v2(buffer: bytes) -> tuple[ProxyInfo, int] | None:
    """Read the block of version 2 (section 2.2); `buffer` begins with its signature."""
    fixed = buffer[:_V2_FIXED]
    if len(fixed) > 12 and fixed[12] not in (0x20, 0x21):
        raise _malformed("unknown version or command")
    local = fixed[12:13] == b"\x20"
    if not local and len(fixed) > 13:
        family, transport = divmod(fixed[13], 16)
        if family > _MAX_FAMILY or transport > _MAX_TRANSPORT:
            raise _malformed("unknown family or transport")
    if len(fixed) < _V2_FIXED:
        return None
    length = int.from_bytes(fixed[14:16], "big")
    if length > _V2_MAX:
        raise _malformed(f"more than {_V2_MAX} bytes")
    # LOCAL: "must discard the protocol block including the family which is ignored"
    name, needed = _LOCAL if local else _V2_FAMILIES.get(fixed[13], _UNSPEC)
    if length < needed:
        raise _malformed("too short for its addresses")
    end = _V2_FIXED + length
    if len(buffer) < end:
        return None
    block = buffer[_V2_FIXED : _V2_FIXED + needed]
    source, destination = _split_block(block) if name in ("TCP4", "TCP6") else (None, None)
    return ProxyInfo(source, destination, 2, name), end


def _split_block(block: bytes) -> tuple[Endpoint, Endpoint]:
    """Return the endpoints of an address block: two addresses, then two ports."""
    size = (len(block) - 4) // 2
    ports = 2 * size
    return (
        (_name(block[:size]), int.from_bytes(block[ports : ports + 2], "big")),
        (_name(block[size:ports]), int.from_bytes(block[ports + 2 :], "big")),
    )


def _parse_host(text: str, family: Family) -> str:
    """Return an address of version 1, in the form that version 2 and sockets give it."""
    try:
        if family == "TCP4":
            return _name(ipaddress.IPv4Address(text).packed)
        if "%" in text:
            raise _malformed("address with a zone")
        return _name(ipaddress.IPv6Address(text).packed)
    except ValueError:
        raise _malformed(f"no {family} address: {text!r}") from None


def _parse_port(text: str) -> int:
    if _match_port(text) is None or int(text) > 65535:
        raise _malformed(f"no port: {text!r}")
    return int(text)


def _name(packed: bytes) -> str:
    if len(packed) == 4:
        return str(ipaddress.IPv4Address(packed))
    address = ipaddress.IPv6Address(packed)
    # Python before 3.13 writes the last 32 bits in hexadecimal; sockets never do.
    mapped = address.ipv4_mapped
    return str(address) if mapped is None else f"::ffff:{mapped}"


def _malformed(why: str) -> BadRequest:
    return BadRequest(f"malformed PROXY header: {why}")
