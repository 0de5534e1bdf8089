"""HTTP connections that answer questions about the server's health (`health_path`).

Balancers ask every second or so. The server answers itself, whatever the application does and
however many requests are in flight; neither the access log nor the metrics hear of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn_worker.http1.connection import HTTPConnection
from uvicorn_worker.http1.head import refusal

if TYPE_CHECKING:
    from uvicorn_worker.http1.request import Request


class HealthConnection(HTTPConnection):
    """Says 200 while the server takes requests, 503 while it does not, and closes.

    It closes so that whoever asks comes to another process the next time.
    """

    __slots__ = ()

    def _asks(self, request: Request) -> bool:
        path = self.state.config.health_path
        return request.path_text == path and request.method in ("GET", "HEAD")

    def _upgrades(self, request: Request) -> bool:
        return not self._asks(request) and super()._upgrades(request)

    def _request_received(self, request: Request, rest: bytes) -> None:
        state = self.state
        if not self._asks(request):
            super()._request_received(request, rest)
            return
        self.transport.write(
            refusal(
                200 if state.healthy() else 503,
                state.common_lines,
                head_only=request.method == "HEAD",
            )
        )
        self._linger()
