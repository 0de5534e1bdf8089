"""What a WebSocket has held is free with its end: nothing waits for the garbage collector."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.rawws import CLOSE, TEXT, frame
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.server.websocket.conftest import Connect, Start

COMPRESSED = [("Sec-WebSocket-Extensions", "permessage-deflate")]


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


@pytest.mark.parametrize("goodbye", [frame(CLOSE, b"\x03\xe8"), b""], ids=["closed", "cut"])
def test_its_objects_are_no_cyclic_garbage(start: Start, connect: Connect, goodbye: bytes) -> None:
    server = start(echo)
    connections = server.server.state.connections
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        with connect(server, headers=COMPRESSED) as client:
            client.send(frame(TEXT, b"hello"))
            assert client.read_frame().payload == b"hello"
            client.send(goodbye)
        eventually(lambda: not connections and not server.server.state.cycles)
        gc.collect()
        found = {type(one).__name__ for one in gc.garbage if _ours(one)}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert found == set()


def _ours(one: object) -> bool:
    """Return whether it is; before Python 3.12 asyncio's transports keep themselves and sockets."""
    return type(one).__module__.startswith("uvicorn_worker.websocket.")
