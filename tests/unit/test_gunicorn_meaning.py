"""What Gunicorn meant by SIGTERM, from what became of the other workers."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from uvicorn_worker.gunicorn.meaning import Meaning, interpret


@dataclass
class FakeSiblings:
    relieved_at: float = 0.0
    expected_up_to: int = 0
    dismissed_now: tuple[int, ...] = ()

    def relieved(self, since: float) -> bool:
        return self.relieved_at > since

    def expected(self, youngest: int) -> bool:
        return 0 < self.expected_up_to <= youngest

    def dismissed(self, generation: int) -> bool:
        return generation in self.dismissed_now


@pytest.mark.parametrize(
    ("siblings", "successor", "meaning"),
    [
        pytest.param(FakeSiblings(), 0, Meaning.STOP, id="nobody-was-booting"),
        pytest.param(FakeSiblings(expected_up_to=7), 7, Meaning.UNKNOWN, id="it-boots"),
        pytest.param(FakeSiblings(expected_up_to=6), 7, Meaning.UNKNOWN, id="an-older-one-boots"),
        pytest.param(FakeSiblings(expected_up_to=8), 7, Meaning.FAILED, id="a-later-attempt-boots"),
        pytest.param(FakeSiblings(), 7, Meaning.FAILED, id="it-has-gone-untold"),
        pytest.param(FakeSiblings(relieved_at=101), 7, Meaning.RELIEVED, id="it-serves"),
        pytest.param(
            FakeSiblings(relieved_at=101, expected_up_to=7), 7, Meaning.RELIEVED, id="one-serves"
        ),
        pytest.param(
            FakeSiblings(relieved_at=99, expected_up_to=7), 7, Meaning.UNKNOWN, id="served-before"
        ),
        pytest.param(FakeSiblings(dismissed_now=(7,)), 7, Meaning.STOP, id="it-was-told-too"),
        pytest.param(FakeSiblings(dismissed_now=(6,)), 7, Meaning.FAILED, id="an-older-was-told"),
        pytest.param(
            FakeSiblings(dismissed_now=(7,), expected_up_to=6, relieved_at=101),
            7,
            Meaning.STOP,
            id="all-are-told-one-after-the-other",
        ),
    ],
)
def test_sigterm_means_what_became_of_the_youngest_worker(
    siblings: FakeSiblings, successor: int, meaning: Meaning
) -> None:
    assert interpret(siblings, 100.0, successor) is meaning
