"""What servers in this process are tried with: both parsers, and a certificate."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pytest

from tests.support.certificates import Authority

if TYPE_CHECKING:
    Http = Literal["httptools", "h11"]


@pytest.fixture(scope="session", params=["httptools", "h11"])
def http(request: pytest.FixtureRequest) -> Http:
    """The parser under test; every case runs with both."""
    name: Http = request.param
    return name


@dataclass(frozen=True)
class Tls:
    """The contexts of both ends."""

    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """A certificate for `localhost`, as both ends use it."""
    authority = Authority(tmp_path_factory.mktemp("tls"))
    pair = authority.issue("server")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pair.certificate, pair.key)
    return Tls(server, authority.client_context())
