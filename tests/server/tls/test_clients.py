"""TLS as clients see it: what people use, and certificates that change."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import warnings
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.server.tls.harness import Kind, World, app, ask, connect
from tests.support.serving import serve
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.certificates import Pair
    from tests.support.serving import RunningServer


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_curl(start: Callable[..., RunningServer], world: World) -> None:
    server = start(cert_reqs=2)
    command = ["curl", "--silent", "--show-error", "--max-time", "10", "--cacert", world.root.file]
    certificate = ["--cert", world.client.certificate, "--key", world.client.key]
    url = f"https://localhost:{server.port}/"

    done = subprocess.run([*command, *certificate, url], capture_output=True, check=True)
    refused = subprocess.run([*command, url], capture_output=True, check=False)

    assert json.loads(done.stdout)["extensions"]["tls"]["client_cert_name"].startswith("CN=jo,")
    assert refused.returncode != 0
    assert refused.stdout == b""


def test_httpx(start: Callable[..., RunningServer], world: World) -> None:
    server = start(cert_reqs=1)
    context = world.root.client_context(world.client)
    with httpx.Client(verify=context, trust_env=False) as client:
        answers = [client.get(f"https://localhost:{server.port}/").json() for _ in range(3)]

    assert [answer["extensions"]["tls"]["client_cert_name"] for answer in answers] == (
        [r"CN=jo,O=Shop\, Ltd,C=DE"] * 3
    )


@pytest.mark.parametrize(
    ("offered", "chosen"), [(["h2", "http/1.1"], "http/1.1"), (["h2"], None), ([], None)]
)
def test_http_1_1_is_what_alpn_chooses(
    offered: list[str], chosen: str | None, start: Callable[..., RunningServer], world: World
) -> None:
    context = world.root.client_context()
    if offered:
        context.set_alpn_protocols(offered)

    with connect(start(), context) as sock:
        assert sock.selected_alpn_protocol() == chosen
        ask(sock)


@pytest.mark.parametrize(("number", "version"), [(3, "TLSv1"), (4, "TLSv1.1"), (5, "TLSv1.2")])
def test_old_protocol_is_spoken_where_it_is_asked_for(
    number: int, version: str, start: Callable[..., RunningServer], world: World
) -> None:
    context = world.root.client_context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")

    with connect(start(version=number), context) as sock:
        assert ask(sock)["tls_version"] == 0x0301 + number - 3
        assert sock.version() == version


@pytest.mark.slow
def test_new_connections_get_the_certificate_that_is_on_disk(
    kind: Kind, world: World, tmp_path: Path
) -> None:
    paths = {end: str(tmp_path / f"site.{end}") for end in ("pem", "key")}

    def install(pair: Pair) -> None:
        shutil.copy(pair.certificate, paths["pem"])
        shutil.copy(pair.key, paths["key"])

    def shown() -> str:
        with connect(server, world.root.client_context()) as sock:
            return ssl.DER_cert_to_PEM_cert(sock.getpeercert(binary_form=True) or b"")

    install(world.server)
    tls = world.tls(certfile=paths["pem"], keyfile=paths["key"])
    with (
        serve(app, loop=kind.loop, http=kind.http, tls=tls) as server,
        connect(server, world.root.client_context()) as before,
    ):
        assert shown() == world.server.chain[0]
        install(world.second)
        eventually(lambda: shown() == world.second.chain[0])

        assert ask(before)["server_cert"] == world.server.chain[0]  # what this one was shown
        with connect(server, world.root.client_context()) as after:
            assert ask(after)["server_cert"] == world.second.chain[0]
