"""The log on a disk that is full, and that has room again."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

import pytest

from uvicorn_supervisor.logs.logfile import LogFile

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full disk")


def test_lines_are_lost_quietly_until_there_is_room(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "log"
    file.symlink_to("/dev/full")
    handler = LogFile(str(file))
    log = logging.Logger("test")
    log.addHandler(handler)
    for number in range(5):
        log.warning("lost %d", number)

    said = capsys.readouterr().err
    assert said == f"{file}: No space left on device: lines of the log are lost\n"

    file.unlink()
    full = handler.setStream(handler._open())  # as when logs are opened again
    assert full is not None
    full.close()
    log.warning("written")
    log.warning("and again")
    handler.close()

    assert file.read_text().splitlines() == [
        "written",
        "5 lines are missing above: No space left on device",
        "and again",
    ]
    assert capsys.readouterr().err == ""


def test_nobody_to_complain_to_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    handler = LogFile("/dev/full")
    log = logging.Logger("test")
    log.addHandler(handler)

    log.warning("lost")
    handler.close()


def test_mistakes_of_programs_are_still_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = LogFile(str(tmp_path / "log"))
    log = logging.Logger("test")
    log.addHandler(handler)

    log.warning("%d", "no number")
    handler.close()

    assert "TypeError" in capsys.readouterr().err
