"""Read what `ssl` does not tell of certificates: their subject as RFC 4514 writes it, their dates.

Only for certificates that OpenSSL has taken: their form is not checked again. Pure.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

# Attribute types by the bytes of their identifiers: those of RFC 4514 section 3, then others that
# have a registered name (RFC 4520) and are found in certificates.
_NAMES: Final[dict[bytes, str]] = {
    b"\x55\x04\x03": "CN",
    b"\x55\x04\x07": "L",
    b"\x55\x04\x08": "ST",
    b"\x55\x04\x0a": "O",
    b"\x55\x04\x0b": "OU",
    b"\x55\x04\x06": "C",
    b"\x55\x04\x09": "STREET",
    b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19": "DC",
    b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01": "UID",
    b"\x55\x04\x04": "sn",
    b"\x55\x04\x05": "serialNumber",
    b"\x55\x04\x0c": "title",
    b"\x55\x04\x11": "postalCode",
    b"\x55\x04\x2a": "givenName",
    b"\x55\x04\x2b": "initials",
    b"\x55\x04\x2c": "generationQualifier",
    b"\x55\x04\x2e": "dnQualifier",
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01": "emailAddress",
}

# The kinds of text that a name may be written in (X.680 section 8.6), and how to read each.
_ENCODINGS: Final[dict[int, str]] = {
    0x0C: "utf-8",
    0x12: "ascii",  # NumericString
    0x13: "ascii",  # PrintableString
    0x14: "latin-1",  # TeletexString, as everybody means it
    0x16: "ascii",  # IA5String
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",  # BMPString
}

_VERSION: Final = 0xA0  # the tag of the only optional field in front of those that are read here
_UTC_TIME: Final = 0x17

# RFC 4514 section 2.4; control characters could be left as they are, but not in a log.
_SPECIAL: Final = re.compile(r'["+,;<>\\]|^[ #]| $')
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class _Item(NamedTuple):
    """One element of DER: its tag, its content, and all of its bytes."""

    tag: int
    content: bytes
    whole: bytes


class Validity(NamedTuple):
    """When a certificate begins and ends to count, in UTC."""

    start: datetime
    end: datetime


def subject_name(der: bytes) -> str:
    """Return the subject of a certificate in the form of RFC 4514: `CN=Jo,OU=Ops,O=Example`."""
    *_, subject = _fields(der, 5)
    return ",".join(
        "+".join(_attribute(item.content) for item in _items(relative.content))
        # Section 2.1: the last one first.
        for relative in reversed(list(_items(subject.content)))
    )


def validity(der: bytes) -> Validity:
    """Return between which instants a certificate counts (RFC 5280 section 4.1.2.5)."""
    *_, dates = _fields(der, 4)
    start, end = _items(dates.content)
    return Validity(_time(start), _time(end))


def _fields(der: bytes, count: int) -> list[_Item]:
    """Return as many fields of the certificate's inner part, from its serial number on."""
    certificate = next(_items(der))
    inner = next(_items(certificate.content))
    fields = [item for item in _items(inner.content) if item.tag != _VERSION]
    return fields[:count]


def _items(data: bytes) -> Iterator[_Item]:
    """Split DER into its elements (X.690 section 8.1)."""
    at = 0
    while at < len(data):
        begin, tag, length = at, data[at], data[at + 1]
        at += 2
        if length > 127:  # the long form: in as many bytes as the lower bits say
            size = length & 127
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        content = data[at : at + length]
        at += length
        yield _Item(tag, content, data[begin:at])


def _attribute(pair: bytes) -> str:
    """Return one type and its value (RFC 4514 section 2.3)."""
    kind, value = _items(pair)
    name, encoding = _NAMES.get(kind.content), _ENCODINGS.get(value.tag)
    if name is None or encoding is None:
        return f"{name or _dotted(kind.content)}=#{value.whole.hex()}"
    text = _SPECIAL.sub(r"\\\g<0>", value.content.decode(encoding, "replace"))
    return f"{name}={_CONTROL.sub(lambda match: f'{chr(92)}{ord(match[0]):02x}', text)}"


def _dotted(identifier: bytes) -> str:
    """Return an object identifier as numbers (X.690 section 8.19)."""
    numbers, number = [], 0
    for byte in identifier:
        number = number << 7 | byte & 127
        if byte < 128:
            numbers.append(number)
            number = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))


def _time(item: _Item) -> datetime:
    text = item.content.decode("ascii")
    if item.tag == _UTC_TIME:  # two digits of the year: RFC 5280 section 4.1.2.5.1
        text = ("20" if text[:2] < "50" else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc)
