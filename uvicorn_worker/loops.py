"""Event loops by name; the only module that imports uvloop."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from typing import TYPE_CHECKING

from uvicorn_worker.errors import ConfigError

if TYPE_CHECKING:
    from uvicorn_worker.serverconfig import LoopName


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
