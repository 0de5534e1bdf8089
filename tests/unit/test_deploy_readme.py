"""Every command that deploy/README.md and the files beside it name is one that starts."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from gunicorn.config import Config

import uvicorn_supervisor.cli
import uvicorn_worker.cli
from tests.support.supervisor_table import README as SUPERVISORS_README

FOLDER = Path(__file__).parents[2] / "deploy"
README = FOLDER / "README.md"

COMMAND = re.compile(r"(?:uvicorn-supervisor|uvicorn-worker|gunicorn) [^`\n#]*[^`\s#]")
COMMENT = re.compile(r"^\s*# {5}(?=gunicorn |uvicorn-)", re.MULTILINE)
FLAG = re.compile(r"`(--[a-z0-9-]+)`")


def commands() -> list[str]:
    """Return the commands in code of the README, and in comments of configuration files."""
    text = README.read_text()
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).splitlines()
    found = [*blocks, *re.findall(r"`([^`\n]+)`", text)]
    for path in FOLDER.rglob("*.*"):
        if path.is_file() and path != README:
            joined = path.read_text().replace("\\\n#", "")
            found += [line[match.end() :] for line in joined.splitlines()
                      if (match := COMMENT.match(line))]  # fmt: skip
    return sorted({line.strip() for line in found if COMMAND.fullmatch(line.strip())})


def test_there_are_commands() -> None:
    assert len(commands()) >= 25


@pytest.mark.parametrize("line", commands())
def test_command_is_understood(line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # no pyproject.toml
    program, *words = shlex.split(line)
    if program == "gunicorn":
        config = Config()
        given = vars(config.parser().parse_args(words))
        (app,) = given.pop("args")
        assert re.fullmatch(r"[\w.]+(:\w+)?", app)
        for name, value in given.items():
            if value is not None and name not in ("chdir", "worker_class"):
                config.set(name, value)  # raises for values that do not fit
        return
    if program == "uvicorn-worker":
        assert uvicorn_worker.cli.read([word for word in words if word != "check"], {})
        return
    assert uvicorn_supervisor.cli.read(words, {})


def test_options_of_the_readme_exist() -> None:
    known = "".join(path.read_text() for path in (SUPERVISORS_README, FOLDER.parent / "README.md"))
    gunicorns = {flag for one in Config().settings.values() for flag in one.cli or ()}
    others = {"--stop-timeout"}  # Docker's
    for flag in set(FLAG.findall(README.read_text())) - gunicorns - others:
        assert f"`{flag}" in known or f"[no-]{flag[2:]}" in known, flag


def test_every_file_is_linked_by_its_folder() -> None:
    text = README.read_text()
    for folder in FOLDER.iterdir():
        assert folder.is_file() or f"]({folder.name})" in text
