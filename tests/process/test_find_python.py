"""`.ci/find-python` finds an interpreter that runs, whatever lies on the PATH."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "find-python"

# Stand-ins for interpreters: what they print when they are asked for version and path.
BROKEN_SHIM = 'echo "pyenv: $0: command not found" >&2; exit 127'
TOO_OLD = "exit 0"
WITHOUT_ENSUREPIP = 'echo "3.11 unable /bin/python3"'


def python(version: str) -> str:
    return f'echo "{version} able /opt/python{version}"'


def find_python(
    home: Path, commands: dict[str, str], *arguments: str, **variables: str
) -> tuple[int, str]:
    """Return exit code and output of the script where only these commands exist.

    A name with a slash is a file below the home directory instead of one on the PATH.
    """
    folder = home / "bin"
    folder.mkdir()
    for tool in ("grep", "head", "sh"):
        (folder / tool).symlink_to(shutil.which(tool) or f"/bin/{tool}")
    for name, script in commands.items():
        path = home / name if "/" in name else folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    done = subprocess.run(
        [SCRIPT, *arguments],
        env={"PATH": str(folder), "HOME": str(home), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.strip()


PYENV_310 = ".pyenv/versions/3.10.13/bin/python3.10"


@pytest.mark.parametrize(
    ("commands", "found"),
    [
        pytest.param(
            {"python3": python("3.11"), "python3.13": python("3.13")},
            "/opt/python3.11",
            id="python3-first",
        ),
        pytest.param(
            {"python3": TOO_OLD, "python3.10": python("3.10"), "python3.12": python("3.12")},
            "/opt/python3.12",
            id="newest-where-python3-is-old",
        ),
        pytest.param(
            {"python3": BROKEN_SHIM, "python3.13": BROKEN_SHIM, PYENV_310: python("3.10")},
            "/opt/python3.10",
            id="pyenv-behind-broken-shims",
        ),
        pytest.param(
            {"python3": WITHOUT_ENSUREPIP, "python3.12": python("3.12")},
            "/opt/python3.12",
            id="one-that-can-make-environments",
        ),
    ],
)
def test_an_interpreter_that_runs_is_found(
    commands: dict[str, str], found: str, tmp_path: Path
) -> None:
    assert find_python(tmp_path, commands) == (0, found)


def test_all_lists_one_per_version_newest_first(tmp_path: Path) -> None:
    commands = {
        "python3": python("3.12"),
        "python3.13": BROKEN_SHIM,
        "python3.12": python("3.12"),
        "python3.11": WITHOUT_ENSUREPIP,
        PYENV_310: python("3.10"),
    }

    assert find_python(tmp_path, commands, "--all") == (
        0,
        "3.12 /opt/python3.12\n3.10 /opt/python3.10",
    )


def test_the_variable_python_goes_first(tmp_path: Path) -> None:
    commands = {"python3": python("3.12"), "mine/python": python("3.10")}

    answer = find_python(tmp_path, commands, PYTHON=str(tmp_path / "mine/python"))

    assert answer == (0, "/opt/python3.10")


@pytest.mark.parametrize(
    ("commands", "variables", "advice"),
    [
        pytest.param({}, {}, "No Python >= 3.10 found.", id="none"),
        pytest.param(
            {"python3": python("3.12"), "old": TOO_OLD},
            {"PYTHON": "old"},
            "PYTHON=old does not run or is older than Python 3.10.",
            id="variable-too-old",
        ),
        pytest.param(
            {"python3": WITHOUT_ENSUREPIP},
            {},
            "/bin/python3 cannot make virtual environments",
            id="without-ensurepip",
        ),
    ],
)
def test_a_failure_says_what_to_install(
    commands: dict[str, str], variables: dict[str, str], advice: str, tmp_path: Path
) -> None:
    code, output = find_python(tmp_path, commands, **variables)

    assert code == 1
    assert advice in output
    assert "python3-venv" in output
