"""What a WebSocket server makes of a client's bytes, by RFC 6455 and RFC 7692, as data.

A case is what a client sends once the handshake is done and what has to come of it: messages,
pongs, and the code of the close frame that answers. The same cases are fed to the reader (in any
pieces, with each engine) and sent over real sockets.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.rawws import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TAIL,
    TEXT,
    Deflate,
    close_frame,
    frame,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 200_000
"""`ws_max_size` of the servers that the cases are for."""

OPEN = None


@dataclass(frozen=True)
class Case:
    """Bytes of a client, and what has to come of them."""

    name: str
    data: bytes
    messages: list[str | bytes] = field(default_factory=list)
    pongs: list[bytes] = field(default_factory=list)
    close: int | None = OPEN
    """The code that the server's close frame has; None: it sends none."""
    peer: tuple[int, str] | None = None
    """What the application is told of the client's close frame."""
    deflate: str = ""
    """The offer of permessage-deflate; without one there is no compression."""


def all_cases() -> Iterator[Case]:
    """Return every case."""
    for group in (
        sizes, control, reserved, fragments, text_encoding, closing, lengths, masks, limits,
        compression, broken_compression,
    ):  # fmt: skip
        for case in group():
            yield Case(**{**case.__dict__, "name": f"{group.__name__}: {case.name}"})


# -- RFC 6455 section 5.2 and 5.6


def sizes() -> Iterator[Case]:
    for size in (0, 1, 5, 6, 7, 125, 126, 127, 128, 300, 65535, 65536, 65537, 131_072):
        yield Case(f"text of {size}", frame(TEXT, b"*" * size), ["*" * size])
        yield Case(f"binary of {size}", frame(BINARY, b"\xfe" * size), [b"\xfe" * size])
    many = b"".join(frame(TEXT, b"%d" % number) for number in range(200))
    yield Case("200 messages", many, [str(number) for number in range(200)])
    mixed = frame(TEXT, b"a") + frame(BINARY, b"b") + frame(TEXT) + frame(BINARY)
    yield Case("text and binary, empty ones too", mixed, ["a", b"b", "", b""])
    for key in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x00\x01\x02\x03"):
        yield Case(f"masking key {key.hex()}", frame(TEXT, b"Hello", key=key), ["Hello"])


# -- section 5.5


def control() -> Iterator[Case]:
    for size in (0, 1, 8, 124, 125):
        payload = bytes(range(256))[-size:] if size else b""
        yield Case(f"ping of {size}", frame(PING, payload), pongs=[payload])
    pings = b"".join(frame(PING, b"%d" % number) for number in range(10))
    yield Case("ten pings", pings, pongs=[b"%d" % number for number in range(10)])
    yield Case("pong nobody asked for", frame(PONG, b"x") + frame(TEXT, b"a"), ["a"])
    yield Case("pong, then ping", frame(PONG) + frame(PING, b"p") + frame(PONG, b"q"), pongs=[b"p"])
    for opcode in (CLOSE, PING, PONG):
        yield Case(f"opcode {opcode}, 126 bytes", frame(opcode, b"\x03\xe8" * 63), close=1002)
        yield Case(f"opcode {opcode}, 65536", frame(opcode, length=65536), close=1002)
        yield Case(f"opcode {opcode}, not final", frame(opcode, fin=False), close=1002)
        part = frame(opcode, b"\x03\xe8", fin=False) + frame(CONT, b"b")
        yield Case(f"opcode {opcode}, in fragments", part, close=1002)


# -- section 5.2: reserved bits and opcodes


