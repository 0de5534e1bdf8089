"""Every option changes what a real process does: from flags, from variables and from code.

Options that go together are set in one process, which is then asked for each of them. So there
are few processes, and none is told the same thing by two of the three.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import stat
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.support.asking import read_reply
from tests.support.certificates import PASSWORD, Authority, encrypt_key
from tests.support.rawhttp import RawClient
from tests.support.rawws import TEXT, RawWebSocket, frame
from tests.support.tcpqueue import UnreadBytes, backlog
from tests.support.waiting import eventually
from uvicorn_worker.config import Config
from uvicorn_worker.options.declared import options_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.support.command import RunningCommand, StartCommand
    from tests.support.replies import Reply

    Probe = Callable[[RunningCommand], None]

OPTIONS: Final = options_of(Config)
APP: Final = "tests.apps.probe:app"

CODE: Final = "import json, sys, uvicorn_worker; uvicorn_worker.run(**json.loads(sys.argv[1]))"

# Not here, and why not.
ELSEWHERE: Final = {
    "callback_notify": "in code only, see test_programs",
    "env_file": "test_cli and test_sources; it is a place of options itself",
    "health_path": "test_metrics",
    "http2": "refused, see test_programs",
    "reload": "refused, see test_cli",
    "request_id": "test_logging",
    "reset_contextvars": "always so: every request has a context of its own",
    "reuse_port": "test_even_load and test_no_loss",
    "ssl_context_factory": "in code only, see the tests of TLS",
    "timeout_notify": "in code only, see test_programs",
    "warn_blocking": "test_blocking, and test_cli for its places",
    "workers": "refused, see test_cli",
}


def start(
    command: StartCommand, origin: str, options: Mapping[str, str], **others: Any
) -> RunningCommand:
    """Start a server that gets its options as texts on its command line, as variables, in code."""
    server: RunningCommand
    if origin == "flags":
        words = [word for name, text in options.items() for word in _words(name, text)]
        server = command(*words, **others)
    elif origin == "variables":
        env = {OPTIONS[name].variable: text for name, text in options.items()}
        server = command(env=env, **others)
    else:
        values = {name: OPTIONS[name].parse(text, name) for name, text in options.items()}
        server = command(json.dumps(values), command=("-c", CODE), **others)
    return server


def _words(name: str, text: str) -> list[str]:
    option = OPTIONS[name]
    if name == "app":
        return [text]
    if option.kind.metavar:
        return [option.flags[0], text]
    return [option.flags[0] if text == "true" else f"--no-{option.flags[0][2:]}"]


@pytest.fixture(params=["flags", "variables", "code"])
def origin(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# -- asking


def ask_raw(client: RawClient, *lines: str, body: str = "") -> int:
    """Send a request on a connection and return the status of its answer."""
    client.send("\r\n".join([*(lines or ("GET / HTTP/1.1",)), "Host: a", "", body]).encode())
    return client.read_response().status


def status_of(server: RunningCommand, *lines: str, body: str = "") -> int:
    with RawClient(server.tcp) as client:
        return ask_raw(client, *lines, body=body)


def seconds_until_end(server: RunningCommand, data: bytes) -> tuple[bytes, float]:
    """Return what comes back for some bytes, and how long the connection lives."""
    with server.connect() as sock:
        begin = time.monotonic()
        sock.sendall(data)
        found = b"".join(iter(lambda: sock.recv(65536), b""))
        return found, time.monotonic() - begin


# -- requests and responses, with the parsers of pure Python

RULES: Final = {
    "app": APP, "app_dir": "site", "host": "127.0.0.2", "port": "", "http": "h11",
    "loop": "asyncio", "lifespan": "off", "root_path": "/api", "server_header": "false",
    "date_header": "false", "headers": "X-A:1", "sendfile": "false",
    "timeout_keep_alive": "300ms", "timeout_request_head": "0.4", "timeout_request_body": "0.4",
    "disconnect_grace_period": "0.1", "limit_request_line": "200", "limit_request_fields": "20",
    "limit_request_field_size": "300", "limit_request_body": "1KiB", "backlog": "7",
    "proxy_headers": "false", "ws": "wsproto", "ws_max_size": "100", "ws_max_queue": "1",
    "ws_ping_interval": "0.2", "ws_ping_timeout": "0.3", "ws_per_message_deflate": "false",
    "access_log_format": "ACCESS %(m)s %(U)s %(s)s", "access_log_skip": "/quiet",
    "use_colors": "true", "timeout_graceful_shutdown": "2",
}  # fmt: skip


def test_requests_and_responses(command: StartCommand, origin: str) -> None:
    with socket.create_server(("127.0.0.2", 0)) as free:
        port = str(free.getsockname()[1])
    server = start(
        command,
        origin,
        {**RULES, "app": "own:app", "port": port},
        files={"site/own.py": "from tests.apps.probe import app as app"},
    )

    assert server.address == ("127.0.0.2", int(port))
    check_answers(server)
    check_times(server)
    check_limits(server)
    check_websockets(server)
    check_log(server)


def check_answers(server: RunningCommand) -> None:
    reply = server.get("/x", headers={"X-Forwarded-For": "10.1.2.3"})
    told = reply.json()
    assert (told["loop"], told["root_path"], told["client"][0]) == ("asyncio", "/api", "127.0.0.1")
    assert "h11" in reply.headers["x-process"]
    assert "wsproto" in reply.headers["x-process"]
    assert "httptools" not in reply.headers["x-process"]
    assert reply.headers["x-a"] == "1"
    assert reply.headers.keys().isdisjoint({"date", "server"})
    assert server.marks("start") == 0  # lifespan
    assert server.get("/file").status == 200
    assert server.get().headers["x-process"].endswith("copies=0")
    assert backlog(server.tcp) in (7, None)


def check_times(server: RunningCommand) -> None:
    answer, lived = seconds_until_end(server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert 0.2 < lived < 4  # by default 5
    for data in (b"GET / HT", b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"):
        answer, lived = seconds_until_end(server, data)
        assert answer.startswith(b"HTTP/1.1 408")
        assert lived < 20  # by default 30 and 60
    with RawClient(server.tcp) as client:
        client.send(b"GET /sleep?s=60 HTTP/1.1\r\nHost: a\r\n\r\n")
        server.wait_for_mark("sleeping")
        client.reset()
    server.wait_for_mark("cancelled")


def check_limits(server: RunningCommand) -> None:
    fields = [f"X-{number}: a" for number in range(25)]
    length = "Content-Length: 1025"
    assert status_of(server, f"GET /{'a' * 200} HTTP/1.1") == 414
    assert status_of(server, "GET / HTTP/1.1", *fields) == 431
    assert status_of(server, "GET / HTTP/1.1", f"X: {'a' * 300}") == 431
    assert status_of(server, "POST /echo HTTP/1.1", length, body="a" * 1025) == 413


def check_websockets(server: RunningCommand) -> None:
    with RawWebSocket(server.tcp) as client:
        offer = ("Sec-WebSocket-Extensions", "permessage-deflate")
        answer = client.open("/", headers=[offer])
        assert answer.all(b"sec-websocket-extensions") == []
        client.send(frame(TEXT, b"a" * 101))
        assert client.read_close()[0] == 1009
    with RawWebSocket(server.tcp) as client:
        client.open("/")
        begin = time.monotonic()
        assert client.read_frame().opcode == 9
        assert client.read_close()[0] == 1011
        assert time.monotonic() - begin < 15  # by default 20 and 20
    with (
        RawWebSocket(server.tcp) as client,
        contextlib.closing(UnreadBytes(server.tcp, client.address)) as unread,
    ):
        client.open("/deaf")
        for _ in range(3):
            client.send(frame(TEXT, b"a" * 50))

        def held_back() -> bool:
            client.send(frame(TEXT, b"a"))
            return bool(unread.count())

        eventually(held_back)


def check_log(server: RunningCommand) -> None:
    server.get("/quiet")
    server.get("/loud")
    log = server.wait_for_log("ACCESS GET /loud 200")
    assert "/quiet" not in log
    assert "\033[32mINFO\033[0m:" in log


# -- a process and its end, on a UNIX socket

PROCESS: Final = {
    "app": "tests.apps.probe:create_app", "uds": "app.sock", "uds_mode": "600", "factory": "true",
    "log_config": "log.yaml", "log_level": "warning", "access_log": "false", "ws": "none",
    "limit_concurrency": "1", "limit_max_requests": "3", "limit_max_requests_jitter": "1",
    "timeout_graceful_shutdown": "0.2", "interface": "asgi3",
}  # fmt: skip
LOG_CONFIG: Final = """
version: 1
formatters: {own: {format: "OWN %(levelname)s %(message)s"}}
handlers: {file: {class: logging.FileHandler, filename: own.log, formatter: own}}
loggers:
  uvicorn: {handlers: [file], level: INFO}
  uvicorn.access: {handlers: [file], level: INFO, propagate: false}
