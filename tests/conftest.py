"""Fixtures for every test. Those of one kind of test live in the folder of that kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.logstate import restored_loggers

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def own_loggers() -> Iterator[None]:
    """Leave logging as it was: configuring it is what some tests are about."""
    with restored_loggers():
        yield