def reserved() -> Iterator[Case]:
    for rsv in range(1, 8):
        for opcode in (TEXT, BINARY, CLOSE, PING, PONG):
            data = frame(TEXT, b"a") + frame(opcode, rsv=rsv)
            yield Case(f"rsv {rsv:03b}, opcode {opcode}", data, ["a"], close=1002)
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        for payload in (b"", b"x", b"x" * 300 if opcode < 8 else b"xy"):
            data = frame(TEXT, b"a") + frame(opcode, payload) + frame(PING)
            yield Case(f"opcode {opcode}, {len(payload)} bytes", data, ["a"], close=1002)
    yield Case("HTTP", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", close=1002)


# -- section 5.4


def fragments() -> Iterator[Case]:
    first, last = frame(TEXT, b"one ", fin=False), frame(CONT, b"two")
    middle = frame(CONT, b"and ", fin=False)
    yield Case("two", first + last, ["one two"])
    yield Case("three", first + middle + last, ["one and two"])
    yield Case("two messages", (first + last) * 2, ["one two"] * 2)
    yield Case("ping between", first + frame(PING, b"p") + last, ["one two"], [b"p"])
    yield Case("pong between", first + frame(PONG, b"p") + last, ["one two"])
    pings = frame(PING, b"1") + frame(PING, b"2")
    yield Case("pings between", first + pings + last + pings, ["one two"], [b"1", b"2"] * 2)
    # Section 5.4 allows control frames between fragments, a close frame among them.
    yield Case("close between", first + close_frame(1000), close=1000, peer=(1000, ""))
    yield Case("close with a reason between", first + close_frame(4000, b"x"), close=4000,
               peer=(4000, "x"))  # fmt: skip
    empty = frame(TEXT, fin=False) + frame(CONT, fin=False) + frame(CONT)
    yield Case("all empty", empty, [""])
    yield Case(
        "empty around one", frame(TEXT, fin=False) + frame(CONT, b"x", fin=False) + frame(CONT),
        ["x"],
    )  # fmt: skip
    binary = frame(BINARY, b"\0", fin=False) + frame(CONT, b"\xff")
    yield Case("binary", binary, [b"\0\xff"])
    tiny = frame(BINARY, b"x", fin=False) + frame(CONT, b"x", fin=False) * 20_000 + frame(CONT)
    yield Case("20,000", tiny, [b"x" * 20_001])
    large = frame(TEXT, b"a" * 70_000, fin=False) + frame(CONT, b"b" * 70_000)
    yield Case("large ones", large, ["a" * 70_000 + "b" * 70_000])
    yield Case("continuation of nothing", frame(CONT, b"x"), close=1002)
    yield Case("continuation of nothing, not final", frame(CONT, b"x", fin=False), close=1002)
    yield Case("continuation behind a message", frame(TEXT, b"a") + last, ["a"], close=1002)
    yield Case("continuation behind fragments", first + last + last, ["one two"], close=1002)
    yield Case("text inside", first + frame(TEXT, b"x"), close=1002)
    yield Case("binary inside", first + frame(BINARY, b"x"), close=1002)
    yield Case("new fragments inside", first + first, close=1002)
    for rsv in range(1, 8):
        data = first + frame(CONT, b"x", rsv=rsv)
        yield Case(f"continuation with rsv {rsv:03b}", data, close=1002)


# -- section 8.1

VALID_TEXT = [
    "Hello-µ@ßöäüàá-UTF-8!!",
    "κόσμε",
    "\0\t\n\r\x1f\x7f",
    "\x80\u07ff\u0800\uffff",
    "\ud7ff\ue000\ufffd\ufeff",
    "\U00010000\U0010ffff",
    "𝄞 🙂 👩‍👩‍👧",
]
INVALID_TEXT = [
    b"\x80",
    b"\xbf",
    b"\xc0\x80",
    b"\xc1\xbf",
    b"\xc2",
    b"\xc2\x41",
    b"\xe0\x80\x80",
    b"\xe0\x9f\xbf",
    b"\xe1\x80",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xf0\x80\x80\x80",
    b"\xf0\x8f\xbf\xbf",
    b"\xf0\x90\x80",
    b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfe",
    b"\xff",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    b"valid \xf4\x90\x80\x80 valid",
]


def text_encoding() -> Iterator[Case]:
    for number, text in enumerate(VALID_TEXT):
        data = text.encode("utf-8")
        yield Case(f"valid {number}", frame(TEXT, data), [text])
        pieces = [data[index : index + 1] for index in range(len(data))]
        parts = frame(TEXT, fin=False) + b"".join(frame(CONT, one, fin=False) for one in pieces)
        yield Case(f"valid {number}, a byte a fragment", parts + frame(CONT), [text])
    for number, data in enumerate(INVALID_TEXT):
        yield Case(f"invalid {number}", frame(TEXT, data), close=1007)
        half = len(data) // 2
        parts = frame(TEXT, data[:half], fin=False) + frame(CONT, data[half:])
        yield Case(f"invalid {number}, two fragments", parts, close=1007)
        # Told as soon as it is known: the message has not ended.
        parts = frame(TEXT, data + b"A", fin=False)
        yield Case(f"invalid {number}, not at its end", parts, close=1007)
        yield Case(f"invalid {number}, as binary", frame(BINARY, data), [data])
    cut = "µ".encode()
    parts = frame(TEXT, cut[:1], fin=False) + frame(PING, b"\xff") + frame(CONT, cut[1:])
    yield Case("ping inside a character", parts, ["µ"], [b"\xff"])


# -- sections 5.5.1 and 7.4


def closing() -> Iterator[Case]:
    behind = frame(TEXT, b"late") + frame(PING) + b"\xff\xff"
    yield Case("no code", close_frame() + behind, close=1005, peer=(1005, ""))
    for code in (
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000,
        4999,
    ):  # fmt: skip
        yield Case(f"code {code}", close_frame(code) + behind, close=code, peer=(code, ""))
    for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
        yield Case(f"code {code}", close_frame(code), close=1002)
    for reason in ("gone", "ö" * 61, "r" * 123):
        yield Case(
            f"reason of {len(reason)}", close_frame(1000, reason.encode()), close=1000,
            peer=(1000, reason),
        )  # fmt: skip
    yield Case("reason of 124", close_frame(1000, b"r" * 124), close=1002)
    yield Case("reason is no text", close_frame(1000, b"\xff"), close=1007)
    yield Case("one byte", frame(CLOSE, b"\x03"), close=1002)
    yield Case("behind a message", frame(TEXT, b"a") + close_frame(1000), ["a"], close=1000,
               peer=(1000, ""))  # fmt: skip
    yield Case("two", close_frame(1001) + close_frame(1002), close=1001, peer=(1001, ""))


# -- section 5.2, the payload's length


def lengths() -> Iterator[Case]:
    for size, width in ((0, 2), (5, 2), (125, 2), (0, 8), (125, 8), (126, 8), (65535, 8)):
        data = frame(BINARY, b"x" * size, size=width)
        yield Case(f"{size} in {width} bytes", data, close=1002)
    yield Case("64th bit", frame(BINARY, length=1 << 63), close=1002)
    yield Case("all bits", frame(BINARY, length=(1 << 64) - 1), close=1002)


# -- section 5.1


def masks() -> Iterator[Case]:
    for opcode in (CONT, TEXT, BINARY, CLOSE, PING, PONG):
        for payload in (b"", b"\x03\xe8", b"\x03\xe8" * 50):
            data = frame(opcode, payload, key=None)
            yield Case(f"none, opcode {opcode}, {len(payload)} bytes", data, close=1002)
    yield Case("none, behind a message", frame(TEXT, b"a") + frame(TEXT, b"b", key=None), ["a"],
               close=1002)  # fmt: skip


# -- section 10.4


def limits() -> Iterator[Case]:
    full = b"x" * LIMIT
    yield Case("the limit", frame(BINARY, full), [full])
    yield Case("one more", frame(BINARY, full + b"x"), close=1009)
    yield Case("one more, told by its head", frame(TEXT, length=LIMIT + 1), close=1009)
    yield Case("far more", frame(TEXT, length=1 << 62), close=1009)
    half = frame(BINARY, full[::2], fin=False)
    yield Case("two halves", half + frame(CONT, full[::2]), [full])
    yield Case("two halves and one", half + frame(CONT, full[::2] + b"x"), close=1009)
    head = frame(CONT, length=LIMIT // 2 + 1)
    yield Case("two halves and one, told by a head", half + head, close=1009)
    text = ("ü" * (LIMIT // 2)).encode()
    yield Case("bytes count, not characters", frame(TEXT, text), ["ü" * (LIMIT // 2)])
    yield Case("bytes count, one more", frame(TEXT, text + b"x"), close=1009)
    yield Case("each message for itself", frame(BINARY, full) * 3, [full] * 3)


# -- RFC 7692

OFFER = "permessage-deflate; client_max_window_bits"


def compression() -> Iterator[Case]:
    # Section 7.2.3, byte for byte.
    hello = bytes.fromhex("f248cdc9c90700")
    yield Case("Hello", frame(TEXT, hello, rsv=4), ["Hello"], deflate=OFFER)
    parts = frame(TEXT, hello[:3], rsv=4, fin=False) + frame(CONT, hello[3:])
    yield Case("Hello in fragments", parts, ["Hello"], deflate=OFFER)
    shared = frame(TEXT, hello, rsv=4) + frame(TEXT, bytes.fromhex("f200110000"), rsv=4)
    yield Case("Hello, with the window of the first", shared, ["Hello"] * 2, deflate=OFFER)
    stored = bytes.fromhex("000500faff48656c6c6f00")
    yield Case("Hello, not compressed", frame(TEXT, stored, rsv=4), ["Hello"], deflate=OFFER)
    final = bytes.fromhex("f348cdc9c9070000")
    yield Case("Hello, in a final block", frame(TEXT, final, rsv=4) * 2, ["Hello"] * 2,
               deflate=OFFER)  # fmt: skip
    two = bytes.fromhex("f248050000 00ffffcac9c90700".replace(" ", ""))
    yield Case("Hello, in two blocks", frame(TEXT, two, rsv=4), ["Hello"], deflate=OFFER)
    yield Case("nothing", frame(TEXT, b"\0", rsv=4) + frame(BINARY, b"\0", rsv=4), ["", b""],
               deflate=OFFER)  # fmt: skip
    plain = frame(TEXT, b"plain") + frame(TEXT, hello, rsv=4) + frame(BINARY, b"plain")
    yield Case("plain ones between", plain, ["plain", "Hello", b"plain"], deflate=OFFER)
    parts = frame(TEXT, b"pl", fin=False) + frame(CONT, b"ain") + frame(TEXT, hello, rsv=4)
    yield Case("plain fragments", parts, ["plain", "Hello"], deflate=OFFER)
    for bits in range(9, 16):
        offer = f"permessage-deflate; client_max_window_bits={bits}"
        deflate = Deflate(min(bits, 12))
        texts = [f"message {number} " * (1 + number * 100) for number in range(8)]
        data = b"".join(frame(TEXT, deflate.compress(text.encode()), rsv=4) for text in texts)
        yield Case(f"window of {bits} bits", data, list(texts), deflate=offer)
    deflate = Deflate(15)
    texts = [("0123456789" * 4000), "0123456789" * 4000]
    data = b"".join(frame(BINARY, deflate.compress(text.encode()), rsv=4) for text in texts)
    yield Case("largest window", data, [text.encode() for text in texts],
               deflate="permessage-deflate")  # fmt: skip
    deflate = Deflate(12, reset=True)
    data = b"".join(frame(TEXT, deflate.compress(b"again " * 50), rsv=4) for _ in range(5))
    yield Case("no context", data, ["again " * 50] * 5,
               deflate=f"{OFFER}; client_no_context_takeover")  # fmt: skip
    yield Case("no context on either side", data, ["again " * 50] * 5,
               deflate="permessage-deflate; client_no_context_takeover;"
               " server_no_context_takeover")  # fmt: skip
    packed = Deflate(12).compress(b"fragments " * 1000)
    pieces = [packed[index : index + 5] for index in range(0, len(packed), 5)]
    data = frame(TEXT, pieces[0], rsv=4, fin=False) + frame(PING, b"p")
    data += b"".join(frame(CONT, piece, fin=False) for piece in pieces[1:]) + frame(CONT)
    yield Case("many fragments, a ping between", data, ["fragments " * 1000], [b"p"],
               deflate=OFFER)  # fmt: skip
    full = b"\0" * LIMIT
    yield Case("the limit, decompressed", frame(BINARY, Deflate(12).compress(full), rsv=4), [full],
               deflate=OFFER)  # fmt: skip


def broken_compression() -> Iterator[Case]:
    hello = bytes.fromhex("f248cdc9c90700")
    yield Case("not agreed on", frame(TEXT, hello, rsv=4), close=1002)
    first = frame(TEXT, hello[:3], rsv=4, fin=False)
    yield Case("bit on a continuation", first + frame(CONT, hello[3:], rsv=4), close=1002,
               deflate=OFFER)  # fmt: skip
    plain = frame(TEXT, b"a", fin=False) + frame(CONT, hello, rsv=4)
    yield Case("bit on a continuation of plain text", plain, close=1002, deflate=OFFER)
    for opcode in (CLOSE, PING, PONG):
        yield Case(f"bit on opcode {opcode}", frame(opcode, rsv=4), close=1002, deflate=OFFER)
    for rsv in (1, 2, 3, 5, 6, 7):
        yield Case(f"rsv {rsv:03b}", frame(TEXT, hello, rsv=rsv), close=1002, deflate=OFFER)
    yield Case("no compressed data", frame(TEXT, b"\xff\xff\xff", rsv=4), close=1007,
               deflate=OFFER)  # fmt: skip
    yield Case("no text", frame(TEXT, Deflate(12).compress(b"\xff\xfe"), rsv=4), close=1007,
               deflate=OFFER)  # fmt: skip
    bomb = Deflate(12).compress(b"\0" * 50_000_000)
    yield Case("bomb", frame(BINARY, bomb, rsv=4), close=1009, deflate=OFFER)
    half = len(bomb) // 2
    parts = frame(BINARY, bomb[:half], rsv=4, fin=False) + frame(CONT, bomb[half:])
    yield Case("bomb in fragments", parts, close=1009, deflate=OFFER)
    over = Deflate(12).compress(b"\0" * (LIMIT + 1))
    yield Case("one byte too many", frame(BINARY, over, rsv=4), close=1009, deflate=OFFER)
    one = zlib.compressobj(wbits=-12)
    block = one.compress(b"x") + one.flush(zlib.Z_FINISH)
    yield Case("final blocks without end", frame(BINARY, block * 1000 + b"\0", rsv=4), close=1007,
               deflate=OFFER)  # fmt: skip
    assert TAIL not in block
