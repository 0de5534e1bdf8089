"""What connections share: the date."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from uvicorn_worker.state import http_date


@pytest.mark.parametrize("now", [0, 784111777.9, 1709164799, 1735689600.5, 4102444800])
def test_dates_are_those_of_the_standard_library(now: float) -> None:
    assert http_date(now) == formatdate(now, usegmt=True)
