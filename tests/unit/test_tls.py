"""From the options of TLS to a context: what is refused, what is loaded again, what is kept."""

from __future__ import annotations

import logging
import os
import shutil
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.certificates import PASSWORD, Authority, encrypt_key
from uvicorn_worker.config import TLS_VERSIONS, Config
from uvicorn_worker.errors import ConfigError
from uvicorn_worker.tls.context import PROTOCOLS, Loaded
from uvicorn_worker.tls.renewal import TLSContexts, make_tls

if TYPE_CHECKING:
    from collections.abc import Callable


class Site:
    """A folder of files, right and wrong ones: `site("one.key")` is a path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        authority = Authority(folder)
        for name in ("one", "two"):
            authority.issue(name)
        authority.issue("expired", days=-1)
        encrypt_key(self("one.key"), folder / "encrypted.key")
        certificate = Path(self("one.pem")).read_text()
        key = Path(self("one.key")).read_text()
        made = {
            "both.pem": certificate + key,
            "key-first.pem": key + certificate,
            "empty.pem": "",
            "half.pem": certificate[:200],
            "half.key": key[:100],
            "bad.pem": certificate.replace("M", "A", 1),
            "bad.key": key.replace("M", "A", 1),
            "chain-half.pem": certificate + certificate[:200],
        }
        for name, text in made.items():
            Path(self(name)).write_text(text)
        der = ssl.PEM_cert_to_DER_cert(certificate)
        Path(self("der.pem")).write_bytes(der)

    def __call__(self, name: str) -> str:
        return str(self.folder / name)

    def options(self, names: dict[str, Any]) -> dict[str, Any]:
        """Return keywords of Config: names of files stand for their paths, without `ssl_`."""
        return {
            option if option == "proxy_protocol" else f"ssl_{option}": self(value)
            if option in ("certfile", "keyfile", "ca_certs")
            else value
            for option, value in names.items()
        }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site"))


ONE = {"certfile": "one.pem", "keyfile": "one.key"}


def context_of(config: Config) -> ssl.SSLContext:
    tls = make_tls(config)
    assert tls is not None
    return tls.context


# -- what the context is


def test_without_certificate_there_is_no_tls() -> None:
    assert make_tls(Config("a:b")) is None


@pytest.mark.parametrize(
    "options",
    [
        ONE,
        {"certfile": "both.pem"},
        {"certfile": "key-first.pem"},
        {"certfile": "one.pem", "keyfile": "encrypted.key", "keyfile_password": PASSWORD},
        ONE | {"keyfile_password": "of another key"},
    ],
    ids=["two-files", "one-file", "key-first", "encrypted", "needless-password"],
)
def test_certificate_and_key_are_loaded(options: dict[str, Any], site: Site) -> None:
    context = context_of(Config("a:b", **site.options(options)))

    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION


@pytest.mark.parametrize(
    ("number", "oldest", "newest"),
    [
        (17, "TLSv1_2", "MAXIMUM_SUPPORTED"),
        (2, "TLSv1_2", "MAXIMUM_SUPPORTED"),
        (5, "TLSv1_2", "TLSv1_2"),
        (4, "TLSv1_1", "TLSv1_1"),
        (3, "TLSv1", "TLSv1"),
    ],
)
def test_ssl_version_bounds_the_protocol(
    number: int, oldest: str, newest: str, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    context = context_of(Config("a:b", ssl_version=number, **site.options(ONE)))

    assert (context.minimum_version.name, context.maximum_version.name) == (oldest, newest)
    assert [record.message for record in caplog.records] == (
        [f"ssl_version={number}: TLS 1.{number - 3} is obsolete"] if number in (3, 4) else []
    )


def test_ciphers_are_those_that_are_asked_for(site: Site) -> None:
    wanted = "ECDHE-ECDSA-AES128-GCM-SHA256"
    context = context_of(Config("a:b", ssl_ciphers=wanted, **site.options(ONE)))

    old = [cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] == "TLSv1.2"]
    assert old == [wanted]


@pytest.mark.parametrize("number", [1, 2])
def test_clients_are_asked_for_certificates(number: int, site: Site) -> None:
    options = ONE | {"cert_reqs": number, "ca_certs": "root.pem"}
    context = context_of(Config("a:b", **site.options(options)))

    assert context.verify_mode == number
    assert context.cert_store_stats()["x509_ca"] == 1


# -- what is refused


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"certfile": "no.pem"}, ["ssl_certfile=", "no.pem", "No such file"]),
        ({"certfile": "."}, ["ssl_certfile=", "Is a directory"]),
        ({"certfile": "a\0b"}, ["ssl_certfile=", "null"]),
        ({"certfile": "empty.pem"}, ["empty.pem", "no certificate in PEM"]),
        ({"certfile": "one.key"}, ["ssl_certfile=", "one.key", "no certificate in PEM"]),
        ({"certfile": "der.pem"}, ["der.pem", "DER"]),
        ({"certfile": "half.pem"}, ["half.pem", "no certificate in PEM"]),
        ({"certfile": "bad.pem", "keyfile": "one.key"}, ["bad.pem", "certificate is damaged"]),
        ({"certfile": "chain-half.pem", "keyfile": "one.key"}, ["chain-half.pem", "damaged"]),
        ({"certfile": "one.pem"}, ["one.pem", "holds no private key"]),
        ({"certfile": "one.pem", "keyfile": "no.key"}, ["ssl_keyfile=", "no.key", "No such file"]),
        (
            {"certfile": "one.pem", "keyfile": "empty.pem"},
            ["ssl_keyfile=", "no private key in PEM"],
        ),
        ({"certfile": "one.pem", "keyfile": "bad.key"}, ["bad.key", "private key is damaged"]),
        ({"certfile": "one.pem", "keyfile": "half.key"}, ["half.key", "private key is damaged"]),
        (
            {"certfile": "one.pem", "keyfile": "two.key"},
            ["one.pem", "two.key", "does not belong to the certificate"],
        ),
        (
            {"certfile": "one.pem", "keyfile": "encrypted.key"},
            ["encrypted.key", "is encrypted: give ssl_keyfile_password"],
        ),
        (
            {"certfile": "one.pem", "keyfile": "encrypted.key", "keyfile_password": "wrong"},
            ["encrypted.key", "ssl_keyfile_password is wrong"],
        ),
        (
            {"certfile": "one.pem", "keyfile": "encrypted.key", "keyfile_password": "x" * 2000},
            ["encrypted.key", "ssl_keyfile_password is wrong"],
        ),
        ({"version": 16}, ["ssl_version=16", "expected one of 17, 2, 5"]),
        (ONE | {"ciphers": "TYPO"}, ["ssl_ciphers='TYPO'", "openssl ciphers"]),
        (ONE | {"ciphers": ""}, ["ssl_ciphers=''"]),
        (ONE | {"cert_reqs": 2}, ["ssl_cert_reqs=2 needs ssl_ca_certs"]),
        (ONE | {"cert_reqs": 2, "ca_certs": "no.pem"}, ["ssl_ca_certs=", "No such file"]),
        (ONE | {"cert_reqs": 2, "ca_certs": "empty.pem"}, ["ssl_ca_certs=", "no certificate"]),
        (ONE | {"cert_reqs": 2, "ca_certs": "bad.pem"}, ["ssl_ca_certs=", "damaged"]),
        ({"cert_reqs": 2}, ["ssl_cert_reqs needs ssl_certfile"]),
        ({"ca_certs": "root.pem"}, ["ssl_ca_certs needs ssl_certfile"]),
        ({"keyfile_password": "x"}, ["ssl_keyfile_password needs ssl_certfile"]),
        (ONE | {"proxy_protocol": "auto"}, ["proxy_protocol=auto", "TLS"]),
        ({"context_factory": lambda config, default: None}, ["returned None", "ssl.SSLContext"]),
        (
            {"context_factory": lambda config, default: ssl.create_default_context()},
            ["context for clients"],
        ),
        ({"context_factory": lambda config, default: int("vault")}, ["raised ValueError: "]),
        (
            {"context_factory": lambda config, default: default(), "certfile": "no.pem"},
            ["ssl_certfile=", "No such file"],
        ),
    ],
    ids=lambda value: "-".join(value).replace("/", "")[:40] if isinstance(value, dict) else "",
)
def test_what_cannot_be_used_is_refused_in_one_line(
    options: dict[str, Any], words: list[str], site: Site
) -> None:
    with pytest.raises(ConfigError) as caught:
        make_tls(Config("a:b", **site.options(options)))

    text = str(caught.value)
    assert [word for word in words if word not in text] == []
    assert "\n" not in text
    assert PASSWORD not in text


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_file_that_may_not_be_read_is_named(site: Site, tmp_path: Path) -> None:
    key = tmp_path / "secret.key"
    shutil.copy(site("one.key"), key)
    key.chmod(0)

    with pytest.raises(ConfigError, match=r"ssl_keyfile=.*secret\.key.*Permission denied"):
        make_tls(Config("a:b", ssl_certfile=site("one.pem"), ssl_keyfile=str(key)))


@pytest.mark.parametrize(
    ("options", "warning"),
    [
        ({"certfile": "expired.pem", "keyfile": "expired.key"}, "the certificate has expired at "),
        (ONE | {"ca_certs": "root.pem"}, "ssl_ca_certs has no effect without ssl_cert_reqs"),
    ],
    ids=["expired", "authorities-of-nobody"],
)
def test_what_is_of_no_use_is_warned_about(
    options: dict[str, Any], warning: str, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    make_tls(Config("a:b", **site.options(options)))

    (record,) = caplog.records
    assert (record.name, record.levelname) == ("uvicorn.error", "WARNING")
    assert warning in record.message


# -- the user's own function


def test_factory_gets_the_configuration_and_the_usual_context(site: Site) -> None:
    seen = []

    def factory(config: Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        context = default()
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        seen.append((config, context))
        return context

    config = Config("a:b", ssl_context_factory=factory, **site.options(ONE))

    assert seen == [(config, context_of(config))]


def test_factory_may_load_certificates_of_its_own(site: Site) -> None:
    def factory(config: Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        context = default()
        context.load_cert_chain(site("one.pem"), site("one.key"))
        return context

    assert make_tls(Config("a:b", ssl_context_factory=factory)) is not None


# -- files that change


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


def test_every_version_of_the_option_has_its_protocols() -> None:
    assert tuple(PROTOCOLS) == TLS_VERSIONS
