"""The subject of certificates as RFC 4514 writes it, and their dates."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from tests.support.certificates import Authority, openssl
from uvicorn_worker.tls.certificates import subject_name, validity

if TYPE_CHECKING:
    from tests.support.certificates import Pair


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def der(pair: Pair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.chain[0])


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("/CN=localhost", "CN=localhost"),
        ("/C=DE/ST=Bayern/L=Hof/O=Shop/OU=Ops/CN=Jo", "CN=Jo,OU=Ops,O=Shop,L=Hof,ST=Bayern,C=DE"),
        ("/DC=org/DC=example/UID=jo", "UID=jo,DC=example,DC=org"),
        ("/O=a, b;c<d>/CN=#1", r"CN=\#1,O=a\, b\;c\<d\>"),
        ("/CN= a b ", r"CN=\ a b\ "),
        (r"/CN= ", r"CN=\ "),
        (r'/CN=a\\b "c"', r"CN=a\\b \"c\""),
        ("/CN=a\tb\nc", r"CN=a\09b\0ac"),
        ("/CN=é → 🦄", "CN=é → 🦄"),
        (r"/OU=a\+b+UID=jo/CN=c", r"CN=c,OU=a\+b+UID=jo"),
        ("/emailAddress=a@b.c/serialNumber=7", "serialNumber=7,emailAddress=a@b.c"),
        ("/SN=Doe/GN=Jo", "givenName=Jo,sn=Doe"),
        ("/nobodysType=abc/CN=x", "CN=x,1.2.3.40000.5=#0c03616263"),
        ("/", ""),
        ("/CN=" + "x" * 60 + "/O=" + "y" * 60, "O=" + "y" * 60 + ",CN=" + "x" * 60),
    ],
)
def test_subject_is_written_as_rfc_4514_says(
    subject: str, expected: str, authority: Authority
) -> None:
    pair = authority.issue("client", subject)

    assert subject_name(der(pair)) == expected


@pytest.mark.parametrize(
    "subject", ["/C=DE/O=a, b/CN= #x ", '/CN="é"\\\\/OU=a;b', "/DC=org/UID=jo/STREET=Am Tor 1"]
)
def test_subject_is_what_openssl_says(subject: str, authority: Authority) -> None:
    pair = authority.issue("client", subject)
    form = ("-nameopt", "rfc2253,utf8,-esc_msb")
    told = openssl("x509", "-in", pair.certificate, "-noout", "-subject", *form)

    assert subject_name(der(pair)) == told.removeprefix("subject=").removesuffix("\n").replace(
        "street=", "STREET="
    )


@pytest.mark.parametrize("days", [-1, 2, 365 * 60], ids=["past", "now", "after-2049"])
def test_dates_are_what_openssl_says(days: int, authority: Authority) -> None:
    pair = authority.issue("dated", days=days)
    told = openssl("x509", "-in", pair.certificate, "-noout", "-dates")
    expected = [
        float(ssl.cert_time_to_seconds(line.partition("=")[2])) for line in told.splitlines()
    ]

    assert [instant.timestamp() for instant in validity(der(pair))] == expected


def test_year_of_two_digits_is_of_the_century_that_rfc_5280_says() -> None:
    """`openssl` writes no dates before 1950 in two digits: one certificate made by hand."""
    dates = _element(0x30, _element(0x17, b"491231235959Z") + _element(0x17, b"500101000000Z"))
    serial, algorithm, issuer = _element(2, b"\1"), _element(0x30, b""), _element(0x30, b"")
    certificate = _element(0x30, _element(0x30, serial + algorithm + issuer + dates))

    assert [instant.year for instant in validity(certificate)] == [2049, 1950]


def _element(tag: int, content: bytes) -> bytes:
    return bytes((tag, len(content))) + content
