"""Applications that watch how long the server's loop stands still, and what collections take.

Servers import this file from a folder of its own, as they do `apps`. A request for `/watch` answers
what was seen since the last one, and forgets it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from apps import WATCH, Message, Receive, Send, plaintext  # type: ignore[import-not-found]

Application = Callable[[Message, Receive, Send], Awaitable[None]]

PULSE = 0.004  # seconds between looks at the loop's clock
OBJECTS = 1_000_000  # that an application holds: a model, a catalogue, tables of translations
# Seconds between full collections. How often Python begins one depends on how many objects stay, of
# all that were made: some in a minute or in a day, too rare for a measurement.
COLLECTING = 0.5


class Watch:
    """The longest times that one loop was late, and collected garbage; in seconds.

    The latter is CPU time: what neighbours on the machine add is in the former.
    """

    def __init__(self) -> None:
        self.stall = self.pause = 0.0
        self._due: float | None = None
        self._collecting = 0.0

    def begin(self) -> None:
        """Watch from now on, unless that has begun."""
        if self._due is None:
            gc.callbacks.append(self._collected)
            self._due = time.monotonic() + PULSE
            asyncio.get_running_loop().call_later(PULSE, self._beat)

    def _beat(self) -> None:
        now = time.monotonic()
        assert self._due is not None
        self.stall = max(self.stall, now - self._due)
        self._due = now + PULSE
        asyncio.get_running_loop().call_later(PULSE, self._beat)

    def _collected(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._collecting = time.thread_time()
        else:
            self.pause = max(self.pause, time.thread_time() - self._collecting)

    def take(self) -> bytes:
        """Return what was seen as JSON, in microseconds, and begin anew."""
        seen = {"stall": int(self.stall * 1e6), "pause": int(self.pause * 1e6)}
        self.stall = self.pause = 0.0
        return json.dumps(seen).encode()


def _watching(application: Application) -> Application:
    watch = Watch()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != WATCH:
            if scope["type"] == "http":
                watch.begin()
            return await application(scope, receive, send)
        body = watch.take()
        length = (b"content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": body})

    return app


def _holding() -> Application:
    held: list[dict[str, list[int]]] = []
    collecting = False

    def collect() -> None:
        gc.collect()
        asyncio.get_running_loop().call_later(COLLECTING, collect)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        nonlocal collecting
        if not held:  # at the first request, or the start where the server announces that
            held.extend({"numbers": [number]} for number in range(OBJECTS // 2))
        if scope["type"] == "http":
            if not collecting:
                collecting = True
                collect()
            request: dict[str, Any] = {"path": scope["path"]}
            request["self"] = request  # garbage that only a collection finds
        await plaintext(scope, receive, send)

    return app


watched = _watching(plaintext)
heap = _watching(_holding())
