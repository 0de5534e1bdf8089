"""Limits of a cgroup, for real: memory that runs out, and a quota of processor time.

They take root, and cgroups of version 1 that may be changed, as in some containers.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.supervisor import RunningSupervisor, StartSupervisor

HOME = Path("/sys/fs/cgroup")
PERIOD = 100_000  # microseconds

APP = "tests.apps.basic:app"

HOARDER = """
from tests.apps.basic import app as basic
hoard = []

async def app(scope, receive, send):
    while scope["type"] == "http" and scope["path"] == "/hoard":
        hoard.append(bytearray(b"x" * 10_000_000))
    await basic(scope, receive, send)
"""

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.getuid() != 0, reason="only root may change cgroups"
)


@contextlib.contextmanager
def group(kind: str, **limits: int) -> Iterator[Path]:
    """A new cgroup below this process's own; whatever is left in it goes back there."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    paths = dict(line.split(":", 2)[1:] for line in lines)
    own = paths.get(kind, "")
    parent = HOME / kind / own.lstrip("/")
    if not parent.exists():  # a container that sees no more than its own part
        parent = HOME / kind
    folder = parent / f"uvicorn-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as exc:
        pytest.skip(f"no cgroup for {kind}: {exc}")
    try:
        for name, value in limits.items():
            (folder / f"{kind}.{name}").write_text(str(value))
        yield folder
    finally:
        for pid in (folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                (folder.parent / "cgroup.procs").write_text(pid)
        folder.rmdir()


@contextlib.contextmanager
def started_in(folder: Path, start: Callable[[], RunningSupervisor]) -> Iterator[RunningSupervisor]:
    """Start a supervisor in a cgroup: this process is there for as long as that takes."""
    (folder / "cgroup.procs").write_text(str(os.getpid()))
    try:
        server = start()
    finally:
        (folder.parent / "cgroup.procs").write_text(str(os.getpid()))
    yield server
    server.stop()


def test_a_worker_that_the_kernel_kills_for_memory_is_said_to_have_been(
    supervisor: StartSupervisor,
) -> None:
    with (
        group("memory", limit_in_bytes=300_000_000) as folder,
        started_in(
            folder,
            lambda: supervisor("hoarder:app", "--workers", "2", files={"hoarder.py": HOARDER}),
        ) as server,
    ):
        before = server.wait_for_workers(2)
        with contextlib.suppress(OSError):
            server.get("/hoard")

        server.wait_for_log("killed by SIGKILL: the kernel was out of memory for this cgroup")
        after = server.wait_for_workers(2)
        assert len(after & before) == 1
        assert server.get("/").status == 200


def test_as_many_workers_as_the_quota_pays_for(supervisor: StartSupervisor) -> None:
    with (
        group("cpu", cfs_period_us=PERIOD, cfs_quota_us=PERIOD) as folder,
        started_in(folder, lambda: supervisor(APP, "--workers", "auto")) as server,
    ):
        text = server.wait_for_log("Workers to keep ready")

        assert "1 (the cgroup's quota is 1 processor)" in text
