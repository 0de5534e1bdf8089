"""The ASGI interface as types (ASGI 3.0, HTTP 2.4+, lifespan 2.0).

Messages stay plain mappings: the application owns their construction, and building a typed
object per message costs more than the whole rest of a small response.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias

# ASGI leaves the value types of scopes and messages open: `Any` is the specification here.
Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

# (name, value) pairs in the order received; names lower-case (ASGI HTTP 2.4, connection scope).
Headers: TypeAlias = list[tuple[bytes, bytes]]
ResponseHeaders: TypeAlias = Iterable[Iterable[bytes]]

# (host, port), (path, None) for a UNIX socket, None where the peer has no name.
Address: TypeAlias = tuple[str, int | None] | None

ASGI_VERSION = "3.0"
HTTP_SPEC_VERSION = "2.5"
WEBSOCKET_SPEC_VERSION = "2.5"
LIFESPAN_SPEC_VERSION = "2.0"
