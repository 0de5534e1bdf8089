"""A real proxy in front: what it writes of a request's origin, and what its client cannot."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.proxies import listening, nginx
from tests.support.replies import ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.command import RunningCommand, StartCommand
    from tests.support.proxies import Address

pytestmark = pytest.mark.skipif(
    shutil.which("nginx") is None, reason="needs nginx: apt-get install nginx"
)

# What people write: the customary fields; what the standard wants; and nothing at all.
CONFIG = """
    proxy_http_version 1.1;
    server {{
        listen {host}:{port};
        location /customs {{
            proxy_pass http://unix:{backend};
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto https;
            proxy_set_header X-Forwarded-Host $host;
            proxy_set_header X-Forwarded-Port 8443;
        }}
        location /standard {{
            proxy_pass http://unix:{backend};
            proxy_set_header X-Forwarded-For "";
            proxy_set_header X-Forwarded-Proto "";
            proxy_set_header Forwarded
                '$http_forwarded, for="$remote_addr:$remote_port";proto=https;host="$http_host"';
        }}
    }}
"""


@pytest.fixture
def backend(command: StartCommand) -> RunningCommand:
    """A server behind a UNIX socket, and on a port where strangers come; it trusts neither."""
    server: RunningCommand = command(
        *("tests.apps.report:app", "--bind", "unix:app.sock", "--bind", "127.0.0.1:0"),
        *("--forwarded-allow-ips", "10.9.8.7"),
    )
    server.wait_for_log("(Press CTRL+C to quit)", count=2)
    return server


@pytest.fixture
def front(backend: RunningCommand, tmp_path: Path) -> Iterator[Address]:
    """Where nginx listens."""
    with listening() as listener:
        host, port = listener.getsockname()
        http = CONFIG.format(host=host, port=port, backend=backend.address)
        with nginx(tmp_path, http, listener) as address:
            yield address


def told(front: Address, path: str, **fields: str) -> dict[str, Any]:
    """Return what the application was told of a request through the proxy."""
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    reply = ask(front, path, "GET", None, {"Host": "shop.example", **headers}, 10.0)
    assert reply.status == 200, reply
    found: dict[str, Any] = reply.json()
    return found


def test_nginx_tells_where_requests_come_from(backend: RunningCommand, front: Address) -> None:
    customs = told(
        front,
        "/customs",
        X_Forwarded_For="6.6.6.6",
        X_Forwarded_Host="evil",
        Forwarded="for=6.6.6.6",
    )
    assert (customs["client"], customs["scheme"]) == (["127.0.0.1", 0], "https")
    assert customs["server"] == ["shop.example", 8443]

    standard = told(front, "/standard", Forwarded="for=6.6.6.6;proto=http;host=evil")
    assert standard["client"][0] == "127.0.0.1"
    assert standard["client"][1] > 0
    assert (standard["scheme"], standard["server"]) == ("https", ["shop.example", 443])

    open_quote = {"Host": "shop.example", "Forwarded": 'for="6.6.6.6'}
    assert ask(front, "/standard", "GET", None, open_quote, 10.0).status == 400

    backend.wait_for_log("Proxy headers are believed from 10.9.8.7 and UNIX sockets")


def test_a_proxy_that_is_not_trusted_is_named_once(backend: RunningCommand) -> None:
    found = re.search(r"running on http://(\S+):(\d+) ", backend.log_text())
    assert found
    address = found[1], int(found[2])

    for field in ("X-Forwarded-For", "Forwarded"):
        reply = ask(
            address, "/", "GET", None, {field: "for=192.0.2.1", "X-Forwarded-Proto": "https"}, 10.0
        )
        assert (reply.json()["scheme"], reply.json()["client"][0]) == ("http", "127.0.0.1")

    log = backend.wait_for_log("X-Forwarded-For from 127.0.0.1 is ignored")
    assert log.count("is ignored: add it to forwarded_allow_ips if it is your proxy") == 1
