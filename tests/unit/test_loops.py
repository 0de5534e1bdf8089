"""Event loops by name."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from uvicorn_worker import loops
from uvicorn_worker.errors import ConfigError
from uvicorn_worker.loops import check_loop, new_event_loop

if TYPE_CHECKING:
    from uvicorn_worker.serverconfig import LoopName

HAS_UVLOOP = find_spec("uvloop") is not None


@pytest.mark.parametrize(
    ("name", "home"),
    [
        ("asyncio", "asyncio"),
        ("auto", "uvloop" if HAS_UVLOOP else "asyncio"),
        pytest.param(
            "uvloop", "uvloop", marks=pytest.mark.skipif(not HAS_UVLOOP, reason="no uvloop")
        ),
    ],
)
def test_a_name_gives_a_loop_of_that_kind(name: LoopName, home: str) -> None:
    loop = new_event_loop(name)
    try:
        assert type(loop).__module__.partition(".")[0] == home
        loop.run_until_complete(asyncio.sleep(0))
    finally:
        loop.close()


def test_uvloop_is_refused_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "find_spec", lambda name: None)

    check_loop("auto")
    with pytest.raises(ConfigError, match="pip install uvloop"):
        check_loop("uvloop")
    loop = new_event_loop("auto")
    loop.close()

    assert type(loop).__module__.startswith("asyncio")
