"""The lifespan protocol: start and stop the application once per process (ASGI lifespan 2.0)."""

from __future__ import annotations

import asyncio
import enum
from typing import TYPE_CHECKING, Any

from uvicorn_worker.asgi import ASGI_VERSION, LIFESPAN_SPEC_VERSION
from uvicorn_worker.errors import LifespanError

if TYPE_CHECKING:
    from uvicorn_worker.asgi import Application, Message
    from uvicorn_worker.serverconfig import LifespanMode
    from uvicorn_worker.state import Log


class LifespanState(enum.IntEnum):
    """UNUSED: the application was not asked, or does not take part."""

    UNUSED, STARTING, RUNNING, STOPPING, STOPPED, FAILED = range(6)


UNUSED, STARTING, RUNNING, STOPPING, STOPPED, FAILED = LifespanState


class Lifespan:
    """One call of the application with a lifespan scope.

    `state` is the mapping that the application fills; requests get copies of it.
    """

    def __init__(self, app: Application, mode: LifespanMode, log: Log) -> None:
        self._app = app
        self._mode = mode
        self._log = log
        self._phase: LifespanState = UNUSED
        self._received = False  # the application has taken `lifespan.startup`
        self._message = ""
        self._events: asyncio.Queue[Message] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.state: dict[str, Any] = {}

    async def startup(self) -> None:
        """Return when the application is ready, or takes no part; raises LifespanError."""
        if self._mode == "off":
            return
        self._phase = STARTING
        self._events.put_nowait({"type": "lifespan.startup"})
        self._task = asyncio.get_running_loop().create_task(self._run())
        await self._changed.wait()
        if self._phase is FAILED:
            raise LifespanError(self._message or "the application failed to start")

    async def shutdown(self, timeout: float | None) -> None:
        """Let the application end, in at most `timeout` seconds; a failure is logged only."""
        if self._phase is not RUNNING or self._task is None:
            await self._cancel()
            return
        self._phase = STOPPING
        self._changed.clear()
        self._events.put_nowait({"type": "lifespan.shutdown"})
        try:
            await asyncio.wait_for(self._changed.wait(), timeout)
        except asyncio.TimeoutError:
            self._log.error("Application shutdown took more than %g s: cancelled", timeout)
        if self._phase is FAILED:
            self._log.error("Application shutdown failed. %s", self._message)
        await self._cancel()

    async def _cancel(self) -> None:
        task = self._task
        if self._phase is STARTING:
            self._phase = STOPPED  # given up: nobody waits for it
        if task is not None and not task.done():
            # A moment to return by itself after its last message, then no more.
            await asyncio.wait((task,), timeout=0.1)
            task.cancel()
            await asyncio.wait((task,), timeout=1.0)

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": ASGI_VERSION, "spec_version": LIFESPAN_SPEC_VERSION},
            "state": self.state,
        }
        error: BaseException | None = None
        try:
            await self._app(scope, self._receive, self._send)
        except (Exception, asyncio.CancelledError) as exc:
            error = exc  # a cancelled one, too: `startup` must not wait for ever
        if self._phase is STARTING:
            self._ended_early(error)
        elif self._phase is RUNNING:
            self._log.error("The application's lifespan ended while serving", exc_info=error)
            self._phase = STOPPED
        elif self._phase is STOPPING:
            self._message = "" if error is None else repr(error)
            self._phase = STOPPED if error is None else FAILED
        self._changed.set()

    def _ended_early(self, error: BaseException | None) -> None:
        """The call ended before `lifespan.startup.complete`."""
        if self._mode == "on":
            self._phase = FAILED
            self._message = self._why_not_started(error)
            if error is not None:
                self._log.error("Exception in the application's lifespan", exc_info=error)
            return
        self._phase = UNUSED
        if error is not None and self._received:
            self._log.warning(
                "The application raised in its lifespan and is served without it: %r", error
            )

    def _why_not_started(self, error: BaseException | None) -> str:
        if error is not None and self._received:  # it knows the protocol, and something broke
            return f"the application raised {error!r}, and lifespan=on demands that it starts"
        return "the application does not support the lifespan protocol, which lifespan=on demands"

    async def _receive(self) -> Message:
        message = await self._events.get()
        if message["type"] == "lifespan.startup":
            self._received = True
        return message

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if self._phase is STARTING and kind == "lifespan.startup.complete":
            self._phase = RUNNING
        elif self._phase is STARTING and kind == "lifespan.startup.failed":
            self._phase = FAILED
            self._message = str(message.get("message", ""))
        elif self._phase is STOPPING and kind == "lifespan.shutdown.complete":
            self._phase = STOPPED
        elif self._phase is STOPPING and kind == "lifespan.shutdown.failed":
            self._phase = FAILED
            self._message = str(message.get("message", ""))
        else:
            raise RuntimeError(f"unexpected lifespan message {kind!r} while {self._phase.name}")
        self._changed.set()
