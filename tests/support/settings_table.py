"""The README's table of server settings, made from the code.

`python -m tests.support.settings_table` writes it into the README; a test compares the two.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from uvicorn_worker.gunicorn.settings import SOURCES
from uvicorn_worker.options import options_of
from uvicorn_worker.serverconfig import ServerConfig

if TYPE_CHECKING:
    from uvicorn_worker.options import Option

README = Path(__file__).parents[2] / "README.md"
BEGIN = "<!-- settings: python -m tests.support.settings_table -->\n"
END = "<!-- end of settings -->\n"


def table() -> str:
    """Return the table in Markdown: one row a field of ServerConfig, in their order."""
    rows = ["| option | default | Gunicorn's setting | what it does |", "|---|---|---|---|"]
    for option in options_of(ServerConfig).values():
        name = "max_requests" if option.name == "limit_max_requests" else None
        name, _ = SOURCES.get(option.name, (name, None))
        source = f"`{name}`" if name else "-"
        shown = "Gunicorn's" if name else _value(option)
        rows.append(f"| `{option.name}` | {shown} | {source} | {option.help} |")
    return "\n".join(rows) + "\n"


def _value(option: Option) -> str:
    text = option.kind.show(option.default)
    return f"`{text}`" if text else "none"


def written() -> str:
    """Return the README with the table as it should be."""
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(written())
