"""The deadlines of all connections: one sweep over them instead of a timer for each.

However many have come to their deadline at once, nobody waits long for a turn of the loop: clients
that came together after a restart go idle together, and so do their proxies' pools.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from uvicorn_worker.flow import JUST_IDLE

if TYPE_CHECKING:
    from uvicorn_worker.http1.state import HTTPState

# Connections that are looked at in one turn of the loop. To look at one takes 0.1 µs, to close it
# 10 µs, and a WebSocket's ping is as dear: 10,000 at once would stop the loop for 1 ms, or 0.1 s.
AT_ONCE: Final = 500


class Deadlines:
    """Calls `expired` of each connection whose `deadline`, in loop time, has come."""

    __slots__ = ("_left", "_state")

    def __init__(self, state: HTTPState) -> None:
        self._state = state
        self._left: list[Any] = []  # who has not been looked at yet

    def look(self) -> None:
        """Look at some of them at once, at the others in the next turns of the loop."""
        if not self._left:
            self._left = list(self._state.connections)
            self._look()

    def _look(self) -> None:
        state = self._state
        now = state.loop.time()
        come = [one for one in self._left[-AT_ONCE:] if one.deadline <= now]
        del self._left[-AT_ONCE:]
        if self._left:  # first: whatever goes wrong here, the others have their turn
            state.loop.call_soon(self._look)
        for connection in come:
            if connection.deadline == JUST_IDLE:
                connection.deadline = now + state.keep_alive
                continue
            try:
                connection.expired(now)
            except Exception:
                state.log.exception("Exception at the deadline of a connection")
                connection.abort()
