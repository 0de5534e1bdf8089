"""Files of TLS that change: when they are loaded again, and what is kept where they are wrong."""

from __future__ import annotations

import logging
import os
import shutil
import ssl
from typing import TYPE_CHECKING

import pytest

from uvicorn_worker.config import Config
from uvicorn_worker.errors import ConfigError
from uvicorn_worker.tls.context import Loaded
from uvicorn_worker.tls.renewal import TLSContexts, make_tls

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.tlssite import Site


class Deployed:
    """Files in use, and how they are replaced."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.folder, self.site = folder, site
        self.log = logging.Logger("test")
        self.lines: list[tuple[str, str]] = []
        handler = logging.Handler()
        handler.emit = lambda record: self.lines.append(  # type: ignore[method-assign]
            (record.levelname, record.getMessage())
        )
        self.log.addHandler(handler)
        self.install("one.pem", "one.key")
        self.config = Config("a:b", ssl_certfile=self.path("pem"), ssl_keyfile=self.path("key"))
        tls = make_tls(self.config, self.log)
        assert tls is not None
        self.tls = tls
        self.first = tls.context

    def path(self, ending: str) -> str:
        return str(self.folder / f"site.{ending}")

    def install(self, *names: str) -> None:
        """Replace the files whose endings these have, each at once."""
        for name in names:
            new = self.path("new")
            shutil.copy(self.site(name), new)
            os.replace(new, self.path(name[-3:]))

    def look(self, times: int) -> list[tuple[str, str]]:
        """Let so many intervals go by; return the lines that were logged in them."""
        self.lines.clear()
        for _ in range(times):
            self.tls.watch()
        return self.lines.copy()

    @property
    def renewed(self) -> bool:
        return self.tls.context is not self.first


@pytest.fixture
def deployed(tmp_path: Path, site: Site) -> Deployed:
    return Deployed(tmp_path, site)


LOADED = ("INFO", "TLS certificates have been loaded again, for new connections")


def test_files_that_stay_are_not_loaded_again(deployed: Deployed) -> None:
    assert not deployed.tls.changed()
    assert deployed.look(3) == []
    assert not deployed.renewed


def test_changed_files_are_loaded_when_they_are_still(deployed: Deployed) -> None:
    deployed.install("two.pem", "two.key")

    assert deployed.tls.changed()
    assert deployed.look(1) == []
    assert deployed.look(2) == [LOADED]
    assert deployed.renewed
    assert not deployed.tls.changed()


def test_certificate_waits_for_the_key_that_is_written_after_it(deployed: Deployed) -> None:
    deployed.install("two.pem")
    assert deployed.look(1) == []
    deployed.install("two.key")

    assert deployed.look(2) == [LOADED]
    assert deployed.renewed


def test_wrong_files_are_refused_once_and_tried_again_when_they_change(deployed: Deployed) -> None:
    deployed.install("half.pem")
    ((level, text),) = deployed.look(5)
    assert level == "ERROR"
    assert "those before stay in use: ssl_certfile=" in text
    assert not deployed.renewed

    deployed.install("two.pem")
    ((level, text),) = deployed.look(5)
    assert "does not belong to the certificate" in text
    assert not deployed.renewed

    deployed.install("two.key")
    assert deployed.look(5) == [LOADED]
    assert deployed.renewed


def test_files_that_are_away_for_a_while_leave_the_old_context(deployed: Deployed) -> None:
    os.remove(deployed.path("pem"))
    ((level, text),) = deployed.look(5)
    assert (level, "No such file" in text) == ("ERROR", True)

    deployed.install("one.pem")
    assert deployed.look(5) == [LOADED]


def test_links_to_another_folder_are_followed(tmp_path: Path, site: Site) -> None:
    """As Kubernetes mounts secrets: the link to the folder of all files is replaced."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for ending in ("pem", "key"):
            shutil.copy2(site(f"{name}.{ending}"), tmp_path / name / f"site.{ending}")
            os.utime(tmp_path / name / f"site.{ending}", (1, 1))
    (tmp_path / "data").symlink_to("one")
    for ending in ("pem", "key"):
        (tmp_path / f"site.{ending}").symlink_to(f"data/site.{ending}")
    tls = make_tls(
        Config("a:b", ssl_certfile=tmp_path / "site.pem", ssl_keyfile=tmp_path / "site.key")  # type: ignore[arg-type]  # a path is as good
    )
    assert tls is not None
    first = tls.context

    (tmp_path / "new").symlink_to("two")
    os.replace(tmp_path / "new", tmp_path / "data")
    tls.watch()
    tls.watch()

    assert tls.context is not first


def test_reload_loads_what_is_there_without_waiting(deployed: Deployed) -> None:
    deployed.install("two.pem", "two.key")

    assert deployed.tls.reload()
    assert deployed.renewed
    assert deployed.look(3) == []


def test_reload_with_wrong_files_keeps_the_context(deployed: Deployed) -> None:
    deployed.install("half.pem")

    assert not deployed.tls.reload()
    assert not deployed.renewed
    assert deployed.look(3) == []


def test_factory_that_fails_at_a_reload_is_shown_where(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    contexts = [ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)]
    tls = make_tls(Config("a:b", ssl_context_factory=lambda config, default: contexts.pop()))
    assert tls is not None

    assert not tls.reload()

    (record,) = caplog.records
    assert "raised IndexError: pop from empty list" in record.message
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], IndexError)


def test_who_may_lose_access_says_so_to_those_who_look_for_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def load() -> Loaded:
        if tries:
            try:
                raise PermissionError
            except PermissionError:
                raise ConfigError("certfile: cannot be read") from None
        tries.append(1)
        return Loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))

    tries: list[int] = []
    log = logging.getLogger("uvicorn.error")
    caplog.set_level(logging.DEBUG, log.name)
    tls = TLSContexts(load, (), log, may_lose_access=True)

    assert not tls.reload()
    assert [record.levelname for record in caplog.records] == ["DEBUG"]
