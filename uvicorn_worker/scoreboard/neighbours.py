"""What one worker sees of the others that accept with it, and shows them of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uvicorn_worker.scoreboard.board import Scoreboard
    from uvicorn_worker.scoreboard.slots import Slot


class Neighbours:
    """What one worker sees of the others that accept with it, and shows them of itself."""

    def __init__(self, board: Scoreboard, slot: Slot) -> None:
        self._board = board
        self._slot = slot
        self.load = board.load
        self.show = slot.show_load

    def accepting(self) -> list[int]:
        return self._board.accepting(self._slot)

    def seats(self) -> set[int]:
        """Return the seats of those that accept."""
        return {self._board.seat(index) for index in self.accepting()}
