"""The README's tables of settings under Gunicorn and of the command's options, from the code.

`python -m tests.support.settings_table` writes them into the README; a test compares the two.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from uvicorn_worker.cli import OPTIONS, by_topic
from uvicorn_worker.gunicorn.settings import SOURCES
from uvicorn_worker.options.declared import options_of
from uvicorn_worker.options.files import CONFIG_FILE
from uvicorn_worker.serverconfig import ServerConfig

if TYPE_CHECKING:
    from uvicorn_worker.options.declared import Option

README = Path(__file__).parents[2] / "README.md"
BEGIN = "<!-- settings: python -m tests.support.settings_table -->\n"
END = "<!-- end of settings -->\n"
BEGIN_OPTIONS = "<!-- options: python -m tests.support.settings_table -->\n"
END_OPTIONS = "<!-- end of options -->\n"


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


def options_table() -> str:
    """Return the options of the command in Markdown, by their topics."""
    rows = ["| option | default | what it does |", "|---|---|---|"]
    topic = ""
    for option in by_topic([*OPTIONS.values(), CONFIG_FILE]):
        if option.name == "app" or not option.flags:
            continue
        if option.group != topic:
            topic = option.group
            rows.append(f"| **{topic}** | | |")
        flags = ", ".join(f"`{_flag(option, flag)}`" for flag in option.flags)
        rows.append(f"| {flags} | {_value(option)} | {option.help} |")
    return "\n".join(rows) + "\n"


def _flag(option: Option, flag: str) -> str:
    return flag if option.kind.metavar else f"--[no-]{flag[2:]}"


def _value(option: Option) -> str:
    text = option.kind.show(option.default)
    return f"`{text}`" if text else "none"


def written() -> str:
    """Return the README with the tables as they should be."""
    text = _between(README.read_text(), BEGIN, table(), END)
    return _between(text, BEGIN_OPTIONS, options_table(), END_OPTIONS)


def _between(text: str, begin: str, content: str, end: str) -> str:
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{content}\n{end}{after}"


if __name__ == "__main__":
    README.write_text(written())
