"""The example examples/chat in real Chromium, through reloads of the server."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from websockets.sync.client import connect

from tests.support import browser as chromium
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.browser import Browser
    from tests.support.gunicorn import RunningGunicorn, StartGunicorn

CHAT = Path(__file__).parents[2] / "examples" / "chat"
COMMAND = "gunicorn -k uvicorn_worker.UvicornWorker --chdir examples/chat app:app"

needs_chromium = pytest.mark.skipif(
    chromium.CHROMIUM is None or chromium.DRIVER is None, reason=chromium.MISSING
)
pytestmark = pytest.mark.slow


@pytest.fixture
def serve(gunicorn: StartGunicorn, tmp_path: Path) -> Callable[..., RunningGunicorn]:
    def run(*options: str) -> RunningGunicorn:
        file = tmp_path / "chat.sqlite"
        paths = ("--pythonpath", str(CHAT))
        return gunicorn("app:app", *paths, *options, env={"CHAT_FILE": str(file)})

    return run


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Browser]:
    with chromium.browser(tmp_path) as window:
        yield window


def texts(server: RunningGunicorn, room: str) -> list[str]:
    """Return what the server has of a room, in its order."""
    return [row["text"] for row in server.get(f"/rooms/{room}").json()]


def shown(page: Browser) -> list[str]:
    """Return what the page shows."""
    script = "return [...document.querySelectorAll('#messages li')].map(li => li.textContent)"
    lines: list[str] = page.run(script)
    return lines


def test_the_command_stands_in_the_example_and_in_the_readme() -> None:
    assert COMMAND in (CHAT / "app.py").read_text("utf-8")
    assert f"`{COMMAND}`" in (CHAT.parent / "README.md").read_text("utf-8")


@needs_chromium
def test_rooms_in_a_browser(serve: Callable[..., RunningGunicorn], page: Browser) -> None:
    server = serve()
    page.open(f"http://127.0.0.1:{server.port}/#green")
    with connect(f"ws://127.0.0.1:{server.port}/rooms/green") as other:
        other.recv()
        page.type("#text", "hello from <Chromium>")
        page.click("button")
        assert '"text":"hello from <Chromium>"' in str(other.recv())
        other.send('{"name": "Python", "text": "hello too", "key": "1"}')
    eventually(lambda: shown(page) == ["guest: hello from <Chromium>", "Python: hello too"])
    assert page.run("return chat.waiting.size") == 0

    page.click("nav a[href='#red']")
    eventually(lambda: page.run("return byId('state').textContent") == "connected")
    assert shown(page) == []
    page.click("nav a[href='#green']")
    eventually(lambda: len(shown(page)) == 2)


def reload_under(page: Browser, server: RunningGunicorn) -> None:
    """Replace all workers, and wait until one of the new ones serves the page."""
    old = server.worker_pids()
    server.signal(signal.SIGHUP)
    eventually(lambda: page.run("return chat.workers.at(-1)") not in old, timeout=30)


@needs_chromium
@pytest.mark.parametrize("workers", [1, 2])
def test_no_message_that_was_sent_is_lost_in_a_reload(
    workers: int, serve: Callable[..., RunningGunicorn], page: Browser
) -> None:
    server = serve("--workers", str(workers))
    page.open(f"http://127.0.0.1:{server.port}/#blue")
    count = 300
    page.run(
        """
        let number = 0;
        const timer = setInterval(() => {
          if (number >= arguments[0]) clearInterval(timer);
          else chat.say("page", String(number++));
        }, 10);
        """,
        count,
    )
    for _ in range(2):
        eventually(lambda: page.run("return chat.workers.length"))
        reload_under(page, server)

    eventually(lambda: page.run("return chat.sent.length") == count, timeout=30)
    everything = [str(number) for number in range(count)]
    stored = texts(server, "blue")
    assert sorted(stored, key=int) == everything  # each once
    assert page.run("return chat.sent.slice().sort((a, b) => a - b)") == everything
    eventually(lambda: len(shown(page)) == count)
    assert shown(page) == [f"page: {text}" for text in stored]
    assert page.run("return chat.waiting.size") == 0
    assert set(page.run("return chat.closes")) == {1012}
