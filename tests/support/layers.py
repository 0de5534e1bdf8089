"""Reads who imports whom in a package, and says which imports break a table of layers.

Imports are read with `ast`: everywhere in a file, inside functions and under TYPE_CHECKING too.
Module names are relative to the package: `http1.cycle`, and `""` for the package itself.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path


class Import(NamedTuple):
    """One module named by an import statement."""

    importer: str  # relative to the package
    target: str  # relative to the package if `inside`, else absolute
    inside: bool
    line: int


@dataclass(frozen=True, kw_only=True)
class Layers:
    """The table: who may import whom. Every name may be a pattern of `fnmatch`."""

    ranks: Sequence[Sequence[str]]
    """Module names, top to bottom: a module may import those of the ranks below its own."""

    edges: Sequence[tuple[str, str]] = ()
    """Edges (importer, target) that are allowed although the ranks forbid them."""

    libraries: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Third-party package -> the modules that may import it; exactly one of them does."""

    shared: Iterable[str] = ()
    """Packages in `libraries` that several of their modules may import."""

    pure: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Module name -> top-level packages of the standard library that it must not import."""

    where: str = "the table of layers"
    """Where the reader of a complaint finds the table."""


def read_imports(root: Path) -> tuple[frozenset[str], tuple[Import, ...]]:
    """Return the modules below the package folder `root`, and all imports in them."""
    files = {_module_name(path, root): path for path in sorted(root.rglob("*.py"))}
    found: list[Import] = []
    for name, path in files.items():
        tree = ast.parse(path.read_text("utf-8"), str(path))
        for node in ast.walk(tree):
            targets = _targets(node, name, path.name == "__init__.py", root.name)
            found.extend(_resolve(name, target, node, files, root.name) for target in targets)
    return frozenset(files), tuple(dict.fromkeys(found))


def complaints(modules: Iterable[str], imports: Iterable[Import], layers: Layers) -> list[str]:
    """Return one line for everything that breaks the table, empty when nothing does."""
    imports = tuple(imports)
    return [
        *_unknown(modules, layers),
        *(problem for one in imports if (problem := _complaint(one, layers))),
        *_shared_libraries(imports, layers),
    ]


def _module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _targets(node: ast.AST, importer: str, is_package: bool, package: str) -> Iterator[str]:
    """Yield the absolute dotted names that an import statement may load, attributes included."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            home = [package, *importer.split(".")] if importer else [package]
            up = node.level - 1 if is_package else node.level
            base = ".".join([*home[: len(home) - up], *([base] if base else [])])
        yield from (f"{base}.{alias.name}" for alias in node.names)


def _resolve(
    importer: str, target: str, node: ast.AST, modules: Iterable[str], package: str
) -> Import:
    """Return the import with its target cut back to a module where the rest is an attribute."""
    line = getattr(node, "lineno", 0)
    if target != package and not target.startswith(f"{package}."):
        return Import(importer, target, False, line)
    name = target[len(package) + 1 :]
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return Import(importer, name, True, line)


def _rank(module: str, layers: Layers) -> int | None:
    for number, patterns in enumerate(layers.ranks):
        if _matches(module, patterns):
            return number
    return None


def _matches(module: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(module, pattern) for pattern in patterns)


def _unknown(modules: Iterable[str], layers: Layers) -> Iterator[str]:
    for module in sorted(modules):
        if _rank(module, layers) is None:
            yield f"{module}: has no layer yet; add it to a rank in {layers.where}"


def _complaint(one: Import, layers: Layers) -> str | None:
    return _inner_complaint(one, layers) if one.inside else _outer_complaint(one, layers)


def _inner_complaint(one: Import, layers: Layers) -> str | None:
    if any(fnmatchcase(one.importer, a) and fnmatchcase(one.target, b) for a, b in layers.edges):
        return None
    upper, lower = _rank(one.importer, layers), _rank(one.target, layers)
    if upper is None or lower is None or upper < lower or one.importer == one.target:
        return None  # downwards, or unknown (another complaint), or a submodule that is not there
    how = "its own layer" if upper == lower else "a layer above it"
    return f"{one.importer}:{one.line} imports {one.target or 'the package'}, which is in {how}"


def _outer_complaint(one: Import, layers: Layers) -> str | None:
    library = one.target.partition(".")[0]
    if library in sys.stdlib_module_names:
        for pattern, forbidden in layers.pure.items():
            if fnmatchcase(one.importer, pattern) and library in forbidden:
                return f"{one.importer}:{one.line} imports {library}, but has to stay pure"
        return None
    owners = layers.libraries.get(library)
    if owners is None:
        return f"{one.importer}:{one.line} imports {library}, which has no owner in {layers.where}"
    if not _matches(one.importer, owners):
        return f"{one.importer}:{one.line} imports {library}, which belongs to {', '.join(owners)}"
    return None


def _shared_libraries(imports: Sequence[Import], layers: Layers) -> Iterator[str]:
    for library in layers.libraries.keys() - set(layers.shared):
        importers = {
            one.importer
            for one in imports
            if not one.inside and one.target.partition(".")[0] == library
        }
        if len(importers) > 1:
            yield f"{library} is imported by {', '.join(sorted(importers))}: one of them is enough"
