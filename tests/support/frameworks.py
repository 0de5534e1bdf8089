"""The frameworks that have an example, and the contract that each example fulfils.

The applications in examples/frameworks have the same routes, each written as its framework wants
it. `visit` asks a running one for all of them, so that one start of a server is one cell's worth
of the grid in examples/README.md (tests/support/frameworks_table.py).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
from websockets.sync.client import connect

from tests.support.gunicorn import CHECKOUT
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.gunicorn import RunningGunicorn
    from tests.support.supervisor import RunningSupervisor

    Server = RunningGunicorn | RunningSupervisor

EXAMPLES = CHECKOUT / "examples" / "frameworks"

PANTHER = CHECKOUT / ".panther"
"""Where `make` puts Panther: its requirements exclude ours, and it brings Uvicorn along."""

ENGINES = ("gunicorn", "supervisor")


@dataclass(frozen=True)
class Framework:
    """One row of the grid."""

    name: str
    packages: tuple[str, ...]
    """Distributions whose versions the grid shows."""
    install: str
    """What `pip install` needs."""
    home: Path | None = None
    """A folder that has the packages, where they are not in the tests' environment."""

    @property
    def module(self) -> str:
        """Return the name of the example's module, in `EXAMPLES`."""
        return f"{self.name.lower()}_app"

    @property
    def path(self) -> str:
        """Return what PYTHONPATH has to have."""
        return os.pathsep.join(str(folder) for folder in (EXAMPLES, self.home) if folder)

    def versions(self) -> list[str]:
        """Return the version of each package; empty if one of them is not installed."""
        places = [str(self.home)] if self.home else sys.path
        found = []
        for package in self.packages:
            first = next(iter(importlib.metadata.distributions(name=package, path=places)), None)
            if first is None:
                return []
            found.append(first.version)
        return found


FRAMEWORKS = (
    Framework("FastAPI", ("fastapi",), "fastapi"),
    Framework("Starlette", ("starlette",), "starlette"),
    Framework("Django", ("django", "channels"), "django channels"),
    Framework("Quart", ("quart",), "quart"),
    Framework("Litestar", ("litestar",), "litestar"),
    Framework("BlackSheep", ("blacksheep",), "blacksheep"),
    Framework("Falcon", ("falcon",), "falcon"),
    Framework("Muffin", ("muffin",), "muffin"),
    Framework(
        "Panther",
        ("panther",),
        "--no-deps --target .panther panther pantherdb simple-ulid uvicorn pytz",
        home=PANTHER,
    ),
)

CHUNK = 48_000
BODY = bytes(range(256)) * 5_000  # many reads of a socket, and less than every framework's limit
MESSAGES = ("text: \u00e4\u6f22\U0001f40d", b"\x00\xff bytes", "long " * 20_000)


def visit(framework: Framework, server: Server) -> dict[str, str]:
    """Ask the server for everything in the contract, and stop it.

    Returns the checks in the order of `CHECKS`, each with what was wrong, empty if nothing was.
    """
    with httpx.Client(base_url=address(server, "http"), timeout=20) as client:
        wrong = {name: _failure(lambda c=check: c(framework, server, client))  # type: ignore[misc]  # the default binds this turn's check
                 for name, check in CHECKS.items()}  # fmt: skip
    wrong["lifespan"] = wrong["lifespan"] or _failure(lambda: stops(server))
    return wrong


def address(server: Server, scheme: str) -> str:
    """Return the server's address as a URL without a path."""
    where = server.address
    assert not isinstance(where, str), where
    return f"{scheme}://{where[0]}:{where[1]}"


def _failure(check: Callable[[], None]) -> str:
    try:
        check()
    except Exception as exc:  # whatever a client raises is the answer
        return f"{type(exc).__name__}: {exc}"
    return ""


def answers(framework: Framework, server: Server, client: httpx.Client) -> None:
    """A plain route, and 404 where there is none."""
    home = client.get("/")
    assert (home.status_code, home.text) == (200, f"Hello from {framework.name}\n")
    assert home.headers["content-type"].startswith("text/plain")
    assert client.get("/nowhere").status_code == 404


def takes_parameters(framework: Framework, server: Server, client: httpx.Client) -> None:
    """JSON of a parameter in the path, and one in the query with and without its default."""
    item = client.get("/items/7", params={"unit": "k&g \u00e4"})
    assert item.json() == {"number": 7, "unit": "k&g \u00e4"}
    assert item.headers["content-type"].startswith("application/json")
    assert client.get("/items/8").json() == {"number": 8, "unit": "piece"}


def streams(framework: Framework, server: Server, client: httpx.Client) -> None:
    """The first line comes before the last one is made.

    Once is proof: a server that keeps lines back never does it. A client that is held up between
    two lines sees them together, hence more tries.
    """
    seconds = 0.15

    def ahead() -> bool:
        with client.stream("GET", "/countdown", params={"seconds": seconds}) as answer:
            lines = answer.iter_lines()
            first, came = next(lines), time.monotonic()
            assert [first, *lines] == ["3", "2", "1", "lift-off"]
        assert answer.headers["transfer-encoding"] == "chunked"
        return time.monotonic() - came > seconds / 2

    eventually(ahead)


def takes_uploads(framework: Framework, server: Server, client: httpx.Client) -> None:
    """A body of some size arrives whole, with its length said before and without."""
    expected = {"size": len(BODY), "sha256": hashlib.sha256(BODY).hexdigest()}
    binary = {"Content-Type": "application/octet-stream"}

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(BODY), CHUNK):
            yield BODY[start : start + CHUNK]

    for content in (BODY, pieces()):
        answer = client.post("/upload", content=content, headers=binary)
        assert (answer.status_code, answer.json()) == (200, expected)


def echoes(framework: Framework, server: Server, client: httpx.Client) -> None:
    """Text and bytes come back as they were, and the close is clean."""
    with connect(f"{address(server, 'ws')}/echo") as websocket:
        for message in MESSAGES:
            websocket.send(message)
            assert websocket.recv(timeout=20) == message
    assert websocket.close_code == 1000


def has_started(framework: Framework, server: Server, client: httpx.Client) -> None:
    """What the lifespan's startup has made is there for a request. `stops` is the other half."""
    assert 0 < client.get("/uptime").json()["uptime"] < 60


def survives_errors(framework: Framework, server: Server, client: httpx.Client) -> None:
    """An exception is a 500, and the same worker serves on."""
    before = server.worker_pids()
    for _ in range(2):
        assert client.get("/error").status_code == 500
        assert client.get("/").status_code == 200
    assert server.worker_pids() == before


def stops(server: Server) -> None:
    """The lifespan's shutdown has run when the server has ended."""
    server.stop()
    assert server.log_text().count("stopped after ") == 1


CHECKS = {
    "route": answers,
    "JSON": takes_parameters,
    "stream": streams,
    "upload": takes_uploads,
    "WebSocket": echoes,
    "error": survives_errors,
    "lifespan": has_started,
}
"""The columns of the grid."""
