"""Every case of the tables, sent whole and in pieces, to both parsers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.server.conformance import (
    cases_chunked,
    cases_coding,
    cases_fields,
    cases_host,
    cases_length,
    cases_pipeline,
    cases_request_line,
    cases_smuggling,
)
from tests.server.conformance.harness import Case, Target, run

if TYPE_CHECKING:
    from collections.abc import Iterator

TOPICS = {
    "request-line": cases_request_line,
    "host": cases_host,
    "fields": cases_fields,
    "length": cases_length,
    "coding": cases_coding,
    "chunked": cases_chunked,
    "smuggling": cases_smuggling,
    "pipeline": cases_pipeline,
}

LONGEST_IN_PIECES = 600
"""Bytes: a longer message would spend its time on pieces that differ in nothing."""

STEPS = {"whole": 0, "sevens": 7, "bytes": 1}


def cases() -> Iterator[object]:
    """Yield every case in every way it is sent."""
    for topic, module in TOPICS.items():
        for case in module.CASES:
            for way, step in STEPS.items():
                if not step or len(case.data) <= LONGEST_IN_PIECES:
                    yield pytest.param(case, step, id=f"{topic}-{case.name}-{way}")


@pytest.mark.parametrize(("case", "step"), list(cases()))
def test_message(case: Case, step: int, target: Target) -> None:
    run(case, target, step)


def test_case_names_are_unique() -> None:
    names = [(topic, case.name) for topic, module in TOPICS.items() for case in module.CASES]

    assert len(names) == len(set(names))
