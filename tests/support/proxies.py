"""Real proxies for one test, on a loopback port, with the files of deploy/ as they stand.

What a test may change of such a file are its addresses and paths: `with_places`.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.replies import ask
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Address = tuple[str, int]

DEPLOY = Path(__file__).parents[2] / "deploy"

STOP_TIMEOUT = 15.0  # seconds that a proxy may take to end

# What Debian's own nginx.conf says around files in conf.d, less what needs root.
NGINX_CONFIG = """
daemon off;
worker_processes 2;
{user}
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {http}
}}
"""


def with_places(text: str, places: Mapping[str, str]) -> str:
    """Return a configuration with each of `places`, which have to be in it, replaced."""
    for place, other in places.items():
        assert text.count(place) == 1, f"{place!r} is there {text.count(place)} times"
        text = text.replace(place, other)
    return text


def without_comments(text: str) -> str:
    """Return a configuration without lines that are comments, which name places, too."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.lstrip().startswith("#"))


def listening() -> socket.socket:
    """Return a socket for a proxy to inherit; the caller closes it."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    # As nginx passes its sockets on: of two workers one accepts, the other one must not block.
    listener.setblocking(False)
    return listener


@contextlib.contextmanager
def running(
    command: Sequence[str],
    folder: Path,
    *,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    codes: Sequence[int] = (0,),
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a proxy to the end of the block; its output is in `folder`/proxy.log.

    Raises:
        AssertionError: it did not end after SIGTERM, or with another exit code than `codes`.
    """
    log = folder / "proxy.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "HOME": str(folder), **(env or {})},
            pass_fds=pass_fds,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            code = process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        assert code in codes, f"exit code {code}:\n{log.read_text(errors='replace')}"


@contextlib.contextmanager
def nginx(folder: Path, http: str, listener: socket.socket) -> Iterator[Address]:
    """Run nginx with the block `http`, which listens on the address of `listener`; yield that."""
    # Root's workers become somebody else, who may not enter the folders of a test.
    user = "" if os.getuid() else f"user {pwd.getpwuid(0).pw_name};"
    config = folder / "nginx.conf"
    config.write_text(NGINX_CONFIG.format(folder=folder, http=http, user=user))
    host, port = listener.getsockname()
    command = ["nginx", "-p", str(folder), "-c", str(config), "-e", "stderr"]
    fd = listener.fileno()
    with running(command, folder, env={"NGINX": f"{fd};"}, pass_fds=[fd]):
        listener.close()  # ours: a proxy that has gone refuses
        yield host, port


@contextlib.contextmanager
def deployed_nginx(folder: Path, upstream: str, servers: Sequence[str]) -> Iterator[Address]:
    """Run nginx with deploy/nginx/site.conf and an upstream-*.conf, before `servers` in order."""
    with listening() as listener:
        host, port = listener.getsockname()
        site = (DEPLOY / "nginx" / "site.conf").read_text()
        files = {"site.conf": with_places(site, {"listen 80;": f"listen {host}:{port};"})}
        text = without_comments((DEPLOY / "nginx" / upstream).read_text())
        places = [line.split()[1] for line in text.splitlines() if "server " in line]
        files[upstream] = with_places(text, dict(zip(places, servers, strict=True)))
        for name, written in files.items():
            (folder / name).write_text(written)
        http = "\n".join(f"include {folder}/{name};" for name in files)
        with nginx(folder, http, listener) as address:
            yield address


@contextlib.contextmanager
def deployed_haproxy(folder: Path, server: str) -> Iterator[Address]:
    """Run HAProxy with deploy/haproxy/haproxy.cfg before the UNIX socket `server`."""
    with listening() as listener:
        address = listener.getsockname()
        text = without_comments((DEPLOY / "haproxy" / "haproxy.cfg").read_text())
        places = {
            "bind :80": f"bind fd@{listener.fileno()}",
            "unix@/run/shop/http.sock": server,
            "user haproxy": f"user {pwd.getpwuid(os.getuid()).pw_name}",  # who may open it here
            "group www-data": f"group {grp.getgrgid(os.getgid()).gr_name}",
        }
        config = folder / "haproxy.cfg"
        config.write_text(with_places(text, places))
        command = ["haproxy", "-db", "-f", str(config)]
        with running(command, folder, pass_fds=[listener.fileno()], codes=(0, -signal.SIGTERM)):
            listener.close()
            yield address


@contextlib.contextmanager
def deployed_caddy(folder: Path, server: str) -> Iterator[Address]:
    """Run Caddy with deploy/caddy/Caddyfile before the UNIX socket `server`."""
    # Bound, so that the port stays ours, but not listening; Caddy sets the same option.
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", 0))
        host, port = reserved.getsockname()
        text = without_comments((DEPLOY / "caddy" / "Caddyfile").read_text())
        places = {":80 {": f"http://:{port} {{\nbind {host}", "/run/shop/http.sock": server}
        config = folder / "Caddyfile"
        config.write_text("{\nadmin off\n}\n" + with_places(text, places))
        command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(config)]
        with running(command, folder) as process:
            eventually(lambda: _answers((host, port), process), message="Caddy answers")
            yield host, port


def _answers(address: Address, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "it has ended"
    try:
        return bool(ask(address, "/", "GET", None, {"Host": "a"}, 10.0))
    except ConnectionRefusedError:
        return False
