"""WebSockets that are counted. Loaded with the first of them; without metrics, plain ones serve.

A WebSocket may last for days, so what it has sent is not left to its end: the meter looks at all
that are open whenever it shows something, and each message costs nothing for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from uvicorn_worker.websocket.connection import WebSocketConnection
from uvicorn_worker.websocket.cycle import CycleOwner, WebSocketCycle

if TYPE_CHECKING:
    from uvicorn_worker.asgi import Message
    from uvicorn_worker.metrics.meter import Meter


class MeteredWebSocketCycle(WebSocketCycle):
    """A WebSocket whose handshake and messages are counted."""

    __slots__ = ("_meter",)

    def __init__(self, owner: CycleOwner, scope: dict[str, Any], target: bytes) -> None:
        super().__init__(owner, scope, target)
        self._meter: Meter = owner.state.meter
        self._meter.websockets += 1
        self._meter.talking.add(self)

    def message_received(self, message: Message, size: int) -> bool:
        self._meter.received += size
        return super().message_received(message, size)


class MeteredWebSocketConnection(WebSocketConnection):
    """Counts into the meter of its server's state."""

    __slots__ = ()

    cycle_class: ClassVar[type[WebSocketCycle]] = MeteredWebSocketCycle

    def connection_lost(self, exc: Exception | None) -> None:
        meter = self.state.meter
        meter.talking.discard(self._cycle)
        meter.sent += self._sent()
        super().connection_lost(exc)