"""


def test_a_process_and_its_end(
    command: StartCommand, origin: str, clients: Any, tmp_path: Path
) -> None:
    server = start(command, origin, PROCESS, files={"log.yaml": LOG_CONFIG})
    path = server.folder / "app.sock"
    server.listens_on(str(path))
    eventually(path.exists)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    waiting = clients.submit(server.get, "/sleep?s=60")
    server.wait_for_mark("sleeping")
    assert server.get().status == 503
    assert server.get(headers=WEBSOCKET).status == 503  # no handshake: one more request
    server.get()
    with contextlib.suppress(OSError):  # three or, with the jitter, four of them
        server.get()

    assert server.wait_exit() == 0
    waiting.exception()
    assert not path.exists()
    log = (server.folder / "own.log").read_text()
    assert "OWN WARNING Cut off 1 connections" in log
    assert "INFO" not in log


WEBSOCKET: Final = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


# -- what proxies say, on an inherited socket

PROXIES: Final = {
    "app": "tests.apps.probe:DoubleCallable", "interface": "asgi2", "fd": "",
    "limit_connections": "2", "limit_connection_age": "0.3", "limit_connection_age_jitter": "0.1",
    "timeout_request": "0.3", "timeout_request_exempt": "/slow",
    "forwarded_allow_ips": "127.0.0.0/8", "secure_scheme_headers": "X-SSL=on",
    "forwarder_headers": "X_USER", "header_map": "drop", "proxy_protocol": "v1",
    "proxy_allow_ips": "127.0.0.3", "permit_obsolete_folding": "true",
    "permit_unconventional_http_version": "true", "h11_max_incomplete_event_size": "3000",
}  # fmt: skip
PROXY: Final = b"PROXY TCP4 127.0.0.9 127.0.0.1 5 6\r\n"


def test_what_proxies_say(command: StartCommand, origin: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number, address = listener.fileno(), listener.getsockname()
        options = {name: text for name, text in PROXIES.items() if name in OPTIONS}
        server = start(command, origin, {**options, "fd": str(number)}, pass_fds=[number])
    server.listens_on(address)

    with proxied(server) as sock:
        told = ask_proxied(
            sock, "GET / HTTP/1.7", "X_USER: me", "X_OTHER: me", "X-F: a\r\n b"
        ).json()
    fields = dict(told["headers"])
    assert told["client"] == ["127.0.0.9", 5]
    assert (fields["x_user"], fields["x-f"]) == ("me", "a b")
    assert "x_other" not in fields
    with proxied(server) as sock:
        reply = ask_proxied(sock, "GET / HTTP/1.1", "X-SSL: on", "X-Forwarded-For: 10.1.2.3")
    assert (reply.json()["scheme"], reply.json()["client"][0]) == ("https", "10.1.2.3")
    with server.connect() as stranger:  # from 127.0.0.1, which may not
        stranger.sendall(PROXY + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert stranger.recv(100)[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 403", b"")
    check_age(server)
    for path, status in (("/sleep?s=60", 504), ("/slow?s=0.5", 200)):
        with proxied(server) as sock:
            assert ask_proxied(sock, f"GET {path} HTTP/1.1").status == status
    with proxied(server) as first, proxied(server), proxied(server) as third:
        third.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        third.settimeout(0.2)
        with pytest.raises(TimeoutError):
            third.recv(1)
        first.close()
        third.settimeout(10)
        assert third.recv(12) == b"HTTP/1.1 200"


def check_age(server: RunningCommand) -> None:
    """A connection that is old enough is closed with its next answer."""
    with proxied(server) as sock:

        def closing() -> bool:
            reply = ask_proxied(sock, "GET / HTTP/1.1")
            return reply.headers.get("connection") == "close"

        eventually(closing)


@contextlib.contextmanager
def proxied(server: RunningCommand) -> Iterator[socket.socket]:
    with socket.create_connection(server.tcp, 10, source_address=("127.0.0.3", 0)) as sock:
        sock.sendall(PROXY)
        yield sock


def ask_proxied(sock: socket.socket, line: str, *fields: str) -> Reply:
    sock.sendall("\r\n".join([line, "Host: a", *fields, "", ""]).encode())
    return read_reply(sock)


# -- TLS

ENCRYPTED: Final = {
    "app": APP, "bind": "127.0.0.1:0", "ssl_version": "5", "ssl_cert_reqs": "2",
    "ssl_ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256", "ssl_keyfile_password": PASSWORD,
    "timeout_ssl_handshake": "0.3", "log_format": "json", "ssl_certfile": "", "ssl_keyfile": "",
    "ssl_ca_certs": "",
}  # fmt: skip


def test_tls(command: StartCommand, origin: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair, client = authority.issue("server"), authority.issue("client", "/O=Shop/CN=jo")
    files = {
        "ssl_certfile": pair.certificate,
        "ssl_keyfile": encrypt_key(pair.key, tmp_path / "encrypted.key"),
        "ssl_ca_certs": authority.file,
    }
    server = start(command, origin, {**ENCRYPTED, **files})
    records = [json.loads(line) for line in server.wait_for_log("CTRL+C").splitlines()]
    found = re.search(r"https://127.0.0.1:(\d+)", records[-1]["message"])
    assert found
    server.listens_on(("127.0.0.1", int(found[1])))

    context = authority.client_context(client)
    with server.connect() as plain, context.wrap_socket(plain, server_hostname="localhost") as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        tls = read_reply(sock).json()["tls"]
    assert (tls["tls_version"], tls["cipher_suite"]) == (0x0303, 0xC02B)
    assert tls["client_cert_name"] == "CN=jo,O=Shop"
    with server.connect() as plain, pytest.raises((ssl.SSLError, ConnectionError)):
        authority.client_context().wrap_socket(plain, server_hostname="localhost")
    _, lived = seconds_until_end(server, b"")
    assert lived < 10  # by default 15


# -- is that all?


def test_every_option_is_here_or_elsewhere() -> None:
    here = {*RULES, *PROCESS, *PROXIES, *ENCRYPTED}

    assert sorted(OPTIONS.keys() - here - ELSEWHERE.keys()) == []
    assert sorted(here & ELSEWHERE.keys()) == []
