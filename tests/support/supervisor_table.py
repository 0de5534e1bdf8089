"""The table of options in supervisor/README.md, from the code.

`python -m tests.support.supervisor_table` writes it into the file; a test compares the two.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from uvicorn_supervisor.config import SupervisorConfig
from uvicorn_worker.cli import OPTIONS, by_topic
from uvicorn_worker.options.declared import options_of

if TYPE_CHECKING:
    from uvicorn_worker.options.declared import Option

README = Path(__file__).parents[2] / "supervisor" / "README.md"
BEGIN = "<!-- options: python -m tests.support.supervisor_table -->\n"
END = "<!-- end of options -->\n"


def own_options() -> list[Option]:
    """Return the options that uvicorn-worker does not have, or that mean something else there."""
    options = options_of(SupervisorConfig).values()
    own = [one for one in options if one.name not in OPTIONS or _differs(one)]
    return by_topic(own)


def _differs(option: Option) -> bool:
    other = OPTIONS[option.name]
    return (option.help, option.default) != (other.help, other.default)


def table() -> str:
    rows = ["| option | default | what it does |", "|---|---|---|"]
    for option in own_options():
        flags = ", ".join(
            f"`{flag if option.kind.metavar else f'--[no-]{flag[2:]}'}`" for flag in option.flags
        )
        rows.append(f"| {flags} | `{option.kind.show(option.default) or 'none'}` | {option.help} |")
    return "\n".join(rows) + "\n"


def written() -> str:
    """Return the README with the table as it should be."""
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(written())
