"""Proxies, mount points and TLS under a real Gunicorn."""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
import struct
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.asking import ask, read_reply, told
from tests.support.gunicorn import VERSION
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.gunicorn import RunningGunicorn, StartGunicorn

APP = "tests.apps.report:app"


# -- forwarded headers

FORWARDED = ["X-Forwarded-Proto: https", "X-Forwarded-For: 203.0.113.7"]


def test_the_local_peer_is_trusted_by_default(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP)
    cases = {
        "https": (["X-Forwarded-Proto: https"], "https"),
        "not https": (["X-Forwarded-Proto: HTTPS"], "http"),
        "ssl": (["X-Forwarded-Protocol: ssl"], "https"),
        "on": (["X-Forwarded-Ssl: on"], "https"),
        "off": (["X-Forwarded-Ssl: off"], "http"),
        "none": ([], "http"),
    }

    found = {name: told(server, *fields)["scheme"] for name, (fields, _) in cases.items()}

    assert found == {name: expected for name, (_, expected) in cases.items()}
    assert ask(server, "X-Forwarded-Proto: https", "X-Forwarded-Ssl: off").status == 400
    assert told(server, *FORWARDED)["client"] == ["203.0.113.7", 0]
    chain = "X-Forwarded-For: 198.51.100.1, 203.0.113.7:1234, 127.0.0.1"
    assert told(server, chain)["client"] == ["203.0.113.7", 1234]
    log = server.wait_for_log("Proxy headers are believed from 127.0.0.1, ::1 and UNIX sockets")
    assert log.count("are believed from") == 1  # the master's word for all its workers


@pytest.mark.parametrize(("allow", "trusted"), [("10.0.0.1", False), ("10.0.0.1,*", True)])
def test_only_listed_peers_are_trusted(gunicorn: StartGunicorn, allow: str, trusted: bool) -> None:
    server = gunicorn(APP, f"--forwarded-allow-ips={allow}")

    found = told(server, *FORWARDED)

    assert found["scheme"] == ("https" if trusted else "http")
    assert (found["client"][0] == "203.0.113.7") is trusted


def test_unix_peers_are_always_trusted(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, "--forwarded-allow-ips=10.0.0.1", bind=["unix:{folder}/a.sock"])
    server.wait_for_log("Listening at: ")

    found = told(server, *FORWARDED)

    assert (found["scheme"], found["client"]) == ("https", ["203.0.113.7", 0])


def test_the_schemes_header_is_the_configured_one(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, config="secure_scheme_headers = {'X-SECURE': 'yes'}")

    assert told(server, "X-Secure: yes")["scheme"] == "https"
    assert told(server, "X-Forwarded-Proto: https")["scheme"] == "http"


@pytest.mark.parametrize(
    ("header_map", "status", "kept"),
    [("drop", 200, []), ("refuse", 400, []), ("dangerous", 200, ["x_user"])],
)
def test_names_with_underscores_are_mapped_as_configured(
    gunicorn: StartGunicorn, header_map: str, status: int, kept: list[str]
) -> None:
    server = gunicorn(APP, f"--header-map={header_map}", "--forwarded-allow-ips=10.0.0.1")

    reply = ask(server, "X_User: root", "X-User: me")

    assert reply.status == status
    if status == 200:
        names = [name for name, _ in reply.json()["headers"]]
        assert [name for name in names if "_" in name] == kept
        assert "x-user" in names


@pytest.mark.skipif(VERSION < (23, 0), reason="this Gunicorn has no forwarder_headers")
def test_forwarder_headers_of_trusted_peers_survive(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, "--forwarder-headers=X_USER")

    headers = told(server, "X_User: root", "X_Other: 1")["headers"]

    assert [pair for pair in headers if "_" in pair[0]] == [["x_user", "root"]]


# -- mount points


def test_root_path_stands_before_the_path(gunicorn: StartGunicorn) -> None:
    option = ["--root-path=/api"] if VERSION >= (24, 0) else ["--env=UVICORN_ROOT_PATH=/api"]
    server = gunicorn(APP, *option)

    found = told(server, line="GET /items%41 HTTP/1.1")

    assert (found["root_path"], found["path"]) == ("/api", "/api/itemsA")
    assert found["raw_path"] == "/api/items%41"


