"""Connections and requests that are counted. Without metrics, plain ones serve: nothing is asked
in vain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from uvicorn_worker.http1.channel import LAST, START
from uvicorn_worker.http1.connection import HTTPConnection
from uvicorn_worker.http1.cycle import RequestCycle
from uvicorn_worker.metrics.queueing import FIELD

if TYPE_CHECKING:
    import socket

    from uvicorn_worker.asgi import Address
    from uvicorn_worker.errors import BadRequest
    from uvicorn_worker.http1.partial import PartialHead
    from uvicorn_worker.http1.request import Request
    from uvicorn_worker.http1.state import HTTPState


class MeteredCycle(RequestCycle):
    """A request that is counted once: `MeteredConnection.count` takes those that are answered."""

    __slots__ = ()

    def lose(self) -> None:
        if not self.ended and self._state is not LAST:
            meter = self._owner.state.meter
            meter.sent += self.sent
            # A status without a start: the connection's, which says what is wrong with a body.
            refused = self._state is START
            meter.untimed(self.request.method, self.status if refused else 0)
        super().lose()


class MeteredConnection(HTTPConnection):
    """Counts into the meter of its server's state."""

    __slots__ = ()

    cycle_class: ClassVar[type[RequestCycle]] = MeteredCycle

    def __init__(
        self, state: HTTPState, sock: socket.socket, peer: Address, local: Address
    ) -> None:
        super().__init__(state, sock, peer, local)
        self.count = state.meter.answered

    def _refuse(self, exc: BadRequest, received: bytes | PartialHead) -> None:
        self.state.meter.untimed("other", exc.status)
        super()._refuse(exc, received)

    def _examine(self, request: Request) -> None:
        super()._examine(request)
        if self.trusted:  # whoever else says so could say anything
            for name, value in request.headers:
                if name == FIELD:
                    self.state.meter.queued(value)
                    return

    def _begin_body(self, request: Request, rest: bytes) -> bool:
        if len(rest) == request.length:  # else what has come is received like what follows
            self.state.meter.received += len(rest)
        return super()._begin_body(request, rest)

    def _body_received(self, data: bytes) -> None:
        self.state.meter.received += len(data)
        super()._body_received(data)
