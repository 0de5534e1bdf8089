"""The grid of frameworks in examples/README.md, from the results of the tests.

    python -m tests.support.frameworks_table [PYTHON...]

runs tests/process/test_frameworks.py with each interpreter (without one: with this), and writes
what came out. A unit test sees to it that no framework and no check is missing there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.support.frameworks import CHECKS, ENGINES, FRAMEWORKS, Framework
from tests.support.gunicorn import CHECKOUT

README = CHECKOUT / "examples" / "README.md"
BEGIN = "<!-- frameworks: python -m tests.support.frameworks_table -->\n"
END = "<!-- end of frameworks -->\n"

TEST = ["-m", "pytest", "-q", "-n", "4", "tests/process/test_frameworks.py"]

Result = dict[str, Any]
"""What test_frameworks.py keeps: framework, engine, python, versions, and what was wrong."""


def main(pythons: list[str]) -> int:
    """Run the tests, write the README; return 1 if any test has failed."""
    code = 0
    with tempfile.TemporaryDirectory() as folder:
        for python in pythons or [sys.executable]:
            variables = os.environ | {"FRAMEWORKS_RESULTS": folder}
            done = subprocess.run([python, *TEST], cwd=CHECKOUT, env=variables, check=False)
            code |= done.returncode != 0
        results = [json.loads(file.read_text()) for file in Path(folder).iterdir()]
    README.write_text(written(results))
    return code


def written(results: list[Result]) -> str:
    """Return the README with the grid of these results."""
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(results)}\n{END}{after}"


def table(results: list[Result]) -> str:
    """Return the grid in Markdown: a row for each framework, a column for each check."""
    columns = ["framework", "versions", *CHECKS]
    rows = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for framework in FRAMEWORKS:
        mine = [result for result in results if result["framework"] == framework.name]
        cells = [f"[{framework.name}](frameworks/{framework.module}.py)", versions(framework, mine)]
        cells += [cell(mine, check) for check in CHECKS]
        rows.append(f"| {' | '.join(cells)} |")
    pythons = sorted({result["python"] for result in results}, key=_order)
    return "\n".join(rows) + f"\n\nPython {', '.join(pythons)}.\n"


def versions(framework: Framework, results: list[Result]) -> str:
    """Return each package's versions, oldest first; the framework's own goes without its name."""
    texts = []
    for number, package in enumerate(framework.packages):
        found = sorted({result["versions"][number] for result in results}, key=_order)
        texts.append(" ".join([package if number else "", ", ".join(found)]).strip())
    return "; ".join(texts)


def cell(results: list[Result], check: str) -> str:
    """Return "yes" if the check has passed everywhere, or else the engines where it has not."""
    if not results:
        return "not tested"
    failed = {result["engine"] for result in results if result["wrong"][check]}
    return ", ".join(f"not under {name}" for name in ENGINES if name in failed) or "yes"


def _order(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
