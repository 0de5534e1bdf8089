"""TLS as clients see it, and what applications are told of it (ASGI TLS extension 0.2)."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import pytest
from websockets.sync.client import connect as connect_websocket

from tests.support.asking import read_reply
from tests.support.certificates import Authority, Pair
from tests.support.serving import serve
from tests.support.waiting import eventually
from uvicorn_worker.config import Config
from uvicorn_worker.tls.renewal import TLSContexts, make_tls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.support.serving import RunningServer
    from uvicorn_worker.asgi import Receive, Scope, Send

NUMBERS = {
    "TLS_AES_128_GCM_SHA256": 0x1301,
    "TLS_AES_256_GCM_SHA384": 0x1302,
    "TLS_CHACHA20_POLY1305_SHA256": 0x1303,
    "ECDHE-ECDSA-AES128-GCM-SHA256": 0xC02B,
}
"""From the registry of IANA, "TLS Cipher Suites"."""

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what the scope says."""
    told = {"scheme": scope["scheme"], "extensions": scope["extensions"]}
    text = json.dumps(told)
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": text})
        await send({"type": "websocket.close"})
        return
    # The next request must not see what this one does to its own copy.
    for value in (scope["extensions"].get("tls") or {}).values():
        if isinstance(value, list):
            value.append("spoilt")
    scope["extensions"].clear()
    length = str(len(text)).encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]}
    )
    await send({"type": "http.response.body", "body": text.encode()})


class Kind(NamedTuple):
    loop: Any
    http: Any


KINDS = [Kind("uvloop", "httptools"), Kind("asyncio", "h11")]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.loop)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


class World:
    """Whom clients and servers trust, and whom not."""

    def __init__(self, folder: Path) -> None:
        self.root = Authority(folder)
        self.between = Authority(folder, "between", by=self.root)
        self.server = self.root.issue("server")
        self.second = self.root.issue("second")
        self.client = self.between.issue("client", "/C=DE/O=Shop, Ltd/CN=jo")
        elsewhere = folder / "elsewhere"
        elsewhere.mkdir()
        self.stranger = Authority(elsewhere).issue("stranger", "/CN=jo")

    def tls(self, **options: Any) -> TLSContexts:
        """Return the TLS of a server that has the first certificate, unless told otherwise."""
        given = {"certfile": self.server.certificate, "keyfile": self.server.key, **options}
        if "cert_reqs" in options:
            given["ca_certs"] = self.root.file
        tls = make_tls(Config("a:b", **{f"ssl_{name}": value for name, value in given.items()}))
        assert tls is not None
        return tls


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture
def start(world: World, kind: Kind) -> Iterator[Callable[..., RunningServer]]:
    """Start servers that end with the test; keywords are options of TLS, or of the server."""
    with contextlib.ExitStack() as stack:

        def start(settings: dict[str, Any] | None = None, **options: Any) -> RunningServer:
            server: AbstractContextManager[RunningServer] = serve(
                app, loop=kind.loop, http=kind.http, tls=world.tls(**options), **(settings or {})
            )
            return stack.enter_context(server)

        yield start


@contextlib.contextmanager
def connect(
    server: RunningServer, context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection(server.address, 10) as plain,
        context.wrap_socket(plain, server_hostname="localhost", session=session) as sock,
    ):
        yield sock


def ask(sock: ssl.SSLSocket) -> dict[str, Any]:
    """Send a request; return what the application was told of TLS."""
    sock.sendall(REQUEST)
    told: dict[str, Any] = read_reply(sock).json()
    assert told["scheme"] == "https"
    tls: dict[str, Any] = told["extensions"]["tls"]
    return tls


def chain_told(client: Pair) -> list[str]:
    """Return what applications are told of a client's chain: Python before 3.13 knows the leaf."""
    return client.chain if sys.version_info >= (3, 13) else client.chain[:1]


# -- what applications are told


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


# -- clients that people use


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


# -- clients that are refused, or leave


