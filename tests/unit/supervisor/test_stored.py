"""Which of systemd's descriptors were our own."""

from __future__ import annotations

from uvicorn_supervisor.systemd.stored import PREFIX, separate
from uvicorn_worker.sockets.binds import Inherited


def test_sockets_of_units_are_not_taken_for_stored_ones() -> None:
    web, admin = Inherited(3, "web"), Inherited(5, "shop.socket")
    ours = Inherited(4, f"{PREFIX}0")

    assert separate([web, ours, admin]) == ([ours], [web, admin])
    assert separate([]) == ([], [])
