"""Requests and responses as Gunicorn's hooks and loggers know them, made from an `Exchange`.

Nothing is made before it is asked for, and what was made is plain: attributes, lists and a dict,
nobody else's. The names are those of Gunicorn's own objects.
"""

from __future__ import annotations

from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING

from uvicorn_worker.logs.exchanges import (
    RefusedExchange,
    endpoint,
    make_environ,
    method,
    proxy_info,
    scheme,
    split_target,
)

if TYPE_CHECKING:
    from uvicorn_worker.logs.exchanges import Site
    from uvicorn_worker.proxies.proxy_protocol import ProxyInfo
    from uvicorn_worker.state import Exchange


class Objects:
    """The objects of one exchange; each is made at its first use, and kept.

    `resp` shows the response as it is then: ask for it when the response has ended.
    """

    def __init__(self, exchange: Exchange, site: Site) -> None:
        self._exchange = exchange
        self._site = site

    @cached_property
    def req(self) -> RequestView:
        return RequestView(self._exchange)

    @cached_property
    def environ(self) -> dict[str, str]:
        return make_environ(self._exchange, self._site)

    @cached_property
    def resp(self) -> ResponseView:
        return ResponseView(self._exchange)


class RequestView:
    """A request. Field names in `headers` are upper-case, as in Gunicorn's requests."""

    def __init__(self, exchange: Exchange) -> None:
        scope = exchange.scope
        self.method = method(scope)
        self.uri = exchange.target.decode("latin-1")
        self.path, self.query = split_target(self.uri)
        self.fragment = ""
        major, _, minor = scope["http_version"].partition(".")
        self.version = (int(major or 0), int(minor or 0))
        self.headers = [
            (name.decode("latin-1").upper(), value.decode("latin-1"))
            for name, value in exchange.request_headers
        ]
        self.trailers: list[tuple[str, str]] = []
        self.scheme = scheme(scope)
        # An empty string stands for the peer of a UNIX socket.
        self.peer_addr: tuple[str, int] | str = endpoint(exchange.peer) or ""
        self.remote_addr = self.peer_addr
        self.proxy_protocol_info = _describe_proxy(proxy_info(exchange))
        self.body = None

    def should_close(self) -> bool:
        """Return whether the request wants the connection closed behind its response."""
        for name, value in self.headers:
            if name == "CONNECTION":
                options = {option.strip(" \t") for option in value.lower().split(",")}
                if "close" in options:
                    return True
                if "keep-alive" in options:
                    return False
        return self.version <= (1, 0)


class ResponseView:
    """A response, as far as it was sent. `sent` is None where nobody counted."""

    def __init__(self, exchange: Exchange) -> None:
        status, lines = _split_head(exchange.response_head)
        # A client that left before there was any response: Gunicorn's workers say 500, too.
        self.status_code = exchange.status or 500
        self.status = status or f"{self.status_code} {_phrase(self.status_code)}".rstrip()
        self.headers = lines
        self.sent: int | None = None if isinstance(exchange, RefusedExchange) else exchange.sent
        lengths = [value for name, value in lines if name.lower() == "content-length"]
        self.response_length = int(lengths[0]) if lengths else None


def _describe_proxy(info: ProxyInfo | None) -> dict[str, str | int | None] | None:
    if info is None:
        return None
    client, server = info.source or (None, None), info.destination or (None, None)
    return {
        "proxy_protocol": info.family,
        "client_addr": client[0],
        "client_port": client[1],
        "proxy_addr": server[0],
        "proxy_port": server[1],
    }


def _split_head(head: bytes) -> tuple[str, list[tuple[str, str]]]:
    """Return status (code and reason) and fields of a response's head; empty where it is."""
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = []
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            fields.append((name, value.strip(" \t")))
    return first.partition(" ")[2].strip(), fields


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
