"""The reader of imports and the rules of layers, on a small package made for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.layers import Layers, complaints, read_imports

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLE = Layers(
    where="EXAMPLE",
    ranks=(("top",), ("left", "right"), ("deep", "deep.*"), ("",)),
    edges=(("deep.a", "deep.b"),),
    libraries={"gunicorn": ("top",), "h11": ("left", "right")},
    pure={"deep.*": ("os",)},
)


def write_package(home: Path, files: dict[str, str]) -> Path:
    package = home / "pkg"
    for name in ("__init__.py", "deep/__init__.py", "left.py", "right.py", *files):
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files.get(name, ""), "utf-8")
    return package


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        pytest.param({"top.py": "from pkg.left import name"}, None, id="down"),
        pytest.param({"top.py": "import pkg.deep.a", "deep/a.py": ""}, None, id="two-down"),
        pytest.param({"left.py": "from pkg import __version__"}, None, id="package-name"),
        pytest.param({"left.py": "import asyncio, os.path"}, None, id="standard-library"),
        pytest.param({"deep/a.py": "from . import b", "deep/b.py": ""}, None, id="listed-edge"),
        pytest.param(
            {"deep/a.py": "", "deep/b.py": "from .a import x"},
            "deep.b:1 imports deep.a, which is in its own layer",
            id="same-rank",
        ),
        pytest.param(
            {"top.py": "", "left.py": "from pkg import top"},
            "left:1 imports top, which is in a layer above it",
            id="up",
        ),
        pytest.param(
            {"top.py": "", "deep/a.py": "def f():\n    from ..top import x"},
            "deep.a:2 imports top, which is in a layer above it",
            id="up-relative-in-function",
        ),
        pytest.param(
            {"top.py": "", "left.py": "if TYPE_CHECKING:\n    import pkg.top"},
            "left:2 imports top, which is in a layer above it",
            id="up-for-type-checkers",
        ),
        pytest.param(
            {"deep/__init__.py": "from ..right import x"},
            "deep:1 imports right, which is in a layer above it",
            id="up-from-a-package",
        ),
        pytest.param(
            {"new.py": ""},
            "new: has no layer yet; add it to a rank in EXAMPLE",
            id="unknown-module",
        ),
        pytest.param(
            {"left.py": "from gunicorn.workers import base"},
            "left:1 imports gunicorn, which belongs to top",
            id="other-module's-library",
        ),
        pytest.param(
            {"left.py": "import requests"},
            "left:1 imports requests, which has no owner in EXAMPLE",
            id="unknown-library",
        ),
        pytest.param(
            {"left.py": "import h11", "right.py": "import h11"},
            "h11 is imported by left, right: one of them is enough",
            id="library-imported-twice",
        ),
        pytest.param(
            {"deep/a.py": "import os"},
            "deep.a:1 imports os, but has to stay pure",
            id="impure",
        ),
    ],
)
def test_complaints_name_the_import_and_the_rule(
    files: dict[str, str], problem: str | None, tmp_path: Path
) -> None:
    modules, imports = read_imports(write_package(tmp_path, files))

    assert complaints(modules, imports, EXAMPLE) == ([problem] if problem else [])
