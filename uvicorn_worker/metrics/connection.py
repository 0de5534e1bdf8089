"""Connections and requests that are counted. Without metrics, plain ones serve: nothing is asked
in vain.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, ClassVar, Final

from uvicorn_worker.http1.connection import HTTPConnection
from uvicorn_worker.http1.cycle import START, RequestCycle
from uvicorn_worker.metrics.layout import DURATIONS, bucket
from uvicorn_worker.metrics.queueing import FIELD

if TYPE_CHECKING:
    from uvicorn_worker.errors import BadRequest
    from uvicorn_worker.http1.partial import PartialHead
    from uvicorn_worker.http1.request import Request

SHORT: Final = DURATIONS[0]


class MeteredCycle(RequestCycle):
    """A request that is counted once, as it is answered or lost."""

    __slots__ = ("_counted",)  # set when it is

    def _count(self) -> None:
        # All in one place, without a call of ours: this is for every request.
        self._counted = True
        meter = self._owner.state.meter
        seconds = monotonic() - self.started
        meter.seconds += seconds
        meter.sent += self.sent
        cell = meter.rows[self.request.method][self.status]
        if seconds > SHORT:
            cell += bucket(DURATIONS, seconds)
        meter.cells[cell] = next(meter.steps[cell])

    def lose(self) -> None:
        if not (self.ended or hasattr(self, "_counted")):
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
