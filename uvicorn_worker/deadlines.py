"""The deadlines of all connections: one sweep over them instead of a timer for each.

However many have come to their deadline at once, nobody waits long for a turn of the loop: clients
that came together after a restart go idle together, and so do their proxies' pools.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from uvicorn_worker.flow import JUST_IDLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uvicorn_worker.http1.state import HTTPState

# Connections that are told in one turn of the loop. To close one takes 10 µs here, as much in the
# next turn, and a WebSocket's ping is as dear: 10,000 at once would stop the loop for 0.1 s.
AT_ONCE: Final = 500


class Deadlines:
    """Calls `expired` of each connection whose `deadline`, in loop time, has come."""

    __slots__ = ("_state",)

    def __init__(self, state: HTTPState) -> None:
        self._state = state

    def look(self, now: float) -> None:
        """Call some of them at once, the others in the next turns of the loop."""
        state = self._state
        come = [one for one in state.connections if one.deadline <= now]
        for connection in come:
            if connection.deadline == JUST_IDLE:
                connection.deadline = now + state.keep_alive
        self._call([one for one in come if one.deadline <= now])

    def _call(self, due: Sequence[Any]) -> None:
        now = self._state.loop.time()
        for connection in due[:AT_ONCE]:
            if connection.deadline > now:
                continue  # it was closed, or used, while others had their turn
            try:
                connection.expired(now)
            except Exception:
                self._state.log.exception("Exception at the deadline of a connection")
                connection.abort()
        if rest := due[AT_ONCE:]:
            self._state.loop.call_soon(self._call, rest)
