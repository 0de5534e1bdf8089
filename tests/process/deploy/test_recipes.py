"""The recipes of deploy/README.md, each started as it stands but for its addresses."""

from __future__ import annotations

import re
import shlex
import sysconfig
from typing import TYPE_CHECKING

import pytest

from tests.support.proxies import DEPLOY
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command import StartCommand

TEXT = (DEPLOY / "README.md").read_text()
SECTION = TEXT[TEXT.index("## Recipes") : TEXT.index("## How it scales")]
LINES = re.findall(r"^(?:gunicorn|uvicorn-supervisor) .*", SECTION, re.MULTILINE)
WHERE = re.compile(r"(?:Listening at: |Serving on )http://127\.0\.0\.1:(\d+)")

pytestmark = pytest.mark.slow


def test_there_are_recipes_for_both_with_and_without_nginx() -> None:
    assert len(LINES) == 4


@pytest.mark.parametrize("line", LINES)
def test_recipe_serves_with_four_workers(command: StartCommand, tmp_path: Path, line: str) -> None:
    for place, other in {
        " app:app": " tests.apps.basic:app",
        "0.0.0.0:8000": "127.0.0.1:0",
        "/run/shop/": f"{tmp_path}/",
    }.items():
        line = line.replace(place, other)
    program, *words = shlex.split(line)
    server = command(*words, command=(f"{sysconfig.get_path('scripts')}/{program}",))
    eventually(lambda: server.marks("start") == 4, timeout=20.0, message="four workers")
    if "127.0.0.1" in line:
        found = eventually(lambda: WHERE.search(server.log_text()))
        server.listens_on(("127.0.0.1", int(found[1])))
    else:
        server.listens_on(str(tmp_path / "http.sock"))
    assert server.get("/").text == "Hello, world!\n"
    server.stop()
    assert server.marks("stop") == 4
    if "--access-logfile -" in line:
        assert '"GET / HTTP/1.1" 200' in server.log_text()
