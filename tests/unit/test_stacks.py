"""Where a waiting task stands, through everything that it may wait for."""

from __future__ import annotations

import asyncio
import types
from typing import TYPE_CHECKING, Any

import pytest

from uvicorn_worker.diagnostics.stacks import MOST_FRAMES, innermost, stack_of

if TYPE_CHECKING:
    import traceback
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator

    Wait = Callable[[asyncio.Event], Awaitable[Any]]


async def in_a_coroutine(event: asyncio.Event) -> None:
    await event.wait()


async def _steps(event: asyncio.Event) -> AsyncIterator[int]:
    await in_a_coroutine(event)
    yield 1


async def in_an_asynchronous_generator(event: asyncio.Event) -> None:
    async for _ in _steps(event):
        pass


@types.coroutine
def _old_style(event: asyncio.Event) -> Generator[Any, None, None]:
    yield from in_a_coroutine(event).__await__()


async def in_a_generator(event: asyncio.Event) -> None:
    await _old_style(event)


async def in_another_task(event: asyncio.Event) -> None:
    await asyncio.create_task(in_a_coroutine(event))


async def in_a_group(event: asyncio.Event) -> None:
    await asyncio.gather(in_a_coroutine(event))


async def in_a_recursion(event: asyncio.Event, depth: int = 2 * MOST_FRAMES) -> None:
    await (in_a_recursion(event, depth - 1) if depth else event.wait())


async def stack_while(wait: Wait) -> traceback.StackSummary:
    """Return the stack of a task that waits in `wait`."""
    event = asyncio.Event()

    async def call() -> None:
        await wait(event)

    task = asyncio.create_task(call())
    for _ in range(3):  # until every task in it has begun to wait
        await asyncio.sleep(0)
    stack = stack_of(task)
    event.set()
    await task
    assert len(stack_of(task)) == 0
    return stack


@pytest.mark.parametrize(
    ("wait", "names"),
    [
        (in_a_coroutine, ["call", "in_a_coroutine", "wait"]),
        (
            in_an_asynchronous_generator,
            ["call", "in_an_asynchronous_generator", "_steps", "in_a_coroutine", "wait"],
        ),
        (in_another_task, ["call", "in_another_task", "in_a_coroutine", "wait"]),
        # a group may wait for many: it ends there
        (in_a_group, ["call", "in_a_group"]),
    ],
)
def test_stack_goes_down_to_what_is_waited_for(wait: Wait, names: list[str]) -> None:
    stack = asyncio.run(stack_while(wait))

    assert [frame.name for frame in stack] == names


def test_stack_goes_through_generators() -> None:
    stack = asyncio.run(stack_while(in_a_generator))

    assert [frame.name for frame in stack][:3] == ["call", "in_a_generator", "_old_style"]


def test_stack_is_bounded() -> None:
    assert len(asyncio.run(stack_while(in_a_recursion))) == MOST_FRAMES


def test_innermost_place_is_file_line_and_function() -> None:
    stack = asyncio.run(stack_while(in_a_coroutine))
    del stack[-1]  # the library's own

    assert innermost(stack) == f"{__file__}:{stack[-1].lineno} in in_a_coroutine"
    assert innermost(type(stack)()) == "a place that cannot be told"
