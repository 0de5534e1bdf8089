"""Which files `--reload` watches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from uvicorn_supervisor.reloading.patterns import EXCLUDES, INCLUDES, Watched, resolve
from uvicorn_worker.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def here(tmp_path: Path) -> Path:
    for folder in ("app/inner", "app/static", "lib", "other", ".git"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


CASES = {
    # dirs, includes, excludes -> folders, files that count, files that do not
    "defaults": ([], [], [], ["."], ["a.py", "app/b.py"], ["a.txt", ".a.py", "a.pyc", "~a.py"]),
    "folders": (["app", "lib"], [], [], ["app", "lib"], ["lib/a.py"], ["lib/a.js"]),
    "nested-folders": (["app", "app/inner", "."], [], [], ["."], ["app/inner/a.py"], []),
    "include": ([], ["*.html"], [], ["."], ["a.html", "a.py"], ["a.css"]),
    "include-and-exclude-python": (
        [], ["*.html"], ["*.py"], ["."], ["a.html"], ["a.py"],
    ),
    "exclude-a-pattern": ([], [], ["test_*.py"], ["."], ["a.py"], ["app/test_a.py"]),
    "exclude-a-folder": (
        [], [], ["app/static"], ["."], ["app/a.py"], ["app/static/a.py", "app/static/x/a.py"],
    ),
    "exclude-folders-by-pattern": ([], [], ["app/*"], ["."], ["lib/a.py"], ["app/inner/a.py"]),
    "include-folders-by-pattern": (
        ["lib"], ["app/*"], [], ["lib", "app/inner", "app/static"], ["app/inner/a.py"], [],
    ),
    "exclude-a-folder-that-is-watched": (["app", "lib"], [], ["lib"], ["app"], ["app/a.py"], []),
    "a-file-by-name": ([], [".env"], [], ["."], [".env", "app/.env", "a.py"], [".other"]),
    "hidden-files": ([], [".*"], [], ["."], [".a", "a.py"], ["a.txt"]),
    "the-same-both-ways": ([], ["*.css"], ["*.css"], ["."], ["a.py"], ["a.css"]),
    "a-pattern-with-a-folder": ([], ["app/*.txt"], [], ["."], ["app/a.txt", "x/app/a.txt"],
                                ["a.txt"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_options_say_what_is_watched(name: str, here: Path) -> None:
    dirs, includes, excludes, folders, counting, others = CASES[name]

    watched = resolve(dirs, includes, excludes, here)

    assert set(watched.folders) == {(here / folder).resolve() for folder in folders}
    assert {path: watched.wants(here / path) for path in (*counting, *others)} == {
        **dict.fromkeys(counting, True),
        **dict.fromkeys(others, False),
    }


def test_defaults_are_uvicorns(here: Path) -> None:
    assert resolve([], [], [], here) == Watched(
        folders=(here,), includes=INCLUDES, excludes=EXCLUDES
    )


def test_a_folder_that_is_not_there_is_refused(here: Path) -> None:
    with pytest.raises(ConfigError, match="reload_dirs='ap': there is no such folder in"):
        resolve(["app", "ap"], [], [], here)
