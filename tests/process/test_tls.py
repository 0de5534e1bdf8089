"""TLS of real processes: what applications are told, and certificates that change."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.asking import read_reply
from tests.support.certificates import PASSWORD, Authority, encrypt_key
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.certificates import Pair
    from tests.support.gunicorn import StartGunicorn

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


def ask(connect: Callable[[], socket.socket], context: ssl.SSLContext) -> dict[str, Any]:
    """Return what the application was told, and under `shown` the certificate that came."""
    with connect() as plain, context.wrap_socket(plain, server_hostname="localhost") as sock:
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

    before = ask(server.connect, context)
    assert before["tls"]["client_cert_name"] == "CN=jo,O=Shop"
    assert before["tls"]["client_cert_chain"][:1] == site.client.chain
    assert before["tls"]["server_cert"] == before["shown"] == site.first.chain[0]

    site.install(site.second)
    after = eventually(
        lambda: (
            found if (found := ask(server.connect, context))["shown"] != before["shown"] else None
        )
    )

    assert after["tls"]["server_cert"] == after["shown"] == site.second.chain[0]
    assert after["pid"] == before["pid"]
    server.wait_for_log("TLS certificates have been loaded again")
    assert "[ERROR]" not in server.log_text()


def test_wrong_files_are_refused_and_the_old_ones_stay(gunicorn: StartGunicorn, site: Site) -> None:
    server = gunicorn(APP, f"--certfile={site.certificate}", f"--keyfile={site.key}")
    context = site.authority.client_context()
    assert ask(server.connect, context)["shown"] == site.first.chain[0]

    with open(site.certificate, "w") as file:
        file.write("half of a cert")
    server.wait_for_log("those before stay in use")

    assert ask(server.connect, context)["shown"] == site.first.chain[0]
    assert "Traceback" not in server.log_text()


# -- the command


def test_options_of_the_command_and_sighup(site: Site, tmp_path: Path) -> None:
    encrypted = encrypt_key(site.key, tmp_path / "encrypted.key")
    command = [
        *(sys.executable, "-m", "uvicorn_worker", APP),
        *("--ssl-certfile", site.certificate, "--ssl-keyfile", encrypted),
        *("--ssl-ca-certs", site.authority.file, "--ssl-cert-reqs", "2", "--ssl-version", "5"),
        *("--ssl-ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    ]
    environment = os.environ | {"UVICORN_SSL_KEYFILE_PASSWORD": PASSWORD}
    log = tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as listener, log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--fd", str(listener.fileno())],
            env=environment,
            pass_fds=[listener.fileno()],
            stderr=output,
        )
        address = listener.getsockname()

    def connect() -> socket.socket:
        return socket.create_connection(address, 10)

    def shown() -> str:
        return str(ask(connect, context)["shown"])

    context = site.authority.client_context(site.client)
    try:
        tls = ask(connect, context)["tls"]
        assert tls["client_cert_name"] == "CN=jo,O=Shop"
        assert (tls["tls_version"], tls["cipher_suite"]) == (0x0303, 0xC02B)
        with (
            pytest.raises((ssl.SSLError, ConnectionError)),
            connect() as plain,
        ):  # without a certificate
            site.authority.client_context().wrap_socket(plain, server_hostname="localhost")

        encrypt_key(site.second.key, tmp_path / "encrypted.key")
        shutil.copy(site.second.certificate, site.certificate)
        process.send_signal(signal.SIGHUP)
        eventually(lambda: shown() == site.second.chain[0])
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(10)
    assert code == 0
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("", "is encrypted: give ssl_keyfile_password"),
        ("wrong", "ssl_keyfile_password is wrong"),
    ],
)
def test_encrypted_key_never_asks_a_terminal(
    password: str, words: str, site: Site, tmp_path: Path
) -> None:
    encrypted = encrypt_key(site.key, tmp_path / "encrypted.key")
    parent, terminal = os.openpty()
    try:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "uvicorn_worker", APP, "--port", "0"),
                *("--ssl-certfile", site.certificate, "--ssl-keyfile", encrypted),
                *(("--ssl-keyfile-password", password) if password else ()),
            ],
            stdin=terminal,
            stderr=subprocess.PIPE,
            text=True,
            timeout=20,
            check=False,
            start_new_session=True,
        )
    finally:
        os.close(parent)
        os.close(terminal)

    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    assert words in line
    assert "Traceback" not in done.stderr
