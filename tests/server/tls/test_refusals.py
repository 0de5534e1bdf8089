"""Clients that are refused, or leave: who fails is named, who leaves makes no noise."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import struct
import warnings
from typing import TYPE_CHECKING

import pytest

from tests.server.tls.harness import REQUEST, World, ask, connect
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.serving import RunningServer


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
