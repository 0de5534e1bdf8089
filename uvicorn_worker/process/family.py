"""Who else there is, as the decisions of a worker that goes want to know it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn_worker.scoreboard.phases import Phase

if TYPE_CHECKING:
    from uvicorn_worker.scoreboard.board import Scoreboard
    from uvicorn_worker.scoreboard.slots import Slot


class Family:
    """A worker's view of the others on its scoreboard."""

    def __init__(self, board: Scoreboard, slot: Slot) -> None:
        self._board = board
        self._slot = slot

    def ready(self) -> int:
        """Return how many accept connections now."""
        return self._board.ready_siblings(self._slot)

    def coming(self) -> int:
        """Return how many younger ones are booting."""
        return len(self._younger(Phase.BOOTING))

    def _younger(self, *phases: Phase) -> list[int]:
        """Return the generations of younger workers in these phases that exist."""
        return [view.generation for view in self._board.successors(self._slot, *phases)]
