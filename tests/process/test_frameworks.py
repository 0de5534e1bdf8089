"""Every framework's example keeps the contract of tests/support/frameworks.py, under both engines.

With FRAMEWORKS_RESULTS the results are written into that folder: examples/README.md shows them.
"""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.frameworks import ENGINES, FRAMEWORKS, Framework, visit

if TYPE_CHECKING:
    from tests.support.gunicorn import StartGunicorn
    from tests.support.supervisor import StartSupervisor

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("framework", FRAMEWORKS, ids=lambda framework: framework.name)
def test_contract(
    framework: Framework,
    engine: str,
    gunicorn: StartGunicorn,
    supervisor: StartSupervisor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not framework.versions():
        pytest.skip(f"{framework.name} is not installed: pip install {framework.install}")
    # Not --chdir: the fixtures find their processes by the folder that they work in.
    monkeypatch.setenv("PYTHONPATH", framework.path, prepend=os.pathsep)
    start = gunicorn if engine == "gunicorn" else supervisor

    wrong = visit(framework, start(f"{framework.module}:app"))

    keep(framework, engine, wrong)
    assert not any(wrong.values()), {name: text for name, text in wrong.items() if text}


def keep(framework: Framework, engine: str, wrong: dict[str, str]) -> None:
    """Write the result down, where one is wanted."""
    if folder := os.environ.get("FRAMEWORKS_RESULTS"):
        result = {
            "framework": framework.name,
            "engine": engine,
            "python": platform.python_version(),
            "versions": framework.versions(),
            "wrong": wrong,
        }
        name = f"{framework.module}-{engine}-{platform.python_version()}.json"
        (Path(folder) / name).write_text(json.dumps(result))
