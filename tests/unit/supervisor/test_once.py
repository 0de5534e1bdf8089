"""Of several processes one does it, however close together they come."""

from __future__ import annotations

import os

from uvicorn_supervisor.workers.once import Once


def test_one_of_many_takes_it() -> None:
    once = Once()
    start, begin = os.pipe()
    pids = []
    for _ in range(8):
        pid = os.fork()
        if pid == 0:
            os.close(begin)
            os.read(start, 1)  # returns in all of them when the other end is closed
            os._exit(1 if once.take() else 0)
        pids.append(pid)
    os.close(begin)

    takers = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]

    assert sorted(takers) == [0] * 7 + [1]
    assert not once.take()
    once.close()
    os.close(start)