def test_script_name_is_the_beginning_of_the_path(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, env={"SCRIPT_NAME": "/env"})

    by_environment = told(server, line="GET /env/items HTTP/1.1")
    by_header = told(server, "SCRIPT_NAME: /shop", line="GET /shop/items HTTP/1.1")

    assert (by_environment["root_path"], by_environment["path"]) == ("/env", "/env/items")
    assert (by_header["root_path"], by_header["path"]) == ("/shop", "/shop/items")
    assert ask(server, "SCRIPT_NAME: /shop", line="GET /other HTTP/1.1").status == 500


# -- the PROXY protocol

V1 = b"PROXY TCP4 203.0.113.9 198.51.100.2 4711 80\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n" + struct.pack(
    "!BBH4s4sHH",
    0x21,
    0x11,
    12,
    socket.inet_aton("203.0.113.9"),
    socket.inet_aton("198.51.100.2"),
    4711,
    80,
)
V2_LOCAL = b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", 0x20, 0x00, 0)
UNKNOWN = b"PROXY UNKNOWN\r\n"
SOURCE = ["203.0.113.9", 4711]


def proxied(server: RunningGunicorn, header: bytes) -> tuple[int, bool]:
    """Return the status, and whether the application saw the proxy's client."""
    reply = ask(server, before=header)
    return reply.status, reply.status == 200 and reply.json()["client"] == SOURCE


def test_proxy_protocol_headers_are_read(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, "--proxy-protocol", "--access-logfile=-")
    cases = {
        "v1": (V1, (200, True)),
        "v2": (V2, (200, True)),
        "local": (V2_LOCAL, (200, False)),
        "unknown": (UNKNOWN, (200, False)),
        "absent": (b"", (200, False)),
        "malformed": (b"PROXY TCP4 somewhere\r\n", (400, False)),
    }

    found = {name: proxied(server, header) for name, (header, _) in cases.items()}

    assert found == {name: expected for name, (_, expected) in cases.items()}
    reply = ask(server, "X-Forwarded-For: 192.0.2.1", before=V1)
    assert reply.json()["client"] == ["192.0.2.1", 0]  # the socket's peer is the trusted one
    server.wait_for_log("203.0.113.9 - - [")  # the access log names the source


@pytest.mark.skipif(VERSION < (24, 1), reason="this Gunicorn has only one PROXY protocol")
@pytest.mark.parametrize(("version", "accepted", "refused"), [("v1", V1, V2), ("v2", V2, V1)])
def test_only_the_configured_proxy_protocol_is_read(
    gunicorn: StartGunicorn, version: str, accepted: bytes, refused: bytes
) -> None:
    server = gunicorn(APP, f"--proxy-protocol={version}")

    assert proxied(server, accepted) == (200, True)
    assert proxied(server, refused) == (400, False)


def test_proxy_protocol_of_strangers_is_forbidden(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, "--proxy-protocol", "--proxy-allow-from=10.0.0.1")

    assert proxied(server, V1) == (403, False)
    assert proxied(server, b"") == (200, False)


def test_proxy_protocol_is_off_unless_asked_for(gunicorn: StartGunicorn) -> None:
    assert proxied(gunicorn(APP), V1) == (400, False)


# -- TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Make two self-signed certificates for `localhost`, and the first one's key encrypted."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    folder = tmp_path_factory.mktemp("tls")
    for name in ("one", "two"):
        _openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")),
        )
    _openssl(
        *("rsa", "-aes256", "-passout", "pass:secret"),
        *("-in", str(folder / "one.key"), "-out", str(folder / "encrypted.key")),
    )
    return {path.name: path for path in folder.iterdir()}


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def tls_told(server: RunningGunicorn, authority: Path) -> dict[str, Any]:
    """Return what the application was told over TLS, and how the connection was made."""
    context = ssl.create_default_context(cafile=str(authority))
    with server.connect() as plain, context.wrap_socket(plain, server_hostname="localhost") as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        reply: dict[str, Any] = read_reply(sock).json()
        return reply | {"tls": sock.version()}


