"""Tells Gunicorn's hooks and its logger about every request."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Protocol

from gunicorn.glogging import Logger

from uvicorn_worker.gunicorn.access import AccessLog
from uvicorn_worker.gunicorn.settings import custom_hook
from uvicorn_worker.gunicorn.views import Objects
from uvicorn_worker.logs.exchanges import Site
from uvicorn_worker.proxies.headers import ForwardingPolicy

if TYPE_CHECKING:
    from uvicorn_worker.asgi import Address
    from uvicorn_worker.gunicorn.settings import Settings
    from uvicorn_worker.state import Exchange, RequestObserver


class HookOwner(Protocol):
    """What is needed of the worker class, which the hooks get as their first argument."""

    cfg: Any
    log: Any
    settings: Settings


def make_observer(worker: HookOwner) -> RequestObserver | None:
    """Return who is told about requests, None where nobody wants to know."""
    cfg = worker.cfg
    forwarding = ForwardingPolicy(worker.settings.config, os.environ)
    site = Site(forwarding.root_path, forwarding.script_name)
    access = AccessLog(worker.log, cfg, own_class=Logger, site=site)
    if custom_hook(cfg, "pre_request") or custom_hook(cfg, "post_request"):
        return HookObserver(worker, access, site)
    return AccessObserver(access) if access.enabled else None


class AccessObserver:
    """Writes the access log."""

    __slots__ = ("_access", "_clock", "_log")

    def __init__(self, access: AccessLog) -> None:
        self._access = access
        self._log = access.log
        self._clock = time.monotonic  # the clock of event loops, and so of `Exchange.started`

    def before(self, exchange: Exchange) -> None:
        pass

    def after(self, exchange: Exchange) -> None:
        self._log(exchange, self._clock())

    def refused(self, peer: Address, head: bytes, status: int) -> None:
        self._access.refused(peer, head, status)


class HookObserver(AccessObserver):
    """Runs the hooks of requests, too. Both get the same `req`."""

    __slots__ = ("_objects", "_post", "_pre", "_site", "_worker")

    def __init__(self, worker: HookOwner, access: AccessLog, site: Site) -> None:
        super().__init__(access)
        self._worker = worker
        self._site = site
        cfg = worker.cfg
        self._pre = cfg.pre_request if custom_hook(cfg, "pre_request") else None
        self._post = cfg.post_request if custom_hook(cfg, "post_request") else None
        self._objects: dict[int, Objects] = {}  # by the identity of the exchange

    def before(self, exchange: Exchange) -> None:
        if self._pre is not None:
            self._objects[id(exchange)] = objects = Objects(exchange, self._site)
            self._pre(self._worker, objects.req)

    def after(self, exchange: Exchange) -> None:
        objects = self._objects.pop(id(exchange), None) or Objects(exchange, self._site)
        self._log(exchange, self._clock(), objects)
        if self._post is None:
            return
        try:
            self._post(self._worker, objects.req, objects.environ, objects.resp)
        except Exception:
            self._worker.log.exception("Exception in the hook post_request")
