"""What the server wants of a WebSocket library: read one frame. Nothing else.

Messages, compression, limits, pings and the closing handshake exist once, in this package. So an
engine keeps nothing from one frame to the next, one object serves all connections, and an idle
connection costs no parser.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Frame(NamedTuple):
    """One frame of RFC 6455 section 5.2, its payload unmasked."""

    opcode: int
    fin: bool
    payload: bytes


class FrameEngine(Protocol):
    """An adapter of a library."""

    @property
    def unmask(self) -> Callable[[bytes | bytearray | memoryview, bytes | bytearray], bytes]:
        """A function that applies a masking key of four bytes (RFC 6455 section 5.3)."""

    def read(self, data: bytes) -> Frame | None:
        """Return the frame of a client that `data` begins with, None where it is incomplete.

        Raises:
            ProtocolViolation: it is none; as soon as the bytes that say so are there.
        """
