"""What the README says of the code is so."""

from __future__ import annotations

from tests.support import settings_table


def test_table_of_settings_is_that_of_the_code() -> None:
    assert settings_table.README.read_text() == settings_table.written()
