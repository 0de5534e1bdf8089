"""The application under load, with a mark: a request for `/mark` makes a system call.

callgrind watches for its function and begins a new count there (see `instructions`). Servers import
this file from a folder of its own, as they do `apps`.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from apps import MARK, Message, Receive, Send  # type: ignore[import-not-found]  # no package

_module, _, _attribute = os.environ["BENCHMARK_APPLICATION"].partition(":")
_application: Any = getattr(importlib.import_module(_module), _attribute)


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Hand everything on but requests for a mark."""
    if scope["type"] == "http" and scope["path"] == MARK:
        os.getpriority(os.PRIO_PROCESS, 0)
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})
        return
    await _application(scope, receive, send)
