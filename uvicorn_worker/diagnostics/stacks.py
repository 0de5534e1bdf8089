"""Where a task stands that waits.

`asyncio.Task.get_stack` gives a waiting task's outermost frame only; what somebody wants to know is
at the other end of the chain of awaits.
"""

from __future__ import annotations

import asyncio
import gc
import traceback
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from types import FrameType

MOST_FRAMES: Final = 50  # of a stack; recursion may be deep

# What has a frame, and what it waits for: coroutines, generators, asynchronous generators.
_KINDS: Final = (
    ("cr_frame", "cr_await"),
    ("gi_frame", "gi_yieldfrom"),
    ("ag_frame", "ag_await"),
)


def stack_of(task: asyncio.Task[Any]) -> traceback.StackSummary:
    """Return the frames of a task that waits, outermost first; tasks it waits for included.

    Empty for a task that has ended. What is not written in Python shows no frames.
    """
    frames: list[FrameType] = []
    awaited: object = task.get_coro()
    while awaited is not None and len(frames) < MOST_FRAMES:
        frame, awaited = _step(awaited)
        if frame is not None:
            frames.append(frame)
    return traceback.StackSummary.extract((frame, frame.f_lineno) for frame in frames)


def innermost(stack: traceback.StackSummary) -> str:
    """Return the last place of a stack, for a line of the log: `FILE:LINE in FUNCTION`."""
    if not stack:
        return "a place that cannot be told"
    return f"{stack[-1].filename}:{stack[-1].lineno} in {stack[-1].name}"


def _step(awaited: object) -> tuple[FrameType | None, object]:
    """Return the frame of something awaited, and what that waits for."""
    for frame, following in _KINDS:
        if hasattr(awaited, frame):
            return getattr(awaited, frame), getattr(awaited, following)
    # A step of an asynchronous generator, or the iterator of a task's future: they do not tell
    # whose they are, but the garbage collector does.
    for owner in gc.get_referents(awaited):
        if isinstance(owner, asyncio.Task):
            return None, owner.get_coro()
        if hasattr(owner, "ag_frame"):
            return None, owner
    return None, None
