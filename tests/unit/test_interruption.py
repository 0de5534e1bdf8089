"""Code that is interrupted ends, whatever it does with exceptions, and nothing is printed."""

from __future__ import annotations

import contextlib
import gc
import signal
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING

import pytest

from uvicorn_worker.process.interruption import AGAIN, Interrupted, Interruption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

SIGNAL = signal.SIGUSR1
LONG = 20.0  # seconds: a test that takes so long has failed


@pytest.fixture
def interruption() -> Iterator[Interruption]:
    """One that SIGUSR1 strikes."""
    interruption = Interruption()

    def handle(sig: int, frame: FrameType | None) -> None:
        interruption.strike(frame)

    before = signal.signal(SIGNAL, handle)
    try:
        yield interruption
    finally:
        signal.signal(SIGNAL, before)


def test_a_signal_that_strikes_nobody_is_for_whoever_had_it(interruption: Interruption) -> None:
    got: list[int] = []
    before = signal.signal(AGAIN, lambda sig, frame: got.append(sig))
    try:
        interruption.run(lambda: signal.raise_signal(AGAIN))
        assert got == [AGAIN]
        with pytest.raises(Interrupted):
            interruption.run(in_the_open)
        assert got == [AGAIN]
    finally:
        signal.signal(AGAIN, before)


class Dying:
    """Its destructor is where the signal comes."""

    def __del__(self) -> None:
        signal.raise_signal(SIGNAL)


def in_the_open() -> None:
    signal.raise_signal(SIGNAL)


def in_a_destructor() -> None:
    dying = Dying()
    del dying
    time.sleep(LONG)


def in_a_callback_of_a_weak_reference() -> None:
    referent = threading.Event()
    reference = weakref.ref(referent, lambda _: signal.raise_signal(SIGNAL))
    del referent
    time.sleep(LONG)
    assert reference() is None


def in_a_collected_cycle() -> None:
    dying = Dying()
    dying.itself = dying  # type: ignore[attr-defined]  # a cycle
    del dying
    gc.collect()
    time.sleep(LONG)


def under_a_bare_except() -> None:
    try:
        signal.raise_signal(SIGNAL)
    except:  # noqa: E722  # as modules have it round an import that may fail
        gc.collect()
    time.sleep(LONG)


def while_it_waits() -> None:
    main = threading.main_thread().ident
    assert main is not None
    threading.Timer(0.01, signal.pthread_kill, (main, SIGNAL)).start()
    time.sleep(LONG)


def where_it_becomes_another_error() -> None:
    try:
        signal.raise_signal(SIGNAL)
    except SystemExit as exc:
        raise ImportError("no such plug-in") from exc


def where_it_is_forgotten() -> None:
    with contextlib.suppress(SystemExit):
        signal.raise_signal(SIGNAL)


@pytest.mark.parametrize(
    "work",
    [
        in_the_open,
        in_a_destructor,
        in_a_callback_of_a_weak_reference,
        in_a_collected_cycle,
        under_a_bare_except,
        while_it_waits,
        where_it_becomes_another_error,
        where_it_is_forgotten,
    ],
)
def test_code_that_is_struck_ends_without_a_word(
    interruption: Interruption, work: Callable[[], None], capfd: pytest.CaptureFixture[str]
) -> None:
    began, hook, handler = time.monotonic(), sys.unraisablehook, signal.getsignal(AGAIN)

    with pytest.raises(Interrupted) as caught:
        interruption.run(work)

    assert caught.value.code == 0
    assert time.monotonic() - began < LONG / 2
    assert capfd.readouterr() == ("", "")
    assert (sys.unraisablehook, signal.getsignal(AGAIN)) == (hook, handler)


def test_cleaning_up_is_not_interrupted_at_once(interruption: Interruption) -> None:
    cleaned = []

    def work() -> None:
        try:
            signal.raise_signal(SIGNAL)
        finally:
            time.sleep(0.1)
            cleaned.append(True)

    with pytest.raises(Interrupted):
        interruption.run(work)

    assert cleaned == [True]


def test_what_was_struck_before_does_not_begin(interruption: Interruption) -> None:
    signal.raise_signal(SIGNAL)

    with pytest.raises(Interrupted):
        interruption.run(lambda: pytest.fail("it has begun"))


def test_nothing_is_raised_when_the_work_is_done(interruption: Interruption) -> None:
    assert interruption.run(lambda: 7) == 7

    signal.raise_signal(SIGNAL)
    signal.raise_signal(AGAIN)


def test_errors_of_code_that_is_not_struck_are_its_own(interruption: Interruption) -> None:
    with pytest.raises(ZeroDivisionError):
        interruption.run(lambda: 1 / 0)


def test_what_else_is_ignored_goes_where_it_went(interruption: Interruption) -> None:
    seen: list[BaseException | None] = []

    class Broken:
        def __del__(self) -> None:
            raise ValueError("broken")

    def work() -> None:
        broken = Broken()
        del broken

    hook = sys.unraisablehook
    sys.unraisablehook = lambda args: seen.append(args.exc_value)
    try:
        interruption.run(work)
    finally:
        sys.unraisablehook = hook

    assert [str(exc) for exc in seen] == ["broken"]


def test_other_threads_work_as_ever(interruption: Interruption) -> None:
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(interruption.run(lambda: 7)))
    thread.start()
    thread.join()

    assert results == [7]
