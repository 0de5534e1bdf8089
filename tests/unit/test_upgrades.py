"""What WebSockets need is loaded before the first of them, without a long stop of the loop."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from uvicorn_worker import upgrades
from uvicorn_worker.upgrades import LateUpgrader

if TYPE_CHECKING:
    from uvicorn_worker.http1.state import HTTPState
    from uvicorn_worker.serverconfig import WebSocketName


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return what engines are made, as they are."""
    made: list[Any] = []
    make = upgrades.make_engine

    def note(name: WebSocketName) -> Any:
        made.append(make(name))
        return made[-1]

    monkeypatch.setattr(upgrades, "make_engine", note)
    return made


def prepare(parts: tuple[str, ...]) -> tuple[LateUpgrader, int]:
    """Prepare an upgrader; return it, and in how many turns of the loop something was imported."""

    async def run() -> tuple[LateUpgrader, int]:
        delays = []

        def call_later(delay: float, callback: Any, *args: Any) -> None:
            delays.append(delay)
            asyncio.get_running_loop().call_soon(callback, *args)

        config = SimpleNamespace(ws="auto", ws_per_message_deflate=True)
        state = SimpleNamespace(
            config=config, websocket=None, loop=SimpleNamespace(call_later=call_later)
        )
        upgrader = LateUpgrader(cast("HTTPState", state))
        upgrader.prepare(parts)
        for _ in range(len(parts) + 1):
            await asyncio.sleep(0)
        return upgrader, len(delays)

    return asyncio.run(run())


def test_parts_are_imported_one_after_the_other_and_the_engine_is_made_last(
    engines: list[Any],
) -> None:
    upgrader, turns = prepare(upgrades.PARTS)
    assert turns == len(upgrades.PARTS)
    assert len(engines) == 1
    upgrader.load()
    assert len(engines) == 1


def test_a_part_that_is_missing_is_left_to_whoever_needs_it(engines: list[Any]) -> None:
    prepare(("json", "no_module_has_this_name"))
    assert len(engines) == 1


def test_what_a_handshake_has_loaded_meanwhile_is_not_loaded_again(engines: list[Any]) -> None:
    upgrader, _ = prepare(())
    upgrader.prepare()
    assert len(engines) == 1
