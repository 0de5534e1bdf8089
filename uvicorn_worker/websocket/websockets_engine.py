"""Read frames with the library `websockets`, and unmask them with its C helper."""

from __future__ import annotations

from typing import TYPE_CHECKING

from websockets.exceptions import ProtocolError
from websockets.frames import Frame as LibraryFrame

from uvicorn_worker.errors import ProtocolViolation
from uvicorn_worker.websocket.engine import Frame
from uvicorn_worker.websocket.frames import PROTOCOL_ERROR

try:
    from websockets.speedups import apply_mask
except ImportError:  # built without a C compiler, or PyPy
    from websockets.utils import apply_mask

if TYPE_CHECKING:
    from collections.abc import Generator


class _Incomplete(Exception):
    """The bytes end inside the frame."""


class WebsocketsEngine:
    """A FrameEngine. The library's frame parser is a generator that asks for its bytes."""

    unmask = staticmethod(apply_mask)

    def read(self, data: bytes) -> Frame | None:
        position = 0

        def read_exact(count: int) -> Generator[None, None, bytes]:
            nonlocal position
            start, position = position, position + count
            if position > len(data):
                raise _Incomplete
            return data[start:position]
            yield  # never reached: it makes this the generator that the library wants

        try:
            next(LibraryFrame.parse(read_exact, mask=True))
        except StopIteration as stop:
            frame: LibraryFrame = stop.value
        except _Incomplete:
            return None
        except ProtocolError as exc:
            raise ProtocolViolation(PROTOCOL_ERROR, str(exc)) from exc
        return Frame(int(frame.opcode), frame.fin, bytes(frame.data))
