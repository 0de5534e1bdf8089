"""Policies for forwarding headers, and scopes that they change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn_worker.proxies.headers import ForwardingPolicy
from uvicorn_worker.serverconfig import ServerConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from uvicorn_worker.asgi import Scope

PEER = ("127.0.0.1", 50000)
LOCAL = ("10.9.8.7", 8000)


def make_policy(environ: Mapping[str, str] | None = None, **settings: Any) -> ForwardingPolicy:
    return ForwardingPolicy(ServerConfig(**settings), environ or {})


def make_scope(path: str = "/", *, kind: str = "http", root_path: str = "") -> Scope:
    return {
        "type": kind,
        "scheme": "http" if kind == "http" else "ws",
        "client": PEER,
        "server": LOCAL,
        "root_path": root_path,
        "path": root_path + path,
        "raw_path": (root_path + path).encode(),
    }
