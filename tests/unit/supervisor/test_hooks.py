"""Hooks of a user's file: found, checked, called, and never the end of the supervisor."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import pytest

from uvicorn_supervisor.hooks import HOOKS, Hooks, load_hooks
from uvicorn_worker.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def load(folder: Path, code: str) -> Hooks:
    path = folder / "hooks.py"
    path.write_text(code)
    return load_hooks(str(path))


def test_hooks_are_called_with_what_they_are_promised(tmp_path: Path) -> None:
    hooks = load(
        tmp_path,
        "import os as _os\nfrom pathlib import Path\ncalls = []\n"
        "def _helper(*args): calls.append(args)\n"
        "def notify(): ...\n"
        "def on_starting(supervisor): _helper('start', supervisor)\n"
        "def worker_exit(supervisor, worker=None): _helper(supervisor, worker)\n"
        "when_ready = calls.append\n",
    )
    calls = hooks._functions["on_starting"].__globals__["calls"]

    hooks.start("s")
    assert hooks.call("worker_exit", "s", "w")
    assert hooks.call("when_ready", "s")
    assert hooks.call("on_exit", "s")

    assert calls == [("start", "s"), ("s", "w"), "s"]
    assert "worker_exit" in hooks
    assert "on_exit" not in hooks


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def on_start(s): ...", r"no hook 'on_start'; did you mean 'on_starting'\?"),
        ("def worker_int(w): ...", r"no hook 'worker_int'; did you mean 'worker_\w+'\?"),
        ("on_exit = 3", r"on_exit is 3; expected a function on_exit\(supervisor\)"),
        (
            "def post_fork(): ...",
            r"post_fork\(\) cannot be called; expected a function post_fork\(supervisor, worker\)",
        ),
        ("async def on_exit(s): ...", r"on_exit is a coroutine function; expected"),
        ("x = 1\n1 / 0", r"line 2: ZeroDivisionError: division by zero$"),
        ("def f(:", r"SyntaxError: "),
        ("raise SystemExit(3)", r"line 1: SystemExit: 3$"),
    ],
)
def test_a_file_with_a_mistake_is_refused_in_one_line(
    code: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        load(tmp_path, code)

    assert str(raised.value).startswith(f"hooks={str(tmp_path / 'hooks.py')!r}: ")
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=re.escape("hooks='none.py': No such file or directory")):
        load_hooks("none.py")


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("raise ValueError('no\\nway')", "The hook on_exit has failed: ValueError: no"),
        ("raise KeyError", "The hook on_exit has failed: KeyError"),
        ("raise SystemExit(1)", "The hook on_exit has called sys.exit(1), which ends nothing"),
    ],
)
def test_a_hook_that_fails_is_logged_and_ends_nothing(
    body: str, line: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hooks = load(tmp_path, f"def on_exit(supervisor): {body}")

    with caplog.at_level(logging.ERROR, "uvicorn.supervisor"):
        assert not hooks.call("on_exit", None)

    assert [record.getMessage() for record in caplog.records] == [line]


def test_on_starting_may_refuse_the_start(tmp_path: Path) -> None:
    hooks = load(tmp_path, "def on_starting(supervisor): raise RuntimeError('no database')")

    with pytest.raises(ConfigError, match="on_starting refuses to start: RuntimeError: no data"):
        hooks.start(None)


def test_without_hooks_nothing_is_called() -> None:
    hooks = Hooks()

    hooks.start(None)
    assert all(hooks.call(name) for name in HOOKS)
