"""Wakes the one task that acts, whenever there may be something to do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class News:
    """Somebody tells, one task finds out."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def tell(self) -> None:
        self._event.set()

    async def find(self, look: Callable[[], T | None]) -> T:
        """Return what `look` returns as soon as that is not None; it is asked at all news."""
        while True:
            self._event.clear()
            found = look()
            if found is not None:
                return found
            await self._event.wait()

    async def done(self, task: asyncio.Task[Any], enough: Callable[[], bool]) -> bool:
        """Wait for a task; return False, with the task running, when it is `enough`."""
        task.add_done_callback(lambda _: self.tell())
        return await self.find(lambda: True if task.done() else False if enough() else None)
