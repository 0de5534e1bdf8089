"""`eventually` returns what it waited for, and says what it waited for in vain."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.waiting import eventually, eventually_async


def test_eventually_returns_the_first_truthy_value() -> None:
    values = iter([0, 0, 7, 8])

    assert eventually(lambda: next(values)) == 7


def test_eventually_asks_once_although_no_time_is_left() -> None:
    assert eventually(lambda: "there", timeout=0) == "there"


def test_eventually_names_condition_and_last_value_when_late() -> None:
    with pytest.raises(AssertionError, match=r"0\.05 s: .*lambda: 0,.* \(last value: 0\)"):
        eventually(lambda: 0, timeout=0.05)


def test_eventually_gives_the_message_when_late() -> None:
    with pytest.raises(AssertionError, match="the worker is ready"):
        eventually(lambda: None, timeout=0, message="the worker is ready")


def test_eventually_async_takes_functions_and_coroutine_functions() -> None:
    values = iter([None, "plain"])

    async def answer() -> str:
        await asyncio.sleep(0)
        return "awaited"

    async def main() -> list[str]:
        return [await eventually_async(lambda: next(values)), await eventually_async(answer)]

    assert asyncio.run(main()) == ["plain", "awaited"]


def test_eventually_async_fails_when_late() -> None:
    with pytest.raises(AssertionError, match="last value: None"):
        asyncio.run(eventually_async(lambda: None, timeout=0.05))
