"""Real Chromium without a window, driven by W3C WebDriver over HTTP: no package but httpx."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TIMEOUT = 30.0  # seconds for one command; a start of Chromium on a busy machine takes some

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
MISSING = "needs Chromium: apt-get install chromium chromium-driver"

ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",  # tests run as root in containers
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
]
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # W3C WebDriver section 11: the key of a reference


class Browser:
    """One window."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def _do(self, method: str, path: str, **body: Any) -> Any:
        answer = self._client.request(method, path, json=body if method == "POST" else None)
        value = answer.json()["value"]
        assert answer.status_code == 200, f"{method} {path}: {value}"
        return value

    def open(self, url: str) -> None:
        """Load a page and return when it is there."""
        self._do("POST", "/url", url=url)

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what a piece of JavaScript returns."""
        return self._do("POST", "/execute/sync", script=script, args=list(arguments))

    def _find(self, selector: str) -> str:
        found = self._do("POST", "/element", using="css selector", value=selector)
        element: str = found[ELEMENT]
        return element

    def photograph(self) -> bytes:
        """Return the window as a PNG image."""
        return base64.b64decode(self._do("GET", "/screenshot"))

    def type(self, selector: str, text: str) -> None:
        """Press keys in an element."""
        self._do("POST", f"/element/{self._find(selector)}/value", text=text)

    def click(self, selector: str) -> None:
        """Click an element."""
        self._do("POST", f"/element/{self._find(selector)}/click")


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Start Chromium and end it, whatever happens; its files go to `folder`."""
    assert CHROMIUM is not None, MISSING
    assert DRIVER is not None, MISSING
    driver = subprocess.Popen(
        [DRIVER, "--port=0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "HOME": str(folder)},
    )
    try:
        base = f"http://127.0.0.1:{_port(driver)}"
        with httpx.Client(base_url=base, timeout=TIMEOUT) as client:
            options = {
                "binary": CHROMIUM,
                "args": [*ARGUMENTS, f"--user-data-dir={folder / 'chromium'}"],
            }
            wanted = {"alwaysMatch": {"goog:chromeOptions": options}}
            answer = client.post("/session", json={"capabilities": wanted})
            value = answer.json()["value"]
            assert answer.status_code == 200, value
            session = f"/session/{value['sessionId']}"
            client.base_url = httpx.URL(base + session)
            try:
                yield Browser(client)
            finally:
                client.delete("")
    finally:
        # Chromium's processes are of the driver's session.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)
        driver.communicate()


def _port(driver: subprocess.Popen[bytes]) -> int:
    """Return the port that the driver says it listens on, once it does."""
    assert driver.stdout is not None
    for line in driver.stdout:
        if found := re.search(rb"started successfully on port (\d+)", line):
            return int(found[1])
    raise AssertionError(f"chromedriver ended with {driver.wait()}")
