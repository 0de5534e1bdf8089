"""What is said of the examples is so, as far as reading tells; tests/process runs them."""

from __future__ import annotations

import ast

import pytest

from tests.support.frameworks import CHECKS, EXAMPLES, FRAMEWORKS, Framework
from tests.support.frameworks_table import BEGIN, END, README


def test_every_framework_has_an_example_and_every_example_a_framework() -> None:
    files = {path.stem for path in EXAMPLES.glob("*.py")}

    assert files == {framework.module for framework in FRAMEWORKS}


def test_the_grid_has_every_framework_and_every_check_and_all_pass() -> None:
    _, _, rest = README.read_text("utf-8").partition(BEGIN)
    lines = [line for line in rest.partition(END)[0].splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]

    assert head == ["framework", "versions", *CHECKS]
    assert [row[0] for row in rows] == [
        f"[{framework.name}](frameworks/{framework.module}.py)" for framework in FRAMEWORKS
    ]
    assert all(row[1] for row in rows)
    assert {cell for row in rows for cell in row[2:]} == {"yes"}


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=lambda framework: framework.name)
def test_the_commands_stand_in_the_example(framework: Framework) -> None:
    source = (EXAMPLES / f"{framework.module}.py").read_text("utf-8")
    docstring = ast.get_docstring(ast.parse(source)) or ""
    app = f"{framework.module}:app"

    assert "pip install " in docstring
    assert (
        f"gunicorn -k uvicorn_worker.UvicornWorker --chdir examples/frameworks {app}" in docstring
    )
    assert f"uvicorn-supervisor {app} --app-dir examples/frameworks" in docstring
