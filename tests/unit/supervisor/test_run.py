"""`uvicorn_supervisor.run`: where it cannot be called, and how."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from uvicorn_supervisor import run
from uvicorn_worker.errors import ConfigError


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        (
            {"worker": 4},
            TypeError,
            r"run\(worker=...\): there is no such option; did you mean 'workers'\?",
        ),
        ({"workers": 0}, ConfigError, "workers=0: expected a number from 1 to 256"),
        (
            {"error_logfile": "no/such/log"},
            ConfigError,
            "error_logfile='no/such/log': No such file",
        ),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        run("shop:app", **options)


def test_another_thread_is_told_who_serves_there() -> None:
    errors: list[Exception] = []

    def call() -> None:
        try:
            run("shop:app")
        except RuntimeError as exc:
            errors.append(exc)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()

    assert "call it in the main thread; uvicorn_worker.Server serves in any thread" in str(errors)


def test_no_fork_shares_a_running_loop() -> None:
    async def call() -> None:
        run("shop:app")

    with pytest.raises(RuntimeError, match="an event loop runs here already"):
        asyncio.run(call())
