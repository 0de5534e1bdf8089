"""WebSockets by name, loaded when they are needed.

Engine and protocol are a sixth of the time that a process takes to start (18 of 110 ms), and most
processes answer other requests first.
"""

from __future__ import annotations

import contextlib
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from uvicorn_worker.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn_worker.http1.connection import HTTPConnection
    from uvicorn_worker.http1.request import Request
    from uvicorn_worker.http1.state import HTTPState
    from uvicorn_worker.serverconfig import WebSocketName
    from uvicorn_worker.websocket.connection import WebSocketConnection
    from uvicorn_worker.websocket.engine import FrameEngine

    Upgrade = Callable[[HTTPConnection, Request, bytes], None]


# What is imported one after the other: all at once, the loop would stand still for 30 ms.
PARTS: Final = (
    "zipfile",
    "importlib.metadata",  # which the package websockets asks for its own version
    "websockets.exceptions",
    "uvicorn_worker.websocket.handshake",
    "uvicorn_worker.websocket.connection",
)
PAUSE: Final = 0.05  # seconds between them, for what has come meanwhile


class LateUpgrader:
    """Takes handshakes over from HTTP connections; loads what that needs with the first.

    What `ws` names must be there at once; what `auto` finds is loaded later.
    """

    def __init__(self, state: HTTPState, *, metered: bool = False) -> None:
        """Put itself into a state, where WebSockets are wanted and can be had.

        `metered`: they count into the state's meter, which is there before the first of them.

        Raises:
            ConfigError: the package that `ws` names is missing.
        """
        self._state = state
        self._metered = metered
        self._loaded: Upgrade | None = None
        name = state.config.ws
        if name == "auto" and find_spec("websockets") is not None:
            state.websocket = self
        elif (engine := make_engine(name)) is not None:
            state.websocket = self
            self._load(engine)

    def __call__(self, http: HTTPConnection, request: Request, rest: bytes) -> None:
        self.load()(http, request, rest)

    def prepare(self, parts: tuple[str, ...] = PARTS) -> None:
        """Load what is needed, one part after the other while the loop turns."""
        if self._loaded is not None:
            return
        if not parts:
            self.load()
            return
        with contextlib.suppress(ImportError):  # `load` says what is wrong
            import_module(parts[0])
        self._state.loop.call_later(PAUSE, self.prepare, parts[1:])

    def load(self) -> Upgrade:
        """Load what is needed, unless that has happened; raises ConfigError where it is broken."""
        if self._loaded is not None:
            return self._loaded
        engine = make_engine(self._state.config.ws)
        if engine is None:
            raise ConfigError("the package websockets cannot be imported: install it again")
        return self._load(engine)

    def _load(self, engine: FrameEngine) -> Upgrade:
        from uvicorn_worker.websocket.connection import Upgrader

        self._loaded = Upgrader(
            engine,
            compress=self._state.config.ws_per_message_deflate,
            kind=connection_class(metered=self._metered),
        )
        return self._loaded


def connection_class(*, metered: bool) -> type[WebSocketConnection]:
    """Return the protocol of WebSockets' connections; loads it."""
    if metered:
        from uvicorn_worker.metrics.websocket import MeteredWebSocketConnection

        return MeteredWebSocketConnection
    from uvicorn_worker.websocket.connection import WebSocketConnection

    return WebSocketConnection


def make_engine(name: WebSocketName) -> FrameEngine | None:
    """Return the engine that `ws` names, None for none; raises ConfigError where it is missing."""
    if name == "none":
        return None
    if name in ("auto", "websockets"):
        try:
            from uvicorn_worker.websocket.websockets_engine import WebsocketsEngine

            return WebsocketsEngine()
        except ImportError:
            if name == "websockets":
                raise ConfigError(
                    "ws=websockets needs the package websockets: pip install websockets"
                ) from None
    try:
        from uvicorn_worker.websocket.wsproto_engine import WsprotoEngine
    except ImportError:
        if name == "auto":
            return None
        raise ConfigError(
            "ws=wsproto needs the package wsproto: pip install 'uvicorn-worker[h11]'"
        ) from None
    return WsprotoEngine()
