"""What every stop has in common: requests that never end, and a proper end all the same."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from tests.support.processes import alive
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.gunicorn import RunningGunicorn

STUCK = ["/sleep?s=60", "/thread?s=60", "/stream?s=0.01"]
"""Requests that never end: waiting, in a thread, sending for ever."""

STUBBORN = ["/stubborn?s=60"]
"""The same, deaf to being cancelled."""

QUICK = 2.0
"""Seconds within which a quick stop must be over; Gunicorn would wait `graceful_timeout`, 30."""

SLACK = 1.0
"""Seconds that a process may come late on a busy machine; the marks show that none was killed."""


@contextlib.contextmanager
def workers_end_within(
    server: RunningGunicorn, seconds: float, *, after: float = 0
) -> Iterator[None]:
    """Check that every worker of now ends so soon after the block has begun to stop the server.

    The master is not measured: it looks every now and then, and takes its own time to exit.
    """
    workers, begin = server.worker_pids(), time.monotonic()
    assert workers
    yield
    eventually(lambda: not any(alive(pid) for pid in workers), timeout=seconds + 20)
    assert after < time.monotonic() - begin < seconds + SLACK


def assert_ended_well(server: RunningGunicorn, *, workers: int = 1) -> None:
    """Check that every worker shut its application down, ran its hooks and was not killed."""
    assert len(server.marks("stop")) == workers, server.log_text()
    assert len(server.marks("worker_exit")) == workers, server.log_text()
    for complaint in ("was sent SIG", "exited with code", "Traceback", "Bad file descriptor"):
        assert complaint not in server.log_text()


def refuses(server: RunningGunicorn) -> bool:
    """Return whether nobody listens any more."""
    try:
        server.connect().close()
    except ConnectionRefusedError:
        return True
    return False