class Client:
    """Clients that do something else than a right handshake; `what` names a method."""

    def __init__(self, plain: socket.socket, world: World) -> None:
        self.plain, self.world = plain, world
        self._sockets = contextlib.ExitStack()

    def act(self, what: str) -> None:
        with self._sockets, contextlib.suppress(OSError):  # whatever becomes of it
            getattr(self, what)()

    def shake(self, context: ssl.SSLContext) -> ssl.SSLSocket:
        sock = context.wrap_socket(self.plain, server_hostname="localhost")
        return self._sockets.enter_context(sock)

    def no_certificate(self) -> None:
        self.shake(self.world.root.client_context()).recv(1)

    def strangers_certificate(self) -> None:
        self.shake(self.world.root.client_context(self.world.stranger)).recv(1)

    def trusts_nobody(self) -> None:
        self.shake(ssl.create_default_context())

    def too_old(self) -> None:
        context = self.world.root.client_context()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        self.shake(context)

    def other_ciphers(self) -> None:
        context = self.world.root.client_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
        self.shake(context)

    def cleartext(self) -> None:
        self.plain.sendall(REQUEST)
        self.plain.recv(1)

    def garbage(self) -> None:
        self.plain.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")
        self.plain.recv(1)

    def probe(self) -> None:
        self.plain.close()

    def leaves_in_handshake(self) -> None:
        self.plain.sendall(b"\x16\x03\x01\x02\x00\x01")
        self.plain.close()

    def resets_in_handshake(self) -> None:
        self.plain.sendall(b"\x16\x03\x01\x02\x00\x01")
        _reset(self.plain)

    def silent(self) -> None:
        assert self.plain.recv(1) == b""

    def leaves_without_a_word(self) -> None:
        sock = self.shake(self.world.root.client_context(self.world.client))
        ask(sock)
        sock.close()  # `unwrap` would send the alert close_notify

    def resets_afterwards(self) -> None:
        sock = self.shake(self.world.root.client_context(self.world.client))
        ask(sock)
        _reset(sock)

    def says_goodbye(self) -> None:
        sock = self.shake(self.world.root.client_context(self.world.client))
        ask(sock)
        sock.unwrap()

    def breaks_the_record(self) -> None:
        sock = self.shake(self.world.root.client_context(self.world.client))
        ask(sock)
        with socket.socket(fileno=sock.detach()) as plain:
            plain.sendall(b"\x17\x03\x03\x00\x20" + b"?" * 32)
            plain.settimeout(10)
            while plain.recv(4096):
                pass


def _reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("no_certificate", "the client has sent no certificate"),
        ("strangers_certificate", "the client's certificate is refused: unable to get local"),
        ("trusts_nobody", "the client does not know who has signed this server's certificate"),
        ("too_old", "no TLS version or cipher that both sides know"),
        ("other_ciphers", "no TLS version or cipher that both sides know"),
        ("cleartext", "cleartext HTTP on a TLS port"),
        ("garbage", "what came is not TLS"),
        ("probe", None),
        ("leaves_in_handshake", None),
        ("resets_in_handshake", None),
        ("silent", None),
        ("leaves_without_a_word", None),
        ("resets_afterwards", None),
        ("says_goodbye", None),
        ("breaks_the_record", None),
    ],
)
def test_who_fails_is_named_once_and_who_leaves_makes_no_noise(
    what: str,
    words: str | None,
    start: Callable[..., RunningServer],
    world: World,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = start(cert_reqs=2, settings={"timeout_ssl_handshake": 0.3})
    with socket.create_connection(server.address, 10) as plain:
        Client(plain, world).act(what)

    with connect(server, world.root.client_context(world.client)) as sock:
        ask(sock)  # the server has turned to the one before by now
    eventually(lambda: not server.server.state.connections)
    if words:
        (warning,) = eventually(lambda: server.messages(logging.WARNING))
        assert warning.startswith(
            f"Invalid request from ip=127.0.0.1: TLS handshake failed: {words}"
        )
    else:
        assert server.messages(logging.WARNING) == []
    assert [record.message for record in caplog.records if record.levelno > logging.INFO] == []


# -- certificates that change


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
