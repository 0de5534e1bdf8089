"""Whether this worker leads, as its application sees it: `state["worker.leader"]`."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

    from uvicorn_worker.lease import Lease

RENEWAL: Final = 1.0  # seconds: a few may be late before a lease runs out


class Leader:
    """Whether this worker leads: true or false, asked anew each time.

    It is in the lifespan's state as `worker.leader`. A server process that is alone leads from its
    start to its end.

    Args:
        lease: what the workers of one master share; None: there is one process.
    """

    def __init__(self, lease: Lease | None = None) -> None:
        self._lease = lease
        self._pid = 0
        self._timer: asyncio.TimerHandle | None = None

    def __bool__(self) -> bool:
        # The application's own child processes have this object, too.
        if not self._pid or self._pid != os.getpid():
            return False
        return self._lease is None or self._lease.is_held(self._pid, time.monotonic())

    def __repr__(self) -> str:
        return f"<Leader {bool(self)}, term {self.term}>"

    @property
    def term(self) -> int:
        """A number that grows whenever another worker leads; it begins anew with each master."""
        return 1 if self._lease is None else self._lease.term

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Try to lead from now on, as long as the loop turns."""
        self._pid = os.getpid()
        if self._lease is not None:
            self._renew(self._lease, loop)

    def resign(self) -> None:
        """Lead no more: this worker is about to go."""
        if self._timer is not None:
            self._timer.cancel()
        if self._lease is not None and self._pid == os.getpid():
            self._lease.release(self._pid)
        self._pid = 0

    def _renew(self, lease: Lease, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(RENEWAL, self._renew, lease, loop)
        lease.renew(self._pid, time.monotonic())
