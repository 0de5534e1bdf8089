"""The README's table of server settings, made from the code.

`python -m tests.support.settings_table` writes it into the README; a test compares the two.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from uvicorn_worker.gunicorn.settings import SOURCES
from uvicorn_worker.serverconfig import ServerConfig

README = Path(__file__).parents[2] / "README.md"
BEGIN = "<!-- settings: python -m tests.support.settings_table -->\n"
END = "<!-- end of settings -->\n"


def table() -> str:
    """Return the table in Markdown: one row a field of ServerConfig, in their order."""
    rows = ["| option | default | Gunicorn's setting | what it does |", "|---|---|---|---|"]
    for item in dataclasses.fields(ServerConfig):
        default = item.default
        if default is dataclasses.MISSING:
            assert item.default_factory is not dataclasses.MISSING
            default = item.default_factory()
        name = "max_requests" if item.name == "limit_max_requests" else None
        name, _ = SOURCES.get(item.name, (name, None))
        source = f"`{name}`" if name else "-"
        shown = "Gunicorn's" if name else _value(default)
        rows.append(f"| `{item.name}` | {shown} | {source} | {item.metadata['help']} |")
    return "\n".join(rows) + "\n"


def _value(default: object) -> str:
    if isinstance(default, dict):
        text = ", ".join(f"{name}={value}" for name, value in default.items())
    elif isinstance(default, tuple):
        text = ",".join(map(str, default))
    elif isinstance(default, float):
        text = f"{default:g}"
    else:
        text = str(default)
    return f"`{text}`" if text else "none"


def written() -> str:
    """Return the README with the table as it should be."""
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(written())
