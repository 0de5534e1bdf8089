"""The limit on the time of a whole request, from its head to the end of its response.

There is no timer per request: the server's sweep calls `enforce`, which looks at the calls that
have not returned. WebSockets are no requests in this sense.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from uvicorn_worker.diagnostics.stacks import innermost, stack_of
from uvicorn_worker.http1.cycle import RequestCycle

if TYPE_CHECKING:
    import traceback

    from uvicorn_worker.http1.state import HTTPState

# Time for a cancelled call to return, in seconds; then it is said that it does not.
RETURN_TIMEOUT: Final = 2.0


class TimeLimit:
    """Ends the requests of a server that take longer than `timeout_request`.

    The client gets a 504, or a cut connection where the response has begun, at once. The call is
    cancelled, once: to do it again would break off what an application does to clean up.
    """

    __slots__ = ("_cancelled", "_exempt", "_state", "_timeout")

    def __init__(self, state: HTTPState) -> None:
        self._state = state
        self._timeout = state.config.timeout_request
        self._exempt = tuple(path.rstrip("/") for path in state.config.timeout_request_exempt)
        # Calls that have not returned yet, and when it is time to complain of that.
        self._cancelled: dict[RequestCycle, float] = {}

    def enforce(self, now: float) -> None:
        """End what takes too long; `now` is loop time, in seconds."""
        if not self._timeout:
            return
        for cycle in [one for one in self._cancelled if one not in self._state.cycles]:
            del self._cancelled[cycle]
        begun = now - self._timeout
        for cycle in [one for one in self._state.cycles if one.started <= begun]:
            if cycle in self._cancelled:
                self._remind(cycle, now)
            elif isinstance(cycle, RequestCycle) and not self._is_exempt(cycle.path):
                self._end(cycle, now)

    def _is_exempt(self, path: str) -> bool:
        return any(path == one or path.startswith(f"{one}/") for one in self._exempt)

    def _end(self, cycle: RequestCycle, now: float) -> None:
        task = cycle.task
        if task is None or not cycle.time_out():
            return  # the response is complete: what is left is work in the background
        stack = stack_of(task)
        self._cancelled[cycle] = now + RETURN_TIMEOUT
        task.cancel()
        self._state.log.error(
            "%s %s took longer than timeout_request=%g and was cancelled at %s\n%s",
            cycle.scope["method"],
            cycle.path,
            self._timeout,
            innermost(stack),
            _lines(stack),
        )

    def _remind(self, cycle: RequestCycle, now: float) -> None:
        """Say of a call that goes on in spite of its cancellation where it is now."""
        if now < self._cancelled[cycle] or cycle.task is None:
            return
        self._cancelled[cycle] = float("inf")
        stack = stack_of(cycle.task)
        self._state.log.error(
            "%s %s was cancelled but has not returned: its client is gone, it is at %s\n%s",
            cycle.scope["method"],
            cycle.path,
            innermost(stack),
            _lines(stack),
        )


def _lines(stack: traceback.StackSummary) -> str:
    return "".join(stack.format()).rstrip()
