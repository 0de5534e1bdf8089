"""A chat with rooms: FastAPI, plain HTML and JavaScript, messages that survive a reload.

    gunicorn -k uvicorn_worker.UvicornWorker --chdir examples/chat app:app

Then open http://127.0.0.1:8000 in two windows. Send SIGHUP to Gunicorn while they talk: the old
worker closes its WebSockets with code 1012, the page connects to the new one, and nothing is lost:

- A message counts as sent when the page is told so, which is after it is in the file.
- Until then the page keeps it, and sends it again on the next connection. It has a key of its own,
  so that a message that comes twice is stored once.
- On every connection the page says which message it saw last, and gets those that came since.

Any number of workers may serve the rooms: they share the file that CHAT_FILE names.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HERE = Path(__file__).parent
FILE = os.environ.get("CHAT_FILE", "/tmp/uvicorn-worker-chat.sqlite")
LOOK = 0.1  # seconds between looks at what other workers have stored

Row = dict[str, Any]


class Store:
    """The messages of all rooms, numbered in the order of their arrival."""

    def __init__(self, path: str) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, timeout=10, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY AUTOINCREMENT,"
            " room TEXT, name TEXT, text TEXT, key TEXT UNIQUE)"
        )

    def add(self, room: str, name: str, text: str, key: str) -> None:
        """Store a message, unless one with this key is there."""
        with self._lock, self._db:
            self._db.execute(
                "INSERT OR IGNORE INTO messages (room, name, text, key) VALUES (?, ?, ?, ?)",
                (room, name, text, key),
            )

    def last(self) -> int:
        """Return the highest number there is, 0 for none."""
        with self._lock:
            (number,) = self._db.execute("SELECT MAX(id) FROM messages").fetchone()
        return number or 0

    def since(self, number: int, room: str | None = None) -> list[Row]:
        """Return the messages behind that number, of one room or of all."""
        columns = ("id", "room", "name", "text", "key")
        with self._lock:
            rows = self._db.execute(
                f"SELECT {', '.join(columns)} FROM messages"
                " WHERE id > ? AND (? IS NULL OR room = ?) ORDER BY id",
                (number, room, room),
            ).fetchall()
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def close(self) -> None:
        with self._lock:
            self._db.close()


class Guest:
    """One page that has a room open."""

    def __init__(self, websocket: WebSocket, room: str, seen: int) -> None:
        self.room = room
        self._websocket = websocket
        self._seen = seen
        self._news = asyncio.Event()

    def tell(self) -> None:
        """There is something new in the room."""
        self._news.set()

    async def read_on(self, store: Store) -> None:
        """Send what the page has not seen, now and whenever there is more."""
        while True:
            self._news.clear()
            for row in await asyncio.to_thread(store.since, self._seen, self.room):
                self._seen = row["id"]
                await self._websocket.send_json({"type": "message", **row})
            await self._news.wait()


guests: set[Guest] = set()


async def watch(store: Store) -> None:
    """Tell the guests of this worker what any worker has stored."""
    last = await asyncio.to_thread(store.last)
    while True:
        await asyncio.sleep(LOOK)
        for row in await asyncio.to_thread(store.since, last):
            last = row["id"]
            for guest in guests:
                if guest.room == row["room"]:
                    guest.tell()


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.store = store = Store(FILE)
    watching = asyncio.create_task(watch(store))
    yield
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    store.close()


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def page() -> FileResponse:
    return FileResponse(HERE / "chat.html")


@app.get("/chat.js")
async def script() -> FileResponse:
    return FileResponse(HERE / "chat.js")


@app.get("/rooms/{room}")
async def history(room: str) -> list[Row]:
    return await asyncio.to_thread(app.state.store.since, 0, room)


@app.websocket("/rooms/{room}")
async def talk(websocket: WebSocket, room: str, seen: int = 0) -> None:
    store: Store = app.state.store
    await websocket.accept()
    await websocket.send_json({"type": "welcome", "worker": os.getpid()})
    guest = Guest(websocket, room, seen)
    guests.add(guest)
    reading = asyncio.create_task(guest.read_on(store))
    try:
        while True:
            said = await websocket.receive_json()
            await asyncio.to_thread(store.add, room, said["name"], said["text"], said["key"])
            await websocket.send_json({"type": "sent", "key": said["key"]})
            for one in guests:
                if one.room == room:
                    one.tell()
    except WebSocketDisconnect:
        pass
    finally:
        guests.discard(guest)
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
            await reading
