"""What applications are told of a connection (ASGI TLS extension 0.2)."""

from __future__ import annotations

import json
import ssl
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.sync.client import connect as connect_websocket

from tests.server.tls.harness import NUMBERS, Kind, World, app, ask, chain_told, connect
from tests.support.serving import serve

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.serving import RunningServer
    from uvicorn_worker.config import Config


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_extension_tells_of_both_ends(
    version: str, start: Callable[..., RunningServer], world: World
) -> None:
    context = world.root.client_context(world.client)
    context.maximum_version = ssl.TLSVersion[version]
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")  # of TLS 1.2

    with connect(start(cert_reqs=2), context) as sock:
        for _ in range(2):  # the second time from what is kept
            assert ask(sock) == {
                "server_cert": world.server.chain[0],
                "client_cert_chain": chain_told(world.client),
                "client_cert_name": r"CN=jo,O=Shop\, Ltd,C=DE",
                "client_cert_error": None,
                "tls_version": {"TLSv1_2": 0x0303, "TLSv1_3": 0x0304}[version],
                "cipher_suite": NUMBERS[(sock.cipher() or ("",))[0]],
            }


def test_resumed_session_knows_the_client(
    start: Callable[..., RunningServer], world: World
) -> None:
    context = world.root.client_context(world.client)
    server = start(cert_reqs=2)
    with connect(server, context) as sock:
        ask(sock)
        session = sock.session

    with connect(server, context, session) as sock:
        told = ask(sock)
        assert sock.session_reused

    assert told["client_cert_chain"][:1] == world.client.chain[:1]
    assert told["client_cert_name"] == r"CN=jo,O=Shop\, Ltd,C=DE"


@pytest.mark.parametrize("cert_reqs", [0, 1])
def test_without_client_certificate_there_is_no_name(
    cert_reqs: int, start: Callable[..., RunningServer], world: World
) -> None:
    with connect(start(cert_reqs=cert_reqs), world.root.client_context()) as sock:
        told = ask(sock)

    assert (told["client_cert_chain"], told["client_cert_name"]) == ([], None)


def test_certificate_that_nobody_asked_for_is_not_told(
    start: Callable[..., RunningServer], world: World
) -> None:
    """It is not sent: and if it was, nobody would have verified it."""
    with connect(start(), world.root.client_context(world.client)) as sock:
        assert ask(sock)["client_cert_name"] is None


def test_plain_connection_has_no_extension(kind: Kind) -> None:
    with serve(app, loop=kind.loop, http=kind.http) as server:
        told = httpx.get(server.url).json()

    assert "tls" not in told["extensions"]


def test_context_chosen_by_server_name_has_a_certificate_that_nobody_knows(
    start: Callable[..., RunningServer], world: World
) -> None:
    def factory(config: Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        other.load_cert_chain(world.second.certificate, world.second.key)

        def choose(sock: Any, name: str | None, _: ssl.SSLContext) -> None:
            sock.context = other

        context = default()
        context.sni_callback = choose
        return context

    with connect(start(context_factory=factory), world.root.client_context()) as sock:
        told = ask(sock)
        shown = ssl.DER_cert_to_PEM_cert(sock.getpeercert(binary_form=True) or b"")

    assert shown == world.second.chain[0]
    assert told["server_cert"] is None
    assert told["cipher_suite"] in NUMBERS.values()


def test_websocket_is_told_the_same(start: Callable[..., RunningServer], world: World) -> None:
    server = start(cert_reqs=2)
    context = world.root.client_context(world.client)
    with connect_websocket(f"wss://localhost:{server.port}/", ssl=context) as client:
        told = json.loads(client.recv())
    with connect(server, context) as sock:
        over_http = ask(sock)

    assert told["scheme"] == "wss"
    assert told["extensions"]["tls"] == over_http
