"""Changes of real files, seen by the process that watches them."""

from __future__ import annotations

import os
import select
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import alive
from tests.support.waiting import eventually
from uvicorn_supervisor.reloading.patterns import Watched
from uvicorn_supervisor.reloading.watching import Leash, Watcher, changed_since, polled

if TYPE_CHECKING:
    from collections.abc import Iterator

BACKENDS = {"watchfiles": "with watchfiles", "polling": "watchfiles is not installed"}


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the watching process find watchfiles, or something in its place that fails."""
    if request.param == "polling":
        hidden = Path(str(request.getfixturevalue("tmp_path_factory").mktemp("hidden")))
        (hidden / "watchfiles.py").write_text("raise ImportError")
        monkeypatch.setenv("PYTHONPATH", str(hidden))
    return str(request.param)


class Reading:
    """A watcher, and all that it has told."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.changed: set[str] = set()
        self.notes: list[str] = []
        self.ended = False

    def read(self) -> None:
        if select.select([self.watcher], [], [], 0)[0]:
            news = self.watcher.read()
            self.changed.update(news.changed)
            self.notes += news.notes
            self.ended = news.ended

    def sees(self, *paths: Path) -> bool:
        self.read()
        return {str(path) for path in paths} <= self.changed

    def told(self) -> str:
        self.read()
        return "\n".join(self.notes)


@pytest.fixture
def reading(backend: str, tmp_path: Path) -> Iterator[Reading]:
    """Watch `tmp_path`, in which is one file and one folder that is excluded."""
    (tmp_path / "old.py").write_text("1")
    (tmp_path / "out").mkdir()
    watched = Watched(folders=(tmp_path,), excluded_folders=(tmp_path / "out",))
    with Watcher(watched, 0.05) as watcher:
        reading = Reading(watcher)
        assert BACKENDS[backend] in eventually(reading.told)
        yield reading


@pytest.mark.slow
def test_files_that_change_come_and_go_are_told(reading: Reading, tmp_path: Path) -> None:
    for name in ("out/no.py", "no.txt", ".no.py"):
        (tmp_path / name).write_text("")
    (tmp_path / "new").mkdir()

    (tmp_path / "old.py").write_text("22")
    eventually(lambda: reading.sees(tmp_path / "old.py"))
    (tmp_path / "new" / "deep.py").write_text("")
    eventually(lambda: reading.sees(tmp_path / "new" / "deep.py"))
    reading.changed.clear()
    (tmp_path / "old.py").unlink()
    eventually(lambda: reading.sees(tmp_path / "old.py"))

    assert {Path(path).name for path in reading.changed} <= {"old.py", "deep.py"}


@pytest.mark.slow
def test_the_process_ends_with_whoever_has_started_it(reading: Reading) -> None:
    pid = reading.watcher.pid
    assert reading.watcher._process.stdin is not None

    reading.watcher._process.stdin.close()  # as the kernel does when the supervisor is killed

    assert reading.watcher._process.wait(5) == 0
    assert not alive(pid)


@pytest.mark.slow
def test_a_process_that_has_died_is_told(reading: Reading) -> None:
    os.kill(reading.watcher.pid, signal.SIGKILL)

    def ended() -> bool:
        reading.read()
        return reading.ended

    assert eventually(ended)


@pytest.mark.slow
def test_polling_takes_over_where_watchfiles_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "src").mkdir()
    (tmp_path / "bin" / "watchfiles.py").write_text(
        "def watch(*folders, **options):\n    raise OSError('no space left on device')\n    yield\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "bin"))
    with Watcher(Watched(folders=(tmp_path / "src",)), 0.05) as watcher:
        reading = Reading(watcher)
        assert "as watchfiles failed: no space left" in eventually(reading.told)

        (tmp_path / "src" / "a.py").write_text("")

        eventually(lambda: reading.sees(tmp_path / "src" / "a.py"))


# Somebody saves a file when the process has been started, and does not look yet.
SAVING = """
import pathlib
def watch(*folders, stop_event, **options):
    pathlib.Path(folders[0], "old.py").write_text("22")
    {then}
    while not stop_event.wait(0.05):
        yield set()
"""


@pytest.mark.slow
@pytest.mark.parametrize("then", ["pass", "raise OSError('no space')"], ids=BACKENDS)
def test_what_changes_before_it_looks_is_told(
    then: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "src").mkdir()
    (tmp_path / "bin" / "watchfiles.py").write_text(SAVING.format(then=then))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "bin"))

    with Watcher(Watched(folders=(tmp_path / "src",)), 0.05) as watcher:
        reading = Reading(watcher)
        eventually(lambda: reading.sees(tmp_path / "src" / "old.py"))


def test_only_what_is_younger_has_changed_since(tmp_path: Path) -> None:
    old, new = tmp_path / "old.py", tmp_path / "new.py"
    old.write_text("")
    since = old.stat().st_ctime_ns
    watched = Watched(folders=(tmp_path,))
    assert changed_since(since, watched) == set()

    def moved_here() -> set[str]:
        (tmp_path / "draft").write_text("")
        os.utime(tmp_path / "draft", (0, 0))  # as `cp -p` and archives do
        (tmp_path / "draft").replace(new)
        return changed_since(since, watched)

    assert eventually(moved_here) == {str(new)}  # when the clock of files has ticked


def test_no_thread_is_left_in_the_process_that_forks(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("reads /proc")
    before = len(os.listdir("/proc/self/task"))

    with Watcher(Watched(folders=(tmp_path,)), 0.05):
        assert len(os.listdir("/proc/self/task")) == before


def test_polling_sees_what_changes_once_it_has_said_that_it_looks(tmp_path: Path) -> None:
    class Held(Leash):
        def wait(self, timeout: float) -> bool:
            return False

    (tmp_path / "old.py").write_text("1")
    changes = polled(Watched(folders=(tmp_path,)), 0, Held())

    (tmp_path / "old.py").write_text("22")

    assert next(changes) == {str(tmp_path / "old.py")}
