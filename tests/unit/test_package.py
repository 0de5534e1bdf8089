"""The package itself: light to import, and nothing but its public names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import uvicorn_worker

ROOT = Path(__file__).parents[2]

IMPORT = """
import sys
for library in ("gunicorn", "uvloop", "httptools", "h11", "websockets", "asyncio"):
    sys.modules[library] = None  # importing it raises
import uvicorn_worker
print(uvicorn_worker.__version__)
"""


def test_import_needs_no_library() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (done.stdout.strip(), done.stderr) == (uvicorn_worker.__version__, "")


def test_public_names_are_listed_and_others_refused() -> None:
    assert {"UvicornWorker", "UvicornH11Worker", "__version__"} <= set(dir(uvicorn_worker))
    with pytest.raises(AttributeError, match="'uvicorn_worker' has no attribute 'UvicornWroker'"):
        uvicorn_worker.UvicornWroker  # noqa: B018  # the access is what is tested
