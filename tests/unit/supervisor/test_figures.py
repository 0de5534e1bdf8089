"""Figures as people read them: units, rates, the table, and `top` on any terminal."""

from __future__ import annotations

import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from uvicorn_supervisor import ctl
from uvicorn_supervisor.control.figures import age, duration, size
from uvicorn_supervisor.control.rates import per_worker, totals
from uvicorn_supervisor.control.top import View

if TYPE_CHECKING:
    from pathlib import Path


def look(time: float, *requests: int, **changes: Any) -> dict[str, Any]:
    """Return a look at workers that have answered so many requests."""
    worker = {
        "state": "ready", "release": 1, "age": 65.0, "in_flight": 1, "connections": 2, "lag": 0.002,
        "memory": 40 * 2**20, "restarts": 0, "reason": "",
    }  # fmt: skip
    workers = [
        {**worker, "worker": number, "number": number, "pid": 4700 + number, "requests": count}
        for number, count in enumerate(requests, 1)
    ]
    about = {
        "pid": 4700, "version": "1", "app": "shop.main:app", "listens": "http://127.0.0.1:8000",
        "uptime": 3725.0, "state": "serving", "release": 3, "workers_wanted": len(requests),
        "workers_ready": len(requests),
    }  # fmt: skip
    return {"supervisor": {**about, **changes}, "workers": workers, "time": time}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0, "0s"), (59.9, "59s"), (60, "1m00s"), (3725, "1h02m"), (200000, "2d07h")],
)
def test_ages(seconds: float | None, text: str) -> None:
    assert age(seconds) == text


@pytest.mark.parametrize(
    ("amount", "text"), [(None, "-"), (0, "0M"), (40 * 2**20, "40M"), (3 * 2**29, "1.5G")]
)
def test_sizes(amount: int | None, text: str) -> None:
    assert size(amount) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (0.0, "0.0ms"), (0.0123, "12.3ms"), (2.5, "2.5s")]
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_rates_are_made_of_two_looks() -> None:
    assert per_worker(None, look(10, 5)) == {}
    assert per_worker(look(10, 5), look(10, 9)) == {}, "no time has passed"
    assert per_worker(look(10, 100), look(12, 300, 50)) == {1: 100.0, 2: 25.0}
    assert per_worker(look(10, 100), look(12, 10)) == {1: 0.0}
    assert totals(look(10, 1, 2)) == {"in_flight": 2, "connections": 4, "memory": 80 * 2**20}
    assert totals(look(10))["memory"] is None


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (40, 10), (20, 3)])
def test_top_fits_its_terminal(width: int, height: int) -> None:
    console = Console(width=width, height=height, record=True, file=open("/dev/null", "w"))  # noqa: SIM115  # closed with the console
    view = View()
    view.show(look(10, *[0] * 60), width, height)

    with console:
        console.print(view.show(look(11, *range(60)), width, height))

    lines = console.export_text().splitlines()
    assert all(len(line) <= width for line in lines)
    if width >= 80:
        assert len(lines) <= height
        assert any(f"and {61 - (height - 7)} more" in line for line in lines)
        assert "requests/s 1770" in lines[2]
        assert "40M" in lines[5]
    console.file.close()


def test_the_table_of_workers_is_aligned() -> None:
    lines = ctl._table(look(10, 7, 12345)["workers"]).splitlines()

    assert lines[0].split("  ")[0] == "WORKER"
    assert lines[2].split() == [
        "2", "4702", "ready", "1", "1m05s", "12345", "1", "2", "40M", "0",
    ]  # fmt: skip
    assert len({len(line) for line in lines}) == 1


# -- wrong usage


@pytest.mark.parametrize(
    "words", [[], ["dance"], ["scale"], ["scale", "1", "2"], ["status", "--jsn"], ["top", "now"]]
)
def test_wrong_usage_is_told(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        ctl.main(["--control", "/nowhere", *words])

    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("uvicorn-supervisorctl: ")
    assert told.endswith("--help\n")
    assert told.count("\n") == 1


def test_a_file_that_is_no_socket_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.touch()

    assert ctl.main(["--control", str(file), "status"]) == 1
    assert "this is no socket; expected what the supervisor" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        ("200 OK", "text/plain", b"Hello, world!"),  # the application's own socket
        ("200 OK", "application/json", b'{"status": "fine"}'),
        ("200 OK", "application/json", b'["ok"]'),
        ("200 OK", "application/json", b"{"),
        ("200 OK", "text/html", b"\xff"),
        ("404 Not Found", "text/plain", b"there is nothing here\n"),  # that of --metrics
    ],
)
@pytest.mark.parametrize("command", ["status", "workers", "reload"])
def test_whoever_is_no_supervisor_is_told(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    status: str,
    kind: str,
    body: bytes,
    command: str,
) -> None:
    def answer() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.recv(4096)
            peer.sendall(f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n\r\n".encode() + body)

    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        other = threading.Thread(target=answer)
        other.start()
        code = ctl.main(["--control", path, command])
        other.join()

    assert code == 1
    assert "no supervisor of this version; expected" in capsys.readouterr().err


def test_top_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "uvicorn_supervisor.control.top")
    monkeypatch.setitem(sys.modules, "rich.console", None)

    assert ctl.main(["--control", "/nowhere", "top"]) == 1
    assert "rich: pip install 'uvicorn-worker[top]'" in capsys.readouterr().err


def test_without_a_path_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("UVICORN_CONTROL", raising=False)

    assert ctl.main(["status"]) == 2
    assert "Give its --control PATH, or set UVICORN_CONTROL" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--control", "/nowhere", "stop"], ["stop", "--control=/nowhere"]]
)
def test_the_path_may_stand_before_or_behind(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ctl.main(words) == 1
    assert "/nowhere: there is no such socket" in capsys.readouterr().err
