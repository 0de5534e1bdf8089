"""What is said at the address for metrics: `/metrics`, `/livez` and `/readyz`.

Whoever listens there, a supervisor or the workers themselves, brings the questions here.
"""

from __future__ import annotations

import platform
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, NamedTuple

from uvicorn_worker import __version__
from uvicorn_worker.errors import ConfigError
from uvicorn_worker.metrics.figures import read

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn_worker.scoreboard.board import Scoreboard

PATHS: Final = ("/metrics", "/livez", "/readyz")

TEXT: Final = "text/plain; charset=utf-8"


class Answer(NamedTuple):
    """A response: its status, its content and what that is."""

    status: int
    content: bytes
    content_type: str = TEXT


class Answers:
    """Knows what to say.

    Args:
        ready: whether requests are welcome now.
        now: returns monotonic seconds.
    """

    def __init__(
        self, board: Scoreboard, *, ready: Callable[[], bool], now: Callable[[], float]
    ) -> None:
        self._board = board
        self._ready = ready
        self._now = now
        answers = (self._metrics, self._live, self._ready_now)
        self._paths = dict(zip(PATHS, answers, strict=True))

    def answer(self, method: str, path: str, accept: str = "") -> Answer:
        """Return the answer to a request; `accept` is its field of that name."""
        say = self._paths.get(path)
        if say is None:
            return Answer(404, f"there is {', '.join(PATHS)}\n".encode())
        if method not in ("GET", "HEAD"):
            return Answer(405, b"GET and HEAD only\n")
        return say(accept)

    def _metrics(self, accept: str) -> Answer:
        from uvicorn_worker.metrics.exposition import expose

        return Answer(200, *expose(read(self._board, self._now()), about(), accept))

    def _live(self, accept: str) -> Answer:
        return Answer(200, b"alive\n")

    def _ready_now(self, accept: str) -> Answer:
        return Answer(200, b"ready\n") if self._ready() else Answer(503, b"not ready\n")


def about() -> dict[str, str]:
    """Return the labels of `uvicorn_build_info`."""
    return {
        "version": __version__,
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
    }


def check_installed(option: str) -> None:
    """Raise ConfigError where what `/metrics` needs is missing; `option` is what asks for it."""
    if find_spec("prometheus_client") is None:
        raise ConfigError(
            f"{option} needs the package prometheus_client: pip install 'uvicorn-worker[metrics]'"
        )
