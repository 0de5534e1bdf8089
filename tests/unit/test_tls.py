"""From the options of TLS to a context: what is loaded, and what is refused."""

from __future__ import annotations

import os
import shutil
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.certificates import PASSWORD
from tests.support.tlssite import ONE, Site
from uvicorn_worker.config import TLS_VERSIONS, Config
from uvicorn_worker.errors import ConfigError
from uvicorn_worker.tls.context import PROTOCOLS
from uvicorn_worker.tls.renewal import make_tls

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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


def test_every_version_of_the_option_has_its_protocols() -> None:
    assert tuple(PROTOCOLS) == TLS_VERSIONS


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
