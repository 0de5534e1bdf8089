"""Turn bytes of a client into messages, and the few control frames that matter.

Messages in one frame that has come whole are read in place, and the commonest case, one such frame
that is short and has come alone, at a glance. Everything else goes through an engine: frames in
pieces, fragments, control frames, and whatever is wrong. The limits on sizes, the order of
fragments, decompression and UTF-8 are checked here, for all engines.
"""

from __future__ import annotations

import codecs
import struct
from typing import TYPE_CHECKING, Any, Final, Protocol

from uvicorn_worker.errors import ProtocolViolation
from uvicorn_worker.websocket.engine import Frame
from uvicorn_worker.websocket.frames import (
    BINARY,
    CLOSE,
    COMPRESSED,
    CONT,
    FIN,
    INVALID_DATA,
    MASKED,
    MAX_CONTROL,
    PING,
    PROTOCOL_ERROR,
    RESERVED,
    SHORT,
    TEXT,
    TOO_BIG,
    WHOLE_BINARY,
    WHOLE_TEXT,
    read_close,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn_worker.websocket.deflate import Inflater
    from uvicorn_worker.websocket.engine import FrameEngine

SHORT_HEAD: Final = 6  # bytes of a short frame's head: two, the masking key
MAX_HEAD: Final = 14  # bytes of a frame's head: two, a long length, the masking key
LARGE: Final = 65536 + MAX_HEAD  # bytes of a frame: from here on its head is as long as can be

_NO_LIMIT: Final = float("inf")
_PLAIN: Final = frozenset({WHOLE_TEXT, WHOLE_BINARY})
_PLAIN_OR_COMPRESSED: Final = _PLAIN | {first | COMPRESSED for first in _PLAIN}

_Utf8Decoder = codecs.getincrementaldecoder("utf-8")


def _too_short(data: bytes | bytearray) -> tuple[int, int, bytes, bytes]:
    """Take apart what is shorter than any frame of a client."""
    return 0, 0, b"", b""


# What takes a short frame apart, by the frame's size: the head's two bytes, masking key, payload.
# One call for all four costs a quarter less than indices and slices.
_SHORT_FRAMES: Final = (
    *[_too_short] * SHORT_HEAD,
    *[struct.Struct(f"!BB4s{length}s").unpack for length in range(SHORT)],
)
_SECOND: Final = MASKED - SHORT_HEAD  # the head's second byte is this and the frame's size


class MessageSink(Protocol):
    """Who takes what the reader finds."""

    def message_received(self, message: dict[str, Any], size: int) -> bool:
        """Take an ASGI message of `size` bytes; return whether there is room for another one."""

    def ping_received(self, payload: bytes) -> None:
        """A pong is due."""

    def close_received(self, code: int, reason: str) -> None:
        """The peer's last frame has come; nothing more is read."""


class MessageReader:
    """Reads one direction of one connection.

    Args:
        sink: who is called. `message` is its `message_received`, or somebody else's.
        limit: largest message in bytes, decompressed; 0 for no limit.
    """

    __slots__ = ("_compressed", "_deliver", "_ended", "_engine", "_glance", "_held", "_inflater",
                 "_limit", "_opcode", "_parts", "_rest", "_short", "_sink", "_unmask", "_utf8",
                 "_wanted", "_whole")  # fmt: skip

    def __init__(
        self,
        engine: FrameEngine,
        sink: MessageSink,
        *,
        message: Callable[[dict[str, Any], int], bool] | None = None,
        limit: int = 0,
        inflater: Inflater | None = None,
    ) -> None:
        self._engine = engine
        self._unmask = engine.unmask
        self._sink = sink
        self._deliver = message or sink.message_received
        self._limit: float = limit or _NO_LIMIT
        self._inflater = inflater
        self._whole = _PLAIN if inflater is None else _PLAIN_OR_COMPRESSED
        self._rest: bytes | bytearray = b""  # received, not read yet
        self._wanted = 0  # length that `rest` must have before it is worth a look
        self._held = False  # the sink has no room
        self._ended = False
        # The message whose fragments are arriving; the opcode is 0 while there is none.
        self._opcode = 0
        self._compressed = False
        self._parts: bytearray | None = None
        self._utf8: codecs.IncrementalDecoder | None = None
        # Bytes of the longest frame that is read at a glance: without compression, and while
        # nothing is left of what came before.
        self._short = SHORT_HEAD + min(SHORT - 1, self._limit) if inflater is None else 0
        self._glance = self._short

    def feed(self, data: bytes | bytearray) -> bool:
        """Take bytes; return whether the sink has room for more, else call `resume` later.

        Raises:
            ProtocolViolation: the connection has to be closed; do not call again.
        """
        size = len(data)
        try:
            if size <= self._glance:
                first, second, key, payload = _SHORT_FRAMES[size](data)
                if second == size + _SECOND and first in self._whole:
                    payload = self._unmask(payload, key)
                    message: dict[str, Any]
                    if first == WHOLE_TEXT:
                        message = {"type": "websocket.receive", "text": payload.decode()}
                    else:
                        message = {"type": "websocket.receive", "bytes": payload}
                    if self._deliver(message, size - SHORT_HEAD):
                        return True
                    self._held = True
                    return False
            return self._read(data)
        except UnicodeDecodeError:
            raise _not_utf8() from None

    def _read(self, data: bytes | bytearray) -> bool:  # noqa: C901 - the hot path, in one piece
        """Read frame after frame, as `feed` does; a text that is none raises UnicodeDecodeError."""
        if self._rest:
            data = self._join(data)
        if not data:
            return not self._held
        position = 0
        end = len(data)
        limit, whole = self._limit, self._whole
        while position < end:
            first = data[position]
            if first in whole and end - position >= SHORT_HEAD and not self._opcode:
                length = data[position + 1] - MASKED
                start = position + SHORT_HEAD
                if length >= SHORT:
                    start, length = self._read_length(data, position, end)
                stop = start + length
                if 0 <= length <= limit and stop <= end:
                    payload = self._unmask(data[start:stop], data[start - 4 : start])
                    position = stop
                    message: dict[str, Any]
                    if first == WHOLE_TEXT:
                        message = {"type": "websocket.receive", "text": payload.decode()}
                    elif first == WHOLE_BINARY:
                        message = {"type": "websocket.receive", "bytes": payload}
                    else:
                        length, message = self._inflate(first, payload)
                    if self._deliver(message, length):
                        continue
                    self._held = True
                    break
            stop = self._read_other(data, position, end)
            waits, position = stop == position, stop
            if waits or self._held or self._ended:
                break
        if position < end or self._rest:
            self._keep(data, position, end)
        self._glance = 0 if self._rest or self._opcode else self._short
        return not self._held

    def resume(self) -> bool:
        """Go on where the sink had no room; returns and raises as `feed` does."""
        self._held = False
        data, self._rest = self._rest, b""
        return self.feed(data)

    def _join(self, data: bytes | bytearray) -> bytes | bytearray:
        """Return what there is to read, empty while it is not enough or there is no room."""
        rest = self._rest
        if type(rest) is bytes:
            rest = self._rest = bytearray(rest)
        rest += data
        return b"" if self._held or len(rest) < self._wanted else rest

    def _read_length(self, data: bytes | bytearray, position: int, end: int) -> tuple[int, int]:
        """Return where the payload begins, and its length; -1 where the engine shall look."""
        if data[position + 1] == MASKED | 126 and end - position > 8:
            length = data[position + 2] << 8 | data[position + 3]
            if length > 125:  # else not the shortest form, an error
                return position + 8, length
        return position, -1  # large: the general path is no loss

    def _keep(self, data: bytes | bytearray, position: int, end: int) -> None:
        """Keep what has not been read."""
        if position == end or self._ended:
            self._rest = b""
            return
        if position:
            # Cut off the front of a bytearray: that moves nothing, however often it is done.
            data = data if type(data) is bytearray else bytearray(data)
            del data[:position]
        self._rest = data

    def _inflate(self, first: int, payload: bytes) -> tuple[int, dict[str, Any]]:
        """Return size and message of a compressed frame that is a whole message."""
        assert self._inflater is not None
        payload = self._inflater.inflate(payload, self._limit, last=True)
        return len(payload), _make_message(first & 0xF, payload)

    def _read_other(self, data: bytes | bytearray, position: int, end: int) -> int:
        """Read a frame with the engine; return where it ends, or `position` if it is not whole."""
        head = bytes(data[position : position + MAX_HEAD])
        first = head[0]
        if self._inflater is not None and first & COMPRESSED and first & 0xF in (TEXT, BINARY):
            head = bytes((first ^ COMPRESSED, *head[1:]))  # the engines know no extensions
        size = self._size(head)
        if size > end - position or size == 0:
            self._engine.read(head)  # tells what is wrong with the head before the rest comes
            self._wanted = size
            return position
        if size < LARGE:
            frame = self._engine.read(head[:size] + data[position + MAX_HEAD : position + size])
            assert frame is not None
        else:
            frame = self._read_large(head, data, position + size)
        self._take(frame, bool(first & COMPRESSED))
        return position + size

    def _read_large(self, head: bytes, data: bytes | bytearray, stop: int) -> Frame:
        """Read the frame that ends at `stop` in place: engines would copy it three times."""
        self._engine.read(head)  # tells what is wrong with it; the rest is payload
        size = int.from_bytes(head[2:10], "big")
        with memoryview(data) as view, view[stop - size : stop] as payload:
            return Frame(head[0] & 15, bool(head[0] & FIN), self._unmask(payload, head[10:]))

    def _size(self, head: bytes) -> int:
        """Return the size of the frame that begins with `head`, 0 while that cannot be told."""
        if len(head) < 2:
            return 0
        # Engines differ in when they see these.
        length = head[1] & 127
        control = head[0] & 8
        if head[0] & RESERVED:
            raise ProtocolViolation(PROTOCOL_ERROR, "reserved bits are set")
        if not head[1] & MASKED:
            raise ProtocolViolation(PROTOCOL_ERROR, "frame without mask")
        if control and (length > MAX_CONTROL or not head[0] & FIN):
            raise ProtocolViolation(PROTOCOL_ERROR, "control frame too long, or in fragments")
        size_of_head = 6
        if length > 125:
            count = 2 if length == 126 else 8
            if len(head) < 2 + count:
                return 0
            length = int.from_bytes(head[2 : 2 + count], "big")
            # RFC 6455 section 5.2: the shortest form, and no 64th bit
            if length < 126 or (count == 8 and not 65535 < length < 1 << 63):
                raise ProtocolViolation(PROTOCOL_ERROR, "invalid payload length")
            size_of_head += count
        present = len(self._parts) if self._parts is not None else 0
        if not control and length + present > self._limit:
            raise ProtocolViolation(TOO_BIG, "message is too big")
        return size_of_head + length

    def _take(self, frame: Frame, compressed: bool) -> None:
        opcode, fin, payload = frame
        if opcode == PING:
            self._sink.ping_received(payload)
        elif opcode == CLOSE:
            self._ended = True
            self._sink.close_received(*read_close(payload))
        elif opcode in (CONT, TEXT, BINARY):
            self._take_fragment(opcode, payload, fin=fin, compressed=compressed)

    def _take_fragment(self, opcode: int, payload: bytes, *, fin: bool, compressed: bool) -> None:
        if opcode != CONT:
            if self._opcode:
                raise ProtocolViolation(PROTOCOL_ERROR, "message inside a fragmented message")
            if fin and not compressed:
                self._held = not self._deliver(_make_message(opcode, payload), len(payload))
                return
            self._opcode = opcode
            self._compressed = compressed
            self._parts = bytearray()
            self._utf8 = _Utf8Decoder() if opcode == TEXT else None
        elif not self._opcode:
            raise ProtocolViolation(PROTOCOL_ERROR, "continuation of no message")
        assert self._parts is not None
        if self._compressed:
            assert self._inflater is not None
            payload = self._inflater.inflate(payload, self._limit - len(self._parts), last=fin)
        self._parts += payload
        if self._utf8 is not None:
            try:
                self._utf8.decode(payload, fin)  # RFC 6455 section 8.1: as soon as it is known
            except UnicodeDecodeError:
                raise _not_utf8() from None
        if fin:
            message = _make_message(self._opcode, bytes(self._parts))
            self._held = not self._deliver(message, len(self._parts))
            self._opcode, self._parts, self._utf8 = 0, None, None


def _make_message(opcode: int, payload: bytes) -> dict[str, Any]:
    """Return a message; raises UnicodeDecodeError. ASGI: the key that is not used is left out."""
    if opcode == TEXT:
        return {"type": "websocket.receive", "text": str(payload, "utf-8")}
    return {"type": "websocket.receive", "bytes": payload}


def _not_utf8() -> ProtocolViolation:
    return ProtocolViolation(INVALID_DATA, "text is not UTF-8")
