"""What the supervisor's README says of the code is so."""

from __future__ import annotations

import re
import signal

from tests.support import supervisor_table
from uvicorn_supervisor.hooks import HOOKS
from uvicorn_supervisor.mailbox import ORDERS


def test_the_table_of_options_is_that_of_the_code() -> None:
    assert supervisor_table.README.read_text() == supervisor_table.written()


def test_all_signals_and_hooks_are_in_it() -> None:
    text = supervisor_table.README.read_text()

    signals = re.findall(r"^\| ([A-Z0-9, ]+) \|", text, re.MULTILINE)
    named = {f"SIG{name}" for row in signals for name in row.split(", ")}
    assert named == {signal.Signals(number).name for number in ORDERS}
    for name in HOOKS:
        assert f"`{name}(" in text
