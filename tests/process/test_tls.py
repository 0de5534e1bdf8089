"""TLS under a real Gunicorn: what applications are told, and certificates that change."""

from __future__ import annotations

import os
import shutil
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.asking import read_reply
from tests.support.certificates import Authority
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.certificates import Pair
    from tests.support.gunicorn import RunningGunicorn, StartGunicorn

APP = "tests.apps.report:app"


class Site:
    """The files that a server is told to use, and who it is that renews them."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.first, self.second = (self.authority.issue(name) for name in ("first", "second"))
        self.client = self.authority.issue("client", "/O=Shop/CN=jo")
        self.certificate, self.key = str(folder / "site.pem"), str(folder / "site.key")
        self.install(self.first)

    def install(self, pair: Pair) -> None:
        for source, target in ((pair.certificate, self.certificate), (pair.key, self.key)):
            shutil.copy(source, f"{target}.new")
            os.replace(f"{target}.new", target)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def ask(server: RunningGunicorn, context: ssl.SSLContext) -> dict[str, Any]:
    """Return what the application was told, and under `shown` the certificate that came."""
    with server.connect() as plain, context.wrap_socket(plain, server_hostname="localhost") as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        reply: dict[str, Any] = read_reply(sock).json()
        shown = ssl.DER_cert_to_PEM_cert(sock.getpeercert(binary_form=True) or b"")
        return reply | {"shown": shown}


def test_certificates_are_told_and_renewed_without_a_signal(
    gunicorn: StartGunicorn, site: Site
) -> None:
    server = gunicorn(
        APP,
        f"--certfile={site.certificate}",
        f"--keyfile={site.key}",
        f"--ca-certs={site.authority.file}",
        "--cert-reqs=1",
    )
    context = site.authority.client_context(site.client)

    before = ask(server, context)
    assert before["tls"]["client_cert_name"] == "CN=jo,O=Shop"
    assert before["tls"]["client_cert_chain"][:1] == site.client.chain
    assert before["tls"]["server_cert"] == before["shown"] == site.first.chain[0]

    site.install(site.second)
    after = eventually(
        lambda: found if (found := ask(server, context))["shown"] != before["shown"] else None
    )

    assert after["tls"]["server_cert"] == after["shown"] == site.second.chain[0]
    assert after["pid"] == before["pid"]
    server.wait_for_log("TLS certificates have been loaded again")
    assert "[ERROR]" not in server.log_text()


def test_wrong_files_are_refused_and_the_old_ones_stay(gunicorn: StartGunicorn, site: Site) -> None:
    server = gunicorn(APP, f"--certfile={site.certificate}", f"--keyfile={site.key}")
    context = site.authority.client_context()
    assert ask(server, context)["shown"] == site.first.chain[0]

    with open(site.certificate, "w") as file:
        file.write("half of a cert")
    server.wait_for_log("those before stay in use")

    assert ask(server, context)["shown"] == site.first.chain[0]
    assert "Traceback" not in server.log_text()
