"""Event loops by name, and what is left on them at the end; the only module that imports uvloop."""

from __future__ import annotations

import asyncio
import contextlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from uvicorn_worker.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection

    from uvicorn_worker.serverconfig import LoopName

CLEAN_UP: Final = 0.3  # seconds for tasks that are cancelled when all else has ended


def check_loop(name: LoopName) -> None:
    """Raise ConfigError where the loop of this name needs a package that is not installed."""
    if name == "uvloop" and find_spec("uvloop") is None:
        raise ConfigError(
            "loop='uvloop' needs the package uvloop: `pip install uvloop`, or choose 'auto'"
        )


def new_event_loop(name: LoopName) -> asyncio.AbstractEventLoop:
    """Return a new loop, which the caller closes; `auto` is uvloop where it is installed.

    Raises:
        ConfigError: the loop's package is not installed.
    """
    check_loop(name)
    if name == "asyncio" or find_spec("uvloop") is None:
        return asyncio.new_event_loop()
    import uvloop

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


async def clean_up(besides: Collection[asyncio.Task[Any] | None] = ()) -> None:
    """Cancel the tasks that the application left behind, as the end of a program does.

    Tasks in `besides` have had their time already.
    """
    left = asyncio.all_tasks() - {asyncio.current_task()} - set(besides)
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=CLEAN_UP)
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.get_running_loop().shutdown_asyncgens(), CLEAN_UP)
