"""deploy/docker/: every step of the image is carried out here, without Docker."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support.dockerfiles import instructions
from tests.support.ports import free_port
from tests.support.replies import ask
from tests.support.supervisor import SERVING

if TYPE_CHECKING:
    from tests.support.command import StartCommand

FOLDER = Path(__file__).parents[3] / "deploy" / "docker"
STEPS = instructions(FOLDER / "Dockerfile")

pytestmark = pytest.mark.slow


def words_of(name: str) -> list[str]:
    """Return what stands behind each instruction of that name."""
    return [step.words for step in STEPS if step.name == name]


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="needs hadolint, which is no package")
def test_hadolint_finds_nothing() -> None:
    done = subprocess.run(
        ["hadolint", str(FOLDER / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_rules_of_hadolint_that_concern_it() -> None:
    for image in words_of("FROM"):
        assert ":" in image  # DL3006: tagged
        assert ":latest" not in image  # DL3007
    assert words_of("USER")[-1] not in ("root", "0")  # DL3002
    assert all(folder.startswith("/") for folder in words_of("WORKDIR"))  # DL3000
    assert not words_of("ADD")  # DL3020
    assert not words_of("MAINTAINER")  # DL4000
    for name in ("CMD", "ENTRYPOINT", "HEALTHCHECK"):  # DL4003, DL4004, DL3012: one of each
        (step,) = (step for step in STEPS if step.name == name)
        assert step.array  # DL3025: the exec form
    runs = " ".join(words_of("RUN"))
    assert runs.count("pip install") == runs.count("pip install --no-cache-dir")  # DL3042
    assert not {"sudo", "|", "cd "} & set(runs.split())  # DL3004, DL4006, DL3003
    names = [step.name for step in STEPS]
    assert ("RUN", "RUN") not in itertools.pairwise(names)  # DL3059


def test_every_run_step_does_what_it_says(tmp_path: Path) -> None:
    """In a folder in place of `/`; what only root can do, root does."""
    (tmp_path / "etc").mkdir()
    for name in ("passwd", "group", "shadow", "gshadow"):
        (tmp_path / "etc" / name).touch()
    (tmp_path / "srv" / "app").mkdir(parents=True)
    (tmp_path / "srv" / "app" / "main.py").write_text("app = None\n")
    (tmp_path / "run").mkdir()
    write_wheel(tmp_path / "shop_needs-1.0-py3-none-any.whl")
    (tmp_path / "requirements.txt").write_text("shop-needs==1.0\n")
    environ = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHONPATH": sysconfig.get_path("purelib"),  # for pip, which `placed` leaves out
    }
    for step in words_of("RUN"):
        for part in step.split("&&"):
            command = placed(part.strip(), tmp_path)
            if os.getuid() and command.split()[0] in ("useradd", "install"):
                continue
            done = subprocess.run(
                ["sh", "-ec", command],
                cwd=tmp_path,
                env=environ,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"

    assert list((tmp_path / "opt" / "venv").glob("lib/*/site-packages/shop_needs.py"))
    assert list((tmp_path / "srv" / "app" / "__pycache__").glob("main.*.pyc"))
    if not os.getuid():
        assert (tmp_path / "etc" / "passwd").read_text().startswith("app:x:10001:")
        assert (tmp_path / "run" / "shop").stat().st_uid == 10001


def placed(command: str, root: Path) -> str:
    """Return a command of the Dockerfile with its absolute folders below `root`.

    The new environment is made without pip, and takes ours: that saves most of the time.
    """
    for folder in ("/opt/", "/srv/", "/run/"):
        command = command.replace(f" {folder}", f" {root}{folder}")
        command = f"{root}{command}" if command.startswith(folder) else command
    command = command.replace("-m venv ", "-m venv --without-pip ")
    return command.replace("useradd ", f"useradd --prefix {root} ")


def write_wheel(path: Path) -> None:
    """Write a package with one module, as an index would have it."""
    info = "shop_needs-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("shop_needs.py", "")
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: shop-needs\nVersion: 1.0\n"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def test_the_container_serves_is_healthy_and_stops(command: StartCommand) -> None:
    by_name = {step.name: step for step in STEPS}
    metrics = free_port()
    places = {
        "0.0.0.0:8000": "127.0.0.1:0",
        "0.0.0.0:9090": f"127.0.0.1:{metrics}",
        "main:app": "tests.apps.basic:app",
    }
    line = [*by_name["ENTRYPOINT"].array, *by_name["CMD"].array]
    assert places.keys() <= set(line)
    program = f"{sysconfig.get_path('scripts')}/{line[0]}"
    server = command(*(places.get(word, word) for word in line[1:]), command=(program,))
    found = SERVING.search(server.wait_for_log("with 4 workers", timeout=20.0))
    assert found
    server.listens_on(("127.0.0.1", int(found[2])))
    assert server.get("/").text == "Hello, world!\n"

    program, *words = by_name["HEALTHCHECK"].array
    assert program == "python"
    words = [word.replace(":8000/", f":{found[2]}/") for word in words]
    environ = {**os.environ, "http_proxy": "http://127.0.0.1:1", "no_proxy": ""}
    subprocess.run([sys.executable, *words], check=True, timeout=20, env=environ)
    assert ask(("127.0.0.1", metrics), "/readyz").status == 200
    server.signal(getattr(signal, by_name["STOPSIGNAL"].words))
    assert server.wait_exit() == 0


def test_the_compose_file_names_what_is_there() -> None:
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    shop, nginx = services["shop"], services["nginx"]
    for volume in nginx["volumes"][:2]:
        assert (FOLDER / volume.split(":")[0]).is_file()
    upstream = (FOLDER / "../nginx/upstream-socket.conf").read_text()
    assert f"server {shop['command'][1]} " in upstream  # where they meet
    assert int(shop["stop_grace_period"].rstrip("s")) > 30
