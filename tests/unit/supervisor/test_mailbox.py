"""Signals of this very process, in the pipe that wakes the supervisor."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from uvicorn_supervisor.mailbox import HANDLED, ORDERS, Mailbox, tell

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()
    yield box
    box.close()


def test_every_signal_is_seen_in_order(mailbox: Mailbox) -> None:
    for number in HANDLED:
        os.kill(os.getpid(), number)

    assert mailbox.wait(0) == list(HANDLED)
    assert mailbox.wait(0) == []


def test_signals_of_one_kind_are_counted(mailbox: Mailbox) -> None:
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGTTIN)

    assert mailbox.wait(0) == [signal.SIGTTIN] * 3


def test_news_wake_without_being_a_signal(mailbox: Mailbox) -> None:
    tell(mailbox.writer)

    assert mailbox.wait(10) == []


def test_something_else_to_read_wakes_as_well(mailbox: Mailbox) -> None:
    reader, writer = os.pipe()
    with open(reader, "rb") as other, open(writer, "wb", buffering=0) as end:
        end.write(b"x")

        assert mailbox.wait(10, [other]) == []


def test_more_news_than_there_is_room_for_hurt_nobody(mailbox: Mailbox) -> None:
    for _ in range(70_000):
        tell(mailbox.writer)
    os.kill(os.getpid(), signal.SIGUSR1)

    assert set(mailbox.wait(0)) <= {signal.SIGUSR1}


def test_signals_are_given_back() -> None:
    before = {number: signal.getsignal(number) for number in ORDERS}

    Mailbox().close()

    assert {number: signal.getsignal(number) for number in ORDERS} == before