def test_tls_with_the_settings_of_the_hook(
    gunicorn: StartGunicorn, certificates: dict[str, Path]
) -> None:
    server = gunicorn(
        APP,
        f"--certfile={certificates['one.pem']}",
        f"--keyfile={certificates['one.key']}",
        config="import ssl\n"
        "def ssl_context(config, default_factory):\n"
        "    context = default_factory()\n"
        "    context.minimum_version = ssl.TLSVersion.TLSv1_3\n"
        "    return context\n",
    )

    found = tls_told(server, certificates["one.pem"])
    assert (found["scheme"], found["tls"]) == ("https", "TLSv1.3")

    old = ssl.create_default_context(cafile=str(certificates["one.pem"]))
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with server.connect() as plain, pytest.raises(ssl.SSLError):
        old.wrap_socket(plain, server_hostname="localhost")

    with server.connect() as plain:  # never answered in the clear
        plain.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"200" not in _read_to_the_end(plain)
    server.wait_for_log("[WARNING]")
    assert "127.0.0.1" in server.log_text()
    assert "Traceback" not in server.log_text()


def _read_to_the_end(sock: socket.socket) -> bytes:
    received = b""
    try:
        while data := sock.recv(4096):
            received += data
    except ConnectionResetError:
        pass
    return received


def test_renewed_certificates_are_loaded_by_a_reload(
    gunicorn: StartGunicorn, certificates: dict[str, Path], tmp_path: Path
) -> None:
    for ending in ("pem", "key"):
        shutil.copy(certificates[f"one.{ending}"], tmp_path / f"site.{ending}")
    server = gunicorn(
        APP, f"--certfile={tmp_path / 'site.pem'}", f"--keyfile={tmp_path / 'site.key'}"
    )
    old = tls_told(server, certificates["one.pem"])["pid"]

    for ending in ("pem", "key"):
        shutil.copy(certificates[f"two.{ending}"], tmp_path / f"site.{ending}")
    server.signal(signal.SIGHUP)
    server.wait_for_workers(1, without={old})

    assert eventually(lambda: tls_told(server, certificates["two.pem"]))["pid"] != old


@pytest.mark.parametrize(
    ("certfile", "keyfile", "config", "words"),
    [
        ("one.pem", "two.key", "", ["the key does not belong to the certificate"]),
        ("one.pem", "encrypted.key", "", ["is encrypted"]),
        (
            "one.pem",
            "one.key",
            "def ssl_context(config, default_factory): return None\n",
            ["the hook ssl_context returned None"],
        ),
    ],
)
def test_without_a_context_nothing_is_served(
    gunicorn: StartGunicorn,
    certificates: dict[str, Path],
    certfile: str,
    keyfile: str,
    config: str,
    words: list[str],
) -> None:
    server = gunicorn(
        APP,
        f"--certfile={certificates[certfile]}",
        f"--keyfile={certificates[keyfile]}",
        config=config,
        expect_exit=3,
    )

    assert server.wait_exit() == 3
    assert [word for word in words if word not in server.log_text()] == []
    assert server.log_text().count("Booting worker") == 1


# Nobody may read the standard library of an interpreter below /root: what a worker loads after it
# has become somebody else is loaded before.
LOADED_EARLY = """
import asyncio.subprocess, concurrent.futures.thread, encodings.idna, hashlib, http
import tests.apps.report, uvicorn_worker.worker
for name in ("uvloop", "httptools", "uvicorn_worker.http1.httptools_parser"):
    try:
        __import__(name)
    except ImportError:
        pass
"""


@pytest.mark.skipif("os.getuid() != 0", reason="only root can become somebody else")
def test_a_key_for_root_only_is_read_before_privileges_are_dropped(
    gunicorn: StartGunicorn, certificates: dict[str, Path]
) -> None:
    key = certificates["one.key"]
    assert key.stat().st_mode & 0o077 == 0
    server = gunicorn(
        APP,
        "--preload",
        "--user=65534",
        "--group=65534",
        "--env=UVICORN_LIFESPAN=off",
        f"--certfile={certificates['one.pem']}",
        f"--keyfile={key}",
        config=LOADED_EARLY,
        bind=["127.0.0.1:0"],
    )

    assert tls_told(server, certificates["one.pem"])["uid"] == 65534
