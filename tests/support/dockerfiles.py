"""What stands in a Dockerfile, read as far as ours need it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class Instruction(NamedTuple):
    name: str
    words: str
    """What is behind the name, continued lines joined."""

    @property
    def array(self) -> list[str]:
        """The words of the exec form, behind CMD in a HEALTHCHECK."""
        words: list[str] = json.loads(self.words[self.words.index("[") :])
        return words


def instructions(path: Path) -> list[Instruction]:
    """Return the instructions of a Dockerfile, in order."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found = (line.strip().partition(" ") for line in joined.splitlines() if line.strip())
    return [Instruction(name, words.strip()) for name, _, words in found]
