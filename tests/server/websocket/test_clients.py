"""Real clients and real frameworks: nothing here knows how frames look."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from channels.generic.websocket import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer
from django.conf import settings as django_settings
from fastapi import Depends, FastAPI, WebSocket, WebSocketDisconnect, WebSocketException
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.responses import PlainTextResponse
from starlette.routing import WebSocketRoute
from websockets.asyncio.client import connect as websockets_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect as websockets_sync_connect

from tests.apps.websocket import Echo
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.server.websocket.conftest import Start

MESSAGES: list[str | bytes] = [
    "", "a", "ö" * 100, "x" * 125, "x" * 126, "x" * 127, "x" * 128, "x" * 65_536,
    b"", b"\0", b"\xff" * 126, b"binary " * 30_000,
]  # fmt: skip


def url(server: Any, path: str = "/") -> str:
    return f"ws://{server.host}:{server.port}{path}"


# -- clients


@pytest.mark.parametrize("compression", ["deflate", None])
def test_the_websockets_client(compression: str | None, start: Start) -> None:
    server = start(Echo().app)

    async def talk() -> None:
        async with websockets_connect(url(server), compression=compression) as client:
            for message in MESSAGES:
                await client.send(message)
                assert await client.recv() == message
            await client.send(["in ", "fragments, ", "ö"])
            assert await client.recv() == "in fragments, ö"
            await client.send([b"in ", b"fragments"])
            assert await client.recv() == b"in fragments"
            await asyncio.wait_for(await client.ping(), 5)
        assert client.protocol.close_code == 1000  # 13.0 has it only there

    asyncio.run(talk())


def test_the_websockets_client_in_threads(start: Start) -> None:
    server = start(Echo().app)
    with websockets_sync_connect(url(server)) as client:
        for message in MESSAGES:
            client.send(message)
        assert [client.recv() for _ in MESSAGES] == MESSAGES


@pytest.mark.parametrize("compress", [0, 9, 15])
def test_the_aiohttp_client(compress: int, start: Start) -> None:
    server = start(Echo().app)

    async def talk() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url(server), compress=compress, max_msg_size=0) as client,
        ):
            for message in MESSAGES:
                if isinstance(message, str):
                    await client.send_str(message)
                    assert await client.receive_str() == message
                else:
                    await client.send_bytes(message)
                    assert await client.receive_bytes() == message
            await client.ping(b"x")
            await client.close(code=4000, message=b"done")

    asyncio.run(talk())


def test_many_clients_at_once(start: Start) -> None:
    echo = Echo()
    server = start(echo.app)

    async def one(number: int) -> None:
        async with websockets_connect(url(server)) as client:
            for turn in range(20):
                text = f"{number} {turn} " * (1 + turn * 20)
                await client.send(text)
                assert await client.recv() == text

    async def all_of_them() -> None:
        await asyncio.gather(*(one(number) for number in range(40)))

    asyncio.run(all_of_them())
    eventually(lambda: len(echo.ended) == 40)


# -- frameworks


class Shouting(WebSocketEndpoint):
    encoding = "text"

    async def on_receive(self, websocket: Any, data: Any) -> None:
        await websocket.send_text(data.upper())


async def refusing(websocket: Any) -> None:
    await websocket.send_denial_response(PlainTextResponse("not you", status_code=418))


def test_starlette(start: Start) -> None:
    app = Starlette(routes=[WebSocketRoute("/up", Shouting), WebSocketRoute("/no", refusing)])
    server = start(app)
    with websockets_sync_connect(url(server, "/up")) as client:
        client.send("hello")
        assert client.recv() == "HELLO"
    with pytest.raises(InvalidStatus) as caught:
        websockets_sync_connect(url(server, "/no"))
    assert (caught.value.response.status_code, caught.value.response.body) == (418, b"not you")
    with pytest.raises(InvalidStatus) as caught:
        websockets_sync_connect(url(server, "/nowhere"))
    assert caught.value.response.status_code == 403  # Starlette closes before it accepts


fastapi = FastAPI()
left: list[int] = []


async def user(websocket: WebSocket, name: str = "") -> str:
    if not name:
        raise WebSocketException(code=4003, reason="who are you?")
    return name


@fastapi.websocket("/rooms/{room}")
async def room_of(websocket: WebSocket, room: int, name: str = Depends(user)) -> None:
    await websocket.accept(subprotocol="chat")
    try:
        while True:
            data = await websocket.receive_json()
            await websocket.send_json({"room": room, "from": name, **data})
    except WebSocketDisconnect as exc:
        left.append(exc.code)


def test_fastapi(start: Start) -> None:
    server = start(fastapi)
    with websockets_sync_connect(
        url(server, "/rooms/7?name=Ann"),
        subprotocols=["other", "chat"],  # type: ignore[list-item]  # NewType of str
    ) as client:
        assert client.subprotocol == "chat"
        client.send(json.dumps({"text": "hi"}))
        assert json.loads(client.recv()) == {"room": 7, "from": "Ann", "text": "hi"}
        client.close(4321)
    eventually(lambda: left == [4321])
    with pytest.raises(InvalidStatus) as caught:
        websockets_sync_connect(url(server, "/rooms/7"))
    assert caught.value.response.status_code == 403
    left.clear()


class Calculator(AsyncJsonWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    async def connect(self) -> None:
        await self.accept()

    async def receive_json(self, content: Any, **_: Any) -> None:
        if content == "stop":
            await self.close(code=4100)
        else:
            await self.send_json(sum(content))


class Bytes(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    async def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
        await self.send(text_data=text_data, bytes_data=bytes_data)


@pytest.fixture
def django() -> None:
    if not django_settings.configured:
        django_settings.configure(CHANNEL_LAYERS={})


def test_django_channels(django: None, start: Start) -> None:
    server = start(Calculator.as_asgi())
    with websockets_sync_connect(url(server)) as client:
        client.send("[1, 2, 39]")
        assert client.recv() == "42"
        client.send('"stop"')
        with pytest.raises(ConnectionClosed) as caught:
            client.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 4100


def test_django_channels_text_and_bytes(django: None, start: Start) -> None:
    server = start(Bytes.as_asgi())
    with websockets_sync_connect(url(server)) as client:
        for message in ("text", b"bytes", "", b""):
            client.send(message)
            assert client.recv() == message
