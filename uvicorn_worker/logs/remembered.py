"""Texts that are made again and again of the same few things, kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

K = TypeVar("K", bytes, str)
V = TypeVar("V")

# Clients choose what is looked up, so number and size of the keys are bounded.
MAX_REMEMBERED: Final = 1024
MAX_KEY: Final = 256


class Remembered(dict[K, V]):
    """Answers by bytes or text: what `make` returns, called when there is none yet."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[K], V]) -> None:
        super().__init__()
        self._make: Callable[[K], V] = make

    def __missing__(self, key: K) -> V:
        made: V = self._make(key)
        if len(key) < MAX_KEY:
            if len(self) >= MAX_REMEMBERED:
                self.clear()  # the common ones come back at once
            self[key] = made
        return made
