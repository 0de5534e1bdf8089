"""The server's side of a conversation, and a client that sends as much as it can."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.rawws import RawWebSocket
    from tests.support.serving import RunningServer
    from uvicorn_worker.websocket.connection import WebSocketConnection


def only_connection(server: RunningServer) -> WebSocketConnection:
    """Return the server's side of the one connection there is."""
    (connection,) = server.server.state.connections
    found: WebSocketConnection = connection
    return found


def send_until_full(client: RawWebSocket, data: bytes) -> int:
    """Send `data` over and over until nothing more goes out for a while; return the bytes sent."""
    client.socket.settimeout(0.3)
    sent = 0
    try:
        while True:
            sent += client.socket.send(data[sent % len(data) :])
    except TimeoutError:
        return sent
    finally:
        client.socket.settimeout(10)
