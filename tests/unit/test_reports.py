"""What a stuck worker says about itself."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.exchange import FakeExchange, make_scope
from tests.support.waiting import eventually
from uvicorn_worker.diagnostics.reports import STDERR, Reports
from uvicorn_worker.diagnostics.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def faults() -> Iterator[None]:
    """Put back what pytest uses for its own time-outs and crashes."""
    enabled = faulthandler.is_enabled()
    yield
    faulthandler.disable()
    signal.signal(signal.SIGABRT, signal.SIG_DFL)
    if enabled:
        with contextlib.suppress(ValueError, OSError):
            faulthandler.enable(sys.__stderr__ or STDERR)


class FileLog(logging.Logger):
    """A logger of errors whose parent has the file."""

    def __init__(self, path: Path) -> None:
        super().__init__("test.error")
        self.parent = logging.Logger("test")
        self.handler = logging.FileHandler(path)
        self.parent.addHandler(self.handler)


def stuck_function(reports: Reports, loop: Any, exchanges: list[Any]) -> str:
    return reports.stuck(sys._getframe(), loop, exchanges)


def test_a_report_shows_the_stack_and_the_task() -> None:
    async def main() -> str:
        return stuck_function(Reports(None), asyncio.get_running_loop(), [])

    text = asyncio.run(main())

    assert "in stuck_function\n" in text
    assert text.index("in main\n") < text.index("in stuck_function\n")
    assert "Running task: Task-" in text
    assert "main" in text[text.index("Running task:") :]
    assert "Requests in flight: 0" in text


@pytest.mark.parametrize(
    ("callers", "shown"),
    [
        (["uvicorn_supervisor.loop", "uvicorn_worker.application.importing"], ["user"]),
        (["uvicorn_worker.worker", "importlib", "importlib._bootstrap"], ["user"]),
        (["uvicorn_supervisor.hooks", "shop", "importlib"], ["shop", "importlib", "user"]),
    ],
)
def test_who_has_called_the_users_code_is_not_shown(callers: list[str], shown: list[str]) -> None:
    reports, text = Reports(None), ""

    def user() -> None:
        nonlocal text
        text = reports.stuck(sys._getframe(), None, [])

    call = user
    for name in reversed(callers):
        inside: dict[str, Any] = {"__name__": name, "call": call}
        exec(compile("def caller(): call()", name, "exec"), inside)
        call = inside["caller"]
    call()

    found = re.findall(r'File "(.+?)", line \d+, in (\w+)', text)
    assert [file if name == "caller" else name for file, name in found] == shown


def test_a_report_lists_requests_by_age_as_far_as_they_got() -> None:
    exchanges = [
        FakeExchange(target=b"/young", started=1009.5, status=0),
        FakeExchange(target=b"/old?" + b"x" * 300, started=1000.0, status=200, peer=None),
        FakeExchange(target=b"/chat", started=1005.0, status=0, scope=make_scope(method="POST")),
    ]
    loop = asyncio.new_event_loop()
    loop.time = lambda: 1010.0  # type: ignore[method-assign]  # the clock is all that is changed
    try:
        text = Reports(None).stuck(None, loop, exchanges)
    finally:
        loop.close()

    lines = text[text.index("Requests in flight: 3") :].splitlines()[1:]
    assert [line.split()[3].split("?")[0] for line in lines] == ["/old", "/chat", "/young"]
    assert lines[0].startswith("  10.000 s  GET /old?xxx")
    assert lines[0].endswith("... from a UNIX socket, answered 200 so far")
    assert lines[1] == "  5.000 s  POST /chat from 127.0.0.1, not answered yet"


def test_a_live_report_shows_threads_tasks_and_requests() -> None:
    held, release = threading.Event(), threading.Event()

    def wait_in_thread() -> None:
        held.set()
        release.wait()

    async def wait_in_task() -> None:
        await asyncio.sleep(60)

    async def main() -> str:
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(wait_in_task(), name=f"T{number:03}") for number in range(120)]
        await asyncio.sleep(0)
        exchange = FakeExchange(make_scope(path="/slow"), started=loop.time() - 2.0)
        try:
            return Reports(None).live(sys._getframe(), loop, [exchange])
        finally:
            for task in tasks:
                task.cancel()

    thread = threading.Thread(target=wait_in_thread, name="helper")
    thread.start()
    held.wait()
    try:
        text = asyncio.run(main())
    finally:
        release.set()
        thread.join()

    assert text.startswith("Main thread (most recent call last):\n")
    assert "in main\n" in text
    assert "Thread helper (most recent call last):\n" in text
    assert "in wait_in_thread\n" in text
    assert "Tasks: 121\n" in text
    assert ".wait_in_task (most recent call last):\n" in text
    assert "await asyncio.sleep(60)" in text
    assert "and 21 more tasks\n" in text
    assert "Requests in flight: 1\n  2." in text


def test_a_loop_that_waits_is_said_to() -> None:
    text = Reports(None).live(None, None, [])

    assert "Main thread (most recent call last):\n" in text


def test_a_report_of_many_requests_is_bounded() -> None:
    loop = asyncio.new_event_loop()
    try:
        text = Reports(None).stuck(None, loop, [FakeExchange() for _ in range(120)])
    finally:
        loop.close()

    assert "Requests in flight: 120" in text
    assert text.count("GET / from") == 50
    assert "and 70 younger ones" in text


def test_stacks_go_to_the_error_log_and_follow_it(tmp_path: Path) -> None:
    log = FileLog(tmp_path / "error.log")
    reports = Reports(log)
    reports.install(lambda number, frame: None)
    first = reports.descriptor
    (tmp_path / "error.log").rename(tmp_path / "error.log.1")
    log.handler.close()
    log.handler.stream = log.handler._open()

    os.write(reports.descriptor, b"before")
    reports.follow_log()
    os.write(reports.descriptor, b"after")

    assert not reports.apart
    assert (tmp_path / "error.log.1").read_text() == "before"
    assert (tmp_path / "error.log").read_text() == "after"
    assert os.fstat(reports.descriptor)  # of our own, open
    assert not _is_open(first) or first == reports.descriptor
    os.close(reports.descriptor)
    log.handler.close()


def test_a_log_without_a_file_leaves_the_stacks_to_standard_error_and_the_report() -> None:
    reports = Reports(logging.Logger("none"))
    reports.install(lambda number, frame: None)
    done = threading.Event()
    thread = threading.Thread(target=done.wait, name="somebody-else")
    thread.start()
    try:
        text = reports.stuck(sys._getframe(), None, [])
    finally:
        done.set()
        thread.join()

    assert reports.apart
    assert "Thread somebody-else" in text
    os.close(reports.descriptor)


def test_sigabrt_writes_all_stacks_and_calls_the_handler(tmp_path: Path) -> None:
    log = FileLog(tmp_path / "error.log")
    called: list[int] = []
    reports = Reports(log)
    faulthandler.enable()  # as PYTHONFAULTHANDLER does
    reports.install(lambda number, frame: called.append(number))

    os.kill(os.getpid(), signal.SIGABRT)

    assert called == [signal.SIGABRT]
    stacks = (tmp_path / "error.log").read_text()
    assert "test_sigabrt_writes_all_stacks_and_calls_the_handler" in stacks
    os.close(reports.descriptor)
    log.handler.close()


def test_an_inquiry_writes_all_stacks_and_the_process_goes_on(tmp_path: Path) -> None:
    log = FileLog(tmp_path / "error.log")
    reports = Reports(log)
    reports.install(lambda number, frame: None)
    reports.answer(signal.SIGUSR2)
    (tmp_path / "error.log").rename(tmp_path / "error.log.1")
    log.handler.close()
    log.handler.stream = log.handler._open()
    reports.follow_log()
    try:
        os.kill(os.getpid(), signal.SIGUSR2)
    finally:
        faulthandler.unregister(signal.SIGUSR2)

    stacks = (tmp_path / "error.log").read_text()
    assert "test_an_inquiry_writes_all_stacks_and_the_process_goes_on" in stacks
    assert (tmp_path / "error.log.1").read_text() == ""
    os.close(reports.descriptor)
    log.handler.close()


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_what_has_been_said_is_not_said_again() -> None:
    reports = Reports(None)
    reports.apart = False

    async def main() -> tuple[str, str, str, str]:
        loop, frame = asyncio.get_running_loop(), sys._getframe()
        other = threading.Thread(target=eventually, args=(done.is_set,), name="other")
        other.start()
        first, second = reports.stuck(frame, loop, []), reports.rest(frame, loop, [])
        done.set()
        other.join()
        third = stuck_elsewhere(reports)
        return first, second, third, reports.moved(frame)

    done = threading.Event()
    first, second, third, fourth = asyncio.run(main())

    assert "in main\n" in first
    assert second.startswith("It is where it was\nThread ")
    assert "Thread other (most recent call last)" in second
    assert "Tasks: 1\n" in second
    assert "Requests in flight: 0" in second
    assert third.startswith("It is here now")
    assert "in stuck_elsewhere\n" in third
    assert fourth.startswith("It is here now")


def stuck_elsewhere(reports: Reports) -> str:
    return reports.moved(sys._getframe())


def test_a_hushed_abort_calls_the_handler_only(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from uvicorn_worker.diagnostics.reports import Reports
reports = Reports(None)
reports.install(lambda number, frame: print("handled"))
reports.hush()
signal.raise_signal(signal.SIGABRT)
reports.follow_log()
signal.raise_signal(signal.SIGABRT)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path
    )

    assert done.stdout == "handled\nhandled\n"
    assert done.stderr.count("Fatal Python error: Aborted") == 1


# -- the watchdog


def test_the_watchdog_barks_once_when_nobody_beats() -> None:
    barks: list[float] = []
    barked = threading.Event()

    def bark(silent: float) -> None:
        barks.append(silent)
        barked.set()

    watchdog = Watchdog((0.05, bark))
    watchdog.start()

    assert barked.wait(5)
    assert barks[0] >= 0.05
    assert eventually(lambda: watchdog.barked)
    barked.clear()
    watchdog.beat()
    assert barked.wait(5)
    assert len(barks) == 2


def test_the_watchdog_raises_its_alarms_one_after_the_other() -> None:
    barks: list[str] = []
    last = threading.Event()

    def end(silent: float) -> None:
        barks.append("end")
        last.set()

    watchdog = Watchdog((0.02, lambda silent: barks.append("first")), (0.05, end))
    watchdog.start()

    assert last.wait(5)
    assert eventually(lambda: watchdog.barked == 2)
    assert barks == ["first", "end"]
    last.clear()
    watchdog.beat()
    assert last.wait(5)
    assert barks == ["first", "end"] * 2
