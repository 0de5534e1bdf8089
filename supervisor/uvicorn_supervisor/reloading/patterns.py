"""Which files and folders `--reload` watches: Uvicorn's rules for its options of these names.

A pattern is matched from the right, as `Path.match` does: `*.py` concerns files everywhere,
`templates/*.html` those in any folder `templates`. One that names a folder, or matches folders in
the current one, stands for all that is in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Final

from uvicorn_worker.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

INCLUDES: Final = ("*.py",)
EXCLUDES: Final = (".*", ".py[cod]", ".sw.*", "~*")

# Hidden files; as a name of folders it would mean all hidden ones, which nobody asks for.
HIDDEN: Final = ".*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What is watched; folders are absolute, and none is inside another one."""

    folders: tuple[Path, ...]
    includes: tuple[str, ...] = INCLUDES
    excludes: tuple[str, ...] = EXCLUDES
    excluded_folders: tuple[Path, ...] = ()

    def wants(self, path: Path) -> bool:
        """Return whether a change of this file counts; `path` is absolute."""
        included = [pattern for pattern in self.includes if _matches(path, pattern)]
        if not included:
            return False
        if any(str(path).endswith(pattern) for pattern in included):
            return True  # named, not only matched: no exclusion is as exact as that
        if not self.enters(path):
            return False
        return not any(_matches(path, pattern) for pattern in self.excludes)

    def enters(self, path: Path) -> bool:
        """Return whether a file or folder is outside of the folders that are excluded."""
        return not any(folder == path or folder in path.parents for folder in self.excluded_folders)


def resolve(
    dirs: Sequence[str], includes: Sequence[str], excludes: Sequence[str], here: Path
) -> Watched:
    """Return what the options mean; `here` is the folder that relative paths begin in.

    Raises:
        ConfigError: a folder of `dirs` is not there.
    """
    here = here.resolve()
    for text in dirs:
        if not (here / text).is_dir():
            raise ConfigError(f"reload_dirs={text!r}: there is no such folder in {str(here)!r}")
    excluded = tuple(_folders(excludes, here))
    folders = [(here / text).resolve() for text in dirs] + _folders(includes, here)
    # A folder that is named to be watched is not, when it or what contains it is excluded.
    kept = [one for one in folders if not any(out == one or out in one.parents for out in excluded)]
    given = [one for one in includes if one not in excludes]
    return Watched(
        folders=_outermost(kept or [here]),
        includes=(*(one for one in INCLUDES if one not in excludes), *given),
        excludes=(*(one for one in EXCLUDES if one not in includes), *excludes),
        excluded_folders=excluded,
    )


def _matches(path: Path, pattern: str) -> bool:
    # The same where a pattern is of one part, and ten times as fast: polling asks it often.
    return path.match(pattern) if "/" in pattern else fnmatchcase(path.name, pattern)


def _folders(patterns: Iterable[str], here: Path) -> list[Path]:
    found: list[Path] = []
    for pattern in patterns:
        if pattern == HIDDEN:
            continue
        path = here / pattern
        if path.is_dir():
            found.append(path.resolve())
        elif not Path(pattern).is_absolute():
            found += (match.resolve() for match in here.glob(pattern) if match.is_dir())
    return found


def _outermost(folders: Iterable[Path]) -> tuple[Path, ...]:
    every = set(folders)
    return tuple(sorted(one for one in every if every.isdisjoint(one.parents)))
