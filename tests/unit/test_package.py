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


# What takes time to import, and a server with default options does without at its start.
SPARED = (
    "click", "datetime", "email", "gunicorn", "h11", "json", "logging.config", "random",
    "urllib.parse", "websockets", "wsproto", "uvicorn_worker.checkup", "uvicorn_worker.logs.access",
    "uvicorn_worker.logs.jsonlines", "uvicorn_worker.proxies.proxy_protocol",
    "uvicorn_worker.tls.context", "uvicorn_worker.websocket.connection",
)  # fmt: skip

START = """
import asyncio, sys
import uvicorn_worker.__main__, uvicorn_worker.cli
from uvicorn_worker.server import Server

async def app(scope, receive, send): ...

async def serve(config):
    async with Server(config):
        print(*sys.modules)

told = uvicorn_worker.cli.read(["m:app", "--port", "0", "--no-access-log"], {})
asyncio.run(serve(uvicorn_worker.Config(app, port=0, access_log=False)))
"""


def test_a_start_imports_only_what_it_needs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", START],
        cwd=tmp_path,  # without the pyproject.toml of this project, which would be read
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert {"asyncio", "uvicorn_worker.server"} <= set(done.stdout.split())
    assert set(SPARED) & set(done.stdout.split()) == set()
