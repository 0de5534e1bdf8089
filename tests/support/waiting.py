"""Waiting for a condition: the only place in the tests that sleeps."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

INTERVAL = 0.02
"""Seconds between two looks: short beside a process start, long beside a look."""


def eventually(condition: Callable[[], T | None], *, timeout: float = 10.0, message: str = "") -> T:
    """Return the first truthy value of `condition`, asked again and again.

    `timeout` is in seconds; the condition is asked at least once, and once more at the end.

    Raises:
        AssertionError: no truthy value in time. It names the condition and its last value.
    """
    deadline = time.monotonic() + timeout
    while True:
        late = time.monotonic() >= deadline
        value = condition()
        if value:
            return value
        if late:
            raise AssertionError(_complaint(condition, value, timeout, message))
        time.sleep(INTERVAL)


async def eventually_async(
    condition: Callable[[], T | Awaitable[T | None] | None],
    *,
    timeout: float = 10.0,
    message: str = "",
) -> T:
    """Do as `eventually` without blocking the loop; the condition may be a coroutine function."""
    deadline = time.monotonic() + timeout
    while True:
        late = time.monotonic() >= deadline
        answer = condition()
        value = await answer if inspect.isawaitable(answer) else answer
        if value:
            return value
        if late:
            raise AssertionError(_complaint(condition, value, timeout, message))
        await asyncio.sleep(INTERVAL)


def _complaint(condition: Callable[[], object], value: object, timeout: float, message: str) -> str:
    what = message or _first_line(condition)
    return f"not within {timeout:g} s: {what} (last value: {value!r})"


def _first_line(condition: Callable[[], object]) -> str:
    """Return the line of source that a lambda or function starts on, else its `repr`."""
    try:
        return inspect.getsource(condition).strip().splitlines()[0]
    except (OSError, TypeError):
        return repr(condition)
