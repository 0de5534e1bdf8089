"""deploy/systemd/: what systemd says of the units, and the services that they start."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
from typing import TYPE_CHECKING

import pytest

from tests.support import units
from tests.support.processes import children
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.support.command import RunningCommand, StartCommand

SERVICES = ("gunicorn.service", "uvicorn-supervisor.service", "uvicorn-supervisor@.service")
APP = {"app:app": "tests.apps.basic:app"}
RATING = 2.0
"""The worst exposure that systemd itself calls OK is below this."""

NEWER = "Failed to parse service type, ignoring: notify-reload"
"""What systemd before 253 says; before-253.conf is for these."""

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze: apt-get install systemd"
)
needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None, reason="needs strace: apt-get install strace"
)

pytestmark = pytest.mark.slow


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[units.Manager]:
    told = units.Manager(tmp_path)
    yield told
    told.close()


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", "--no-pager", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@needs_systemd
def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    for path in units.FOLDER.iterdir():
        text = units.VENV.sub(f"{sysconfig.get_path('scripts')}/", path.read_text())
        (tmp_path / path.name).write_text(text)
    names = [path.name for path in units.FOLDER.iterdir() if path.suffix != ".conf"]
    paths = [str(tmp_path / name.replace("@.", "@shop.")) for name in names]
    (tmp_path / "uvicorn-supervisor.service.d").mkdir()
    shutil.move(tmp_path / "before-253.conf", tmp_path / "uvicorn-supervisor.service.d")

    done = analyze("verify", *paths)

    assert [line for line in done.stderr.splitlines() if NEWER not in line] == []
    assert done.returncode == 0


@needs_systemd
@pytest.mark.parametrize("unit", SERVICES)
def test_systemd_rates_the_hardening_well(unit: str) -> None:
    limit = f"--threshold={RATING * 10:.0f}"
    done = analyze("security", "--offline=true", limit, str(units.FOLDER / unit))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("unit", SERVICES)
def test_a_start_that_fails_is_tried_for_ever(unit: str) -> None:
    said = units.settings(unit)
    starts = 10 / float(said["RestartSec"][0].removesuffix("s"))  # in StartLimitIntervalSec=
    assert starts < int(said["StartLimitBurst"][0])


@pytest.mark.parametrize("unit", SERVICES)
def test_listeners_that_are_stored_keep_their_files(unit: str) -> None:
    said = units.settings(unit)
    if "FileDescriptorStoreMax" in said and "RuntimeDirectory" in said:
        assert said["RuntimeDirectoryPreserve"] == ["restart"]


class Service:
    """The process of a unit's ExecStart=, with the variables and sockets that systemd gives."""

    def __init__(
        self,
        start: StartCommand,
        manager: units.Manager,
        command: Sequence[str],
        *,
        listener: socket.socket | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        passed = [listener.fileno()] if listener else []
        told = {"NOTIFY_SOCKET": manager.path, **(env or {})}
        if listener:
            told |= {"LISTEN_FDS": "1", "LISTEN_PID": "{pid}"}
        self.process: RunningCommand = start(
            *("exec", json.dumps(passed), json.dumps(told), *command),
            command=("-m", "tests.support.activated"),
            pass_fds=passed,
        )
        self.manager = manager

    def wait_until_told(self, assignment: str, count: int = 1) -> None:
        """Wait until it has told systemd this, so many times."""
        told = self.manager
        eventually(
            lambda: told.was_told(assignment, count),
            timeout=20.0,
            message=f"{assignment} {count} times among {told.told}: {self.process.log_text()}",
        )

    def answers_a_reload(self) -> None:
        """Check that other processes answer after SIGHUP, which both kinds of unit send."""
        before = self.process.get("/pid").text.split()[0]
        self.process.signal(signal.SIGHUP)
        eventually(lambda: self.process.get("/pid").text.split()[0] != before, timeout=20.0)

    def stop(self) -> None:
        """End it as systemd does, and check that it goes well."""
        self.process.signal(signal.SIGTERM)
        assert self.process.wait_exit() == 0
        assert not children(self.process.pid)


def test_the_supervisors_unit_serves_on_the_socket_of_systemd(
    command: StartCommand, manager: units.Manager, tmp_path: Path
) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(128)
        words = units.command("uvicorn-supervisor.service", {**APP, "auto": "2"})
        service = Service(command, manager, words, listener=listener)
        service.process.listens_on(path)
        service.wait_until_told("READY=1")
        assert service.process.get("/").text == "Hello, world!\n"
        service.answers_a_reload()
        service.wait_until_told("RELOADING=1")  # Type=notify-reload waits for these three
        service.wait_until_told("READY=1", 2)
        assert any(line.startswith("MONOTONIC_USEC=") for line in manager.told)
        service.stop()
        assert manager.was_told("STOPPING=1")
        assert os.path.exists(path)  # it is systemd's, and stays for the next start


def test_the_template_serves_what_its_environment_names(
    command: StartCommand, manager: units.Manager, tmp_path: Path
) -> None:
    (tmp_path / "uvicorn-supervisor" / "shop").mkdir(parents=True)  # RuntimeDirectory=
    words = units.command("uvicorn-supervisor@.service", {"%i": "shop", "%t": str(tmp_path)})
    env = {"UVICORN_APP": APP["app:app"], "UVICORN_WORKERS": "2"}
    service = Service(command, manager, words, env=env)
    service.wait_until_told("READY=1")
    service.process.listens_on(str(tmp_path / "uvicorn-supervisor" / "shop" / "http.sock"))
    assert service.process.get("/").text == "Hello, world!\n"
    assert len(children(service.process.pid)) == 2
    service.stop()


def test_gunicorns_unit_serves_on_its_socket(
    command: StartCommand, manager: units.Manager, tmp_path: Path
) -> None:
    places = {**APP, "/run/shop/": f"{tmp_path}/", "--workers 4": "--workers 2"}
    service = Service(command, manager, units.command("gunicorn.service", places))
    service.wait_until_told("READY=1")
    service.process.listens_on(str(tmp_path / "http.sock"))
    assert service.process.get("/").text == "Hello, world!\n"
    service.answers_a_reload()
    service.stop()


@needs_systemd
@needs_strace
@pytest.mark.parametrize("unit", ["gunicorn.service", "uvicorn-supervisor@.service"])
def test_the_filters_allow_every_system_call(
    command: StartCommand, manager: units.Manager, tmp_path: Path, unit: str
) -> None:
    """A start, a request, a reload and a stop make none that SystemCallFilter= refuses."""
    if unit == "gunicorn.service":
        places = {**APP, "/run/shop/": f"{tmp_path}/", "--workers 4": "--workers 1"}
    else:
        (tmp_path / "uvicorn-supervisor" / "shop").mkdir(parents=True)
        places = {"%i": "shop", "%t": str(tmp_path)}
    words = units.command(unit, places)
    calls = tmp_path / "calls"
    strace = [str(shutil.which("strace")), "-f", "-qq", "-o", str(calls)]
    env = {"UVICORN_APP": APP["app:app"]}
    service = Service(command, manager, [*strace, *words], env=env)
    service.wait_until_told("READY=1")
    service.process.listens_on(str(next(tmp_path.glob("**/http.sock"))))
    (traced,) = children(service.process.pid)
    assert service.process.get("/").status == 200
    service.process.pid, tracer = traced, service.process.pid
    service.answers_a_reload()
    os.kill(traced, signal.SIGTERM)
    service.process.pid = tracer
    assert service.process.wait_exit(30.0) == 0

    refused = units.traced_calls(calls) - units.allowed_calls(
        units.settings(unit)["SystemCallFilter"]
    )
    assert refused == set()
