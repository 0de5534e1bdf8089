"""The command line of uvicorn-supervisor: what it becomes, and what is refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from gunicorn.config import KNOWN_SETTINGS

from uvicorn_supervisor.advice import ELSEWHERE, VOIDS
from uvicorn_supervisor.cli import OPTIONS, main, read
from uvicorn_worker.cli import OPTIONS as WORKERS
from uvicorn_worker.config import SUPERVISORS
from uvicorn_worker.errors import ConfigError, UsageError
from uvicorn_worker.options.advice import find_void

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder without a pyproject.toml."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "environ", "bind"),
    [
        ([], {}, ()),
        ([], {"PORT": "5000"}, ("0.0.0.0:5000",)),
        (["--port", "80"], {"PORT": "5000"}, ()),
        (["--uds", "app.sock"], {"PORT": "5000"}, ()),
        (["--bind", "[::]:80"], {"PORT": "5000"}, ("[::]:80",)),
        ([], {"PORT": "5000", "UVICORN_HOST": "::1"}, ()),
        ([], {"PORT": " "}, ()),
    ],
)
def test_a_platforms_port_counts_where_nothing_else_is_said(
    words: list[str], environ: dict[str, str], bind: tuple[str, ...]
) -> None:
    told = read(["shop:app", *words], dict(environ))

    assert told is not None
    assert tuple(told.config.bind) == bind


@pytest.mark.parametrize(
    ("environ", "words", "count"),
    [
        ({}, [], 1),
        ({"WEB_CONCURRENCY": "3"}, [], 3),
        ({"WEB_CONCURRENCY": "3", "UVICORN_WORKERS": "4"}, [], 4),
        ({"WEB_CONCURRENCY": "3"}, ["-w", "5"], 5),
    ],
)
def test_workers_are_counted_by_the_strongest_place(
    environ: dict[str, str], words: list[str], count: int
) -> None:
    told = read(["shop:app", *words], environ)

    assert told is not None
    assert told.config.count == count


def test_a_reload_reads_files_again(here: Path) -> None:
    pytest.importorskip("dotenv")
    file = here / ".env"
    environ: dict[str, str] = {}
    file.write_text("UVICORN_WORKERS=2\n")
    first = read(["shop:app", "--env-file", ".env"], dict(environ))
    file.write_text("UVICORN_WORKERS=3\n")

    second = read(["shop:app", "--env-file", ".env"], dict(environ))

    assert first is not None
    assert second is not None
    assert (first.config.count, second.config.count) == (2, 3)


@pytest.mark.parametrize(
    ("words", "error", "text"),
    [
        ([], UsageError, "APP is missing: uvicorn-supervisor MODULE:ATTRIBUTE"),
        (["check", "a:b"], UsageError, "`uvicorn-worker check APP` tells what is risky"),
        (["a:b", "--control", "127.0.0.1:99"], UsageError, "expected the path of a UNIX socket"),
        (["shop:app", "--worker", "4"], UsageError, "--worker: there is no such option"),
        (["shop:app", "--user", "shop"], UsageError, "--user: not an option here; whoever starts"),
        (["shop:app", "-c", "gunicorn.conf.py"], UsageError, "-c: not an option here; settings"),
        (["shop:app", "-p", "shop.pid"], UsageError, "-p: not an option here; it is --pid"),
        (["shop:app", "--threads=4"], UsageError, "--threads: not an option here; workers are"),
        (["shop:app", "--workers", "many"], UsageError, "expected a whole number or auto"),
        (["shop:app", "--reload", "--preload"], ConfigError, "reload and preload: one of them"),
        (["shop:app"], ConfigError, "PORT='http': expected a whole number"),
    ],
)
def test_mistakes_are_told_in_one_line(
    words: list[str],
    error: type[Exception],
    text: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environ = {"PORT": "http"} if text.startswith("PORT") else {}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(error) as caught:
        read(words, environ)
    assert text in str(caught.value)

    assert main(words) == (2 if error is UsageError else 1)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_gunicorns_options_that_are_not_ours_are_known_and_lead_to_ours() -> None:
    ours = {flag for option in OPTIONS.values() for flag in option.flags}
    gunicorns = {flag for one in KNOWN_SETTINGS for flag in one.cli or ()}
    named = {flag for text in ELSEWHERE.values() for flag in re.findall(r" (--[a-z-]+)", text)}

    assert ours.isdisjoint(ELSEWHERE)
    assert named <= {*ours, "--config"}
    assert {flag for flag in gunicorns if len(flag) == 2} <= {*ours, *ELSEWHERE}


@pytest.mark.parametrize("option", ["error_logfile", "access_logfile"])
def test_a_log_that_cannot_be_written_is_named(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["shop:app", f"--{option.replace('_', '-')}", "no/such/log"]) == 1

    text = capsys.readouterr().err
    assert f"{option}='no/such/log': No such file or directory; expected a file" in text
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "needs"),
    [
        (["--reload-dir", "."], "--reload-dir has no effect: it needs reload"),
        (["--reload-include", "*.js"], "--reload-include has no effect: it needs reload"),
        (["--reload-exclude", "x"], "--reload-exclude has no effect: it needs reload"),
        (["--reload-delay", "1"], "--reload-delay has no effect: it needs reload"),
        (["--reload-delay", "1", "--reload"], None),
        (
            ["--limit-worker-age-jitter", "9"],
            "--limit-worker-age-jitter has no effect: it needs limit_worker_age",
        ),
        (["--limit-worker-age-jitter", "9", "--limit-worker-age", "99"], None),
        (
            ["--worker-memory-interval", "9"],
            "--worker-memory-interval has no effect: it needs limit_worker_memory",
        ),
        (
            ["--drain-delay", "9", "--reload"],
            "--drain-delay has no effect: it needs a server without reload",
        ),
        (["--limit-max-requests-jitter", "9"], "it needs limit_max_requests"),
    ],
)
def test_options_without_an_effect_are_warned_of(words: list[str], needs: str | None) -> None:
    told = read(["shop:app", *words], {})

    assert told is not None
    warnings = find_void(told.config, told.given, VOIDS)
    assert [needs in text for text in warnings] == [True] if needs else not warnings


def test_help_is_readable(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0

    text = capsys.readouterr().out
    assert "--limit-worker-memory" in text
    assert "--reload-dir" in text
    assert max(map(len, text.splitlines())) <= 80


def test_uvicorn_worker_knows_whose_these_options_are() -> None:
    own = {flag for name, option in OPTIONS.items() if name not in WORKERS for flag in option.flags}
    elsewhere = {f"--{name.replace('_', '-')}" for name in SUPERVISORS}

    assert own <= elsewhere
