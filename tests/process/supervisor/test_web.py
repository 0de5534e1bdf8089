"""What a supervisor's workers do, on a page and on a terminal, as people see it."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import zlib
from typing import TYPE_CHECKING

import pyte
import pytest

from tests.support import browser as chromium
from tests.support.command import environment
from tests.support.control import COMMAND
from tests.support.load import Load
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.browser import Browser
    from tests.support.supervisor import RunningSupervisor, StartSupervisor

APP = "tests.apps.basic:app"
COLUMNS, ROWS = 80, 24


class Terminal:
    """A terminal of 80 columns and 24 rows with a program in it."""

    def __init__(self, *command: str, env: dict[str, str]) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", ROWS, COLUMNS, 0, 0))
        self._ours = ours
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self.screen)
        try:
            self.process = subprocess.Popen(
                command,
                env=environment({"TERM": "xterm-256color", **env}),
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
            )
        finally:
            os.close(theirs)

    def text(self) -> str:
        """Return what is on the screen now."""
        with contextlib.suppress(OSError):  # the program has ended
            while select.select([self._ours], [], [], 0)[0]:
                self._stream.feed(os.read(self._ours, 65536))
        return "\n".join(self.screen.display)

    def press(self, key: str) -> None:
        os.write(self._ours, key.encode())

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._ours)


def web_address(server: RunningSupervisor) -> tuple[str, int]:
    log = server.wait_for_log("Figures are shown on http://")
    host, _, port = log.partition("Figures are shown on http://")[2].split()[0].rpartition(":")
    return host, int(port)


def red_green_blue(png: bytes) -> set[bytes]:
    """Return the colours of an image, of the eight bits a channel that Chromium writes."""
    width, depth, kind = struct.unpack(">I4xBB", png[16:26])
    assert (depth, kind) in ((8, 2), (8, 6))
    size, data, at = (3 if kind == 2 else 4), b"", 8
    while at < len(png):
        length, name = struct.unpack(">I4s", png[at : at + 8])
        data += png[at + 8 : at + 8 + length] if name == b"IDAT" else b""
        at += length + 12
    raw, line = zlib.decompress(data), 1 + width * size
    return {raw[start + 1 : start + line] for start in range(0, len(raw), line)}


@pytest.mark.skipif(not (chromium.CHROMIUM and chromium.DRIVER), reason=chromium.MISSING)
def test_the_page_and_top_show_what_the_workers_do(
    supervisor: StartSupervisor, tmp_path: Path
) -> None:
    path = str(tmp_path / "ctl")
    server = supervisor(
        APP, "--workers", "2", "--control", path, "--web", "127.0.0.1:0", "--no-access-log"
    )
    server.wait_for_workers(2)
    host, port = web_address(server)
    terminal = Terminal(*COMMAND, "top", env={"UVICORN_CONTROL": path})
    try:
        with Load(server.address, busy=2), chromium.browser(tmp_path / "browser") as window:
            window.open(f"http://{host}:{port}/")
            look_at_page(window, server)
            look_at_top(terminal, server)
    finally:
        terminal.close()
    ask_as_others_do(host, port)


def table_of(window: Browser) -> list[list[str]]:
    """Return what stands in the page's table, a list for each worker."""
    rows: list[list[str]] = window.run(
        "return [...document.querySelectorAll('tbody tr')]"
        ".map(row => [...row.cells].map(cell => cell.innerText))"
    )
    return rows


def look_at_page(window: Browser, server: RunningSupervisor) -> None:
    eventually(lambda: len(table_of(window)) == 2, timeout=20, message="two workers in the table")
    assert {int(row[1]) for row in table_of(window)} == server.worker_pids()
    points = "return document.querySelector('polyline').getAttribute('points').split(' ').length"
    eventually(lambda: window.run(points) > 2, timeout=20, message="a line is plotted")
    eventually(lambda: any(float(row[4]) > 0 for row in table_of(window)), message="requests/s")
    assert window.run("return document.getElementById('state').innerText") == "serving"
    image = window.photograph()
    assert image.startswith(b"\x89PNG")
    assert len(red_green_blue(image)) > 50, "lines of pixels that differ: it is not empty"


def look_at_top(terminal: Terminal, server: RunningSupervisor) -> None:
    eventually(lambda: " ready " in terminal.text(), timeout=20, message="workers are shown")
    lines = terminal.text().splitlines()
    assert f"{APP} on http://127.0.0.1:" in lines[0]
    assert lines[0].rstrip().endswith("serving")
    heading = next(line for line in lines if "WORKER" in line)
    assert heading.split() == [
        "WORKER", "PID", "STATE", "AGE", "REQ/S", "FLIGHT", "LAG", "MEMORY", "RESTARTS",
    ]  # fmt: skip
    rows = [line.split() for line in lines if " ready" in line and "workers" not in line]
    assert {int(row[1]) for row in rows} == server.worker_pids()
    eventually(
        lambda: "█" in terminal.text(), timeout=10, message="requests per second are plotted"
    )
    terminal.press("q")
    eventually(lambda: terminal.text() is not None and terminal.process.poll() is not None)
    assert terminal.process.returncode == 0


def ask_as_others_do(host: str, port: int) -> None:
    """Look at what the page tells browsers, and whom it is not shown."""

    def ask(method: str, path: str, name: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(host, port, timeout=10)
        connection.request(method, path, headers={"Host": name})
        answer = connection.getresponse()
        answer.read()
        return answer

    page = ask("GET", "/", f"localhost:{port}")
    assert page.status == 200
    assert "default-src 'none'; script-src 'sha256-" in page.headers["Content-Security-Policy"]
    assert ask("GET", "/status.json", "evil.example").status == 403
    assert ask("POST", "/status.json", "localhost").status == 405
    assert ask("POST", "/stop", "localhost").status == 404


def test_top_ends_by_an_interrupt_as_well(supervisor: StartSupervisor, tmp_path: Path) -> None:
    path = str(tmp_path / "ctl")
    supervisor(APP, "--control", path).wait_for_workers(1)
    terminal = Terminal(*COMMAND, "top", env={"UVICORN_CONTROL": path})
    try:
        eventually(lambda: " ready " in terminal.text(), timeout=20, message="it is shown")
        terminal.process.send_signal(signal.SIGINT)
        eventually(lambda: terminal.text() is not None and terminal.process.poll() is not None)
    finally:
        terminal.close()

    assert terminal.process.returncode == 0


def test_a_page_for_other_machines_is_warned_about(supervisor: StartSupervisor) -> None:
    server = supervisor(APP, "--web", "0.0.0.0:0")

    server.wait_for_log("sees what the workers do, and is not asked who")


def test_top_without_a_terminal_says_so() -> None:
    ended = subprocess.run(
        [*COMMAND, "--control", "/nowhere", "top"],
        env=environment({}), capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip

    assert ended.returncode == 1
    assert "top needs a terminal; for scripts there is: status --json" in ended.stderr
