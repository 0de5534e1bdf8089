"""Lines reach slow, blocked and broken logs as well as these allow, and the server goes on."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import io
import logging
import os
import pty
import socket
import sys
import tempfile
import threading
from typing import TYPE_CHECKING, TextIO

import pytest

from tests.support.waiting import eventually_async
from uvicorn_worker.logs import linesink
from uvicorn_worker.logs.linesink import LIMIT, LineSink, line_handler

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LINE = "x" * 99 + "\n"


class Told:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def error(self, msg: str, /, *args: object, exc_info: BaseException | None = None) -> None:
        self.lines.append(msg % args)

    def warning(self, msg: str, /, *args: object) -> None:
        self.lines.append(msg % args)

    debug = info = exception = warning


def make_sink(stream: TextIO) -> tuple[LineSink, Told]:
    handler = line_handler(logging.StreamHandler(stream))
    assert handler is not None
    told = Told()
    return LineSink(handler, told), told


def opened(fd: int) -> TextIO:
    return os.fdopen(fd, "w", encoding="utf-8")


def read_now(fd: int) -> bytes:
    """Return what can be read without waiting."""
    os.set_blocking(fd, False)
    read = b""
    try:
        while part := os.read(fd, 65536):
            read += part
    except BlockingIOError:
        pass
    return read


@pytest.fixture(params=["nowait", "poll"])
def _how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "poll":
        monkeypatch.setattr(linesink, "NOWAIT", 0)
    elif not linesink.NOWAIT:
        pytest.skip("this system has no writes that do not wait")


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, 1031, 4096)  # F_SETPIPE_SZ: one page
    stream = opened(writer)
    yield reader, stream
    # A test may have closed the one, and so broken the other.
    with contextlib.suppress(OSError):
        os.close(reader)
    with contextlib.suppress(OSError):
        stream.close()


def test_lines_of_one_turn_are_one_write_behind_what_was_printed(tmp_path: Path) -> None:
    async def run() -> None:
        print("printed", file=stream)
        sink.write("one\n")
        sink.write("two\n")
        assert (tmp_path / "log").read_text() == ""
        await asyncio.sleep(0)
        assert (tmp_path / "log").read_text() == "printed\none\ntwo\n"

    with (tmp_path / "log").open("a", encoding="utf-8") as stream:
        sink, told = make_sink(stream)
        asyncio.run(run())

    assert told.lines == []


def test_without_a_loop_lines_are_written_at_once(tmp_path: Path) -> None:
    with (tmp_path / "log").open("a", encoding="utf-8") as stream:
        sink, _ = make_sink(stream)
        sink.write("one\n")
        assert (tmp_path / "log").read_text() == "one\n"


@pytest.mark.usefixtures("_how")
def test_a_pipe_that_is_read_later_gets_every_line_in_order(pipe: tuple[int, TextIO]) -> None:
    reader, stream = pipe
    sink, told = make_sink(stream)
    lines = [f"{number:098}\n" for number in range(2000)]

    async def run() -> bytes:
        for line in lines:
            sink.write(line)
        await asyncio.sleep(0)
        read = b""
        for line in lines:
            sink.write(line)
        while len(read) < 2 * 2000 * 99:
            await asyncio.sleep(0.001)  # the sink's own timer has to run
            read += read_now(reader)
        return read

    assert asyncio.run(run()).decode() == "".join(lines * 2)
    assert told.lines == []


@pytest.mark.usefixtures("_how")
def test_a_slow_reader_slows_the_server_and_loses_nothing(pipe: tuple[int, TextIO]) -> None:
    reader, stream = pipe
    sink, told = make_sink(stream)
    count = 2 * LIMIT // len(LINE)
    read = bytearray()

    def keep_reading() -> None:
        while len(read) < count * len(LINE):
            read.extend(os.read(reader, 65536))

    async def run() -> None:
        thread = threading.Thread(target=keep_reading)
        thread.start()
        for _ in range(count):
            sink.write(LINE)
            if not sink.pending:
                continue
            await asyncio.sleep(0)
        await eventually_async(lambda: not thread.is_alive())
        thread.join()

    asyncio.run(run())
    assert read == LINE.encode() * count
    assert told.lines == []


@pytest.mark.usefixtures("_how")
def test_a_reader_that_stands_still_costs_lines_and_no_memory(pipe: tuple[int, TextIO]) -> None:
    reader, stream = pipe
    sink, told = make_sink(stream)
    count = 3 * LIMIT // len(LINE)

    async def run() -> bytes:
        for _ in range(count):
            sink.write(LINE)
            if sink.pending:
                await asyncio.sleep(0)
        assert len(sink._rest) < LIMIT + 2 * len(LINE)
        read = b""
        while not told.lines:
            read += read_now(reader)
            await asyncio.sleep(0.001)
        return read + read_now(reader)

    read = asyncio.run(run())
    lost = count - read.count(b"\n")
    assert lost > LIMIT // len(LINE)
    assert read == LINE.encode() * (count - lost)
    assert told.lines == [f"The access log can be written again: {lost} lines are lost"]


@pytest.mark.usefixtures("_how")
def test_a_pipe_without_a_reader_is_told_once(pipe: tuple[int, TextIO]) -> None:
    reader, stream = pipe
    os.close(reader)
    sink, told = make_sink(stream)
    for _ in range(3):
        sink.write(LINE)

    assert told.lines == ["The access log cannot be written, lines are dropped: Broken pipe"]


def test_a_full_disk_is_told_when_it_begins_and_when_it_ends(tmp_path: Path) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full, (tmp_path / "log").open("w") as free:
        sink, told = make_sink(full)
        for _ in range(3):
            sink.write(LINE)
        sink._handler.setStream(free)
        sink.write("again\n")

    assert (tmp_path / "log").read_text() == "again\n"
    assert told.lines == [
        "The access log cannot be written, lines are dropped: No space left on device",
        "The access log can be written again: 3 lines are lost",
    ]


def test_a_closed_log_is_told(tmp_path: Path) -> None:
    handler = line_handler(logging.FileHandler(tmp_path / "log"))
    assert handler is not None
    told = Told()
    sink = LineSink(handler, told)
    handler.close()
    sink.write(LINE)

    assert told.lines == ["The access log cannot be written, lines are dropped: it is closed"]


def test_terminals_and_sockets_are_written_to() -> None:
    outer, inner = pty.openpty()
    ours, theirs = socket.socketpair()
    with opened(inner) as terminal, ours, theirs, theirs.makefile("w") as journal:
        for stream in (terminal, opened(os.dup(theirs.fileno()))):
            sink, told = make_sink(stream)
            sink.write("line\n")
            assert told.lines == []
            if stream is not terminal:
                stream.close()
        assert os.read(outer, 100) == b"line\r\n"
        assert ours.recv(100) == b"line\n"
        del journal
    os.close(outer)


def test_only_plain_handlers_on_files_are_taken() -> None:
    with tempfile.TemporaryFile("w", encoding="utf-16") as utf16:
        handlers = [
            logging.NullHandler(),
            logging.StreamHandler(io.StringIO()),
            logging.StreamHandler(utf16),
            logging.StreamHandler(io.TextIOWrapper(io.BytesIO(), "utf-8")),
        ]
        assert [line_handler(handler) for handler in handlers] == [None] * 4
    ended = logging.StreamHandler(sys.__stderr__)
    ended.terminator = "\r\n"
    assert line_handler(ended) is None
