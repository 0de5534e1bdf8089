"""What all HTTP/1 connections of a process share, ready for use on the hot path."""

from __future__ import annotations

import contextvars
import sys
from asyncio import Task
from functools import partial
from typing import TYPE_CHECKING, Any

from uvicorn_worker.http1.scope import ScopeBuilder
from uvicorn_worker.proxies.peers import PeerList
from uvicorn_worker.state import ServerState

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine
    from typing import TypeAlias

    from uvicorn_worker.asgi import Address, Application
    from uvicorn_worker.http1.connection import HTTPConnection
    from uvicorn_worker.http1.reader import RequestReader
    from uvicorn_worker.http1.request import Request
    from uvicorn_worker.proxies.headers import ForwardingPolicy
    from uvicorn_worker.serverconfig import ServerConfig
    from uvicorn_worker.state import Log

    TaskMaker: TypeAlias = Callable[[Coroutine[Any, Any, None]], Task[None]]


class HTTPState(ServerState):
    """The server's state, and what HTTP needs of its configuration."""

    __slots__ = ("body_limit", "connection_age", "context", "filters", "forwarding", "gathers",
                 "healthy", "keep_alive", "late_requests", "limit_concurrency", "new_task",
                 "plain", "proxy_peers",
                 "reader", "scopes", "tls_extension", "websocket")  # fmt: skip

    def __init__(
        self,
        config: ServerConfig,
        app: Application,
        loop: asyncio.AbstractEventLoop,
        log: Log,
        *,
        reader: RequestReader,
        forwarding: ForwardingPolicy,
        tls_extension: Callable[[asyncio.BaseTransport], dict[str, Any]] | None,
    ) -> None:
        tls = tls_extension is not None
        super().__init__(config, app, loop, log, tls=tls)
        # Returns what the scope says of an encrypted connection; None where none is.
        self.tls_extension = tls_extension
        self.reader = reader
        self.forwarding = forwarding
        self.filters = forwarding.filters
        self.websocket: Callable[[HTTPConnection, Request, bytes], None] | None = None
        # What an application's call sees of context variables: those of the server's start.
        self.context = contextvars.copy_context()
        self.new_task = task_maker(loop)
        # asyncio's `writelines` joins, or forgets to pause (CVE-2024-12254, mended in 3.12.9 and
        # 3.13.2); uvloop's hands all parts to one system call.
        self.gathers = type(loop).__module__.startswith("uvloop")
        self.proxy_peers = PeerList(config.proxy_allow_ips)
        self.keep_alive = config.timeout_keep_alive
        self.connection_age = config.limit_connection_age
        # Connections on which input came when they had just been closed for idleness.
        self.late_requests = 0
        # Whether it makes sense to send requests, for `health_path`.
        self.healthy: Callable[[], bool] = lambda: not self.draining
        # Whether requests of one connection are treated alike however often they come.
        self.plain = not (tls or self.connection_age or forwarding.script_name)
        self.body_limit: float = config.limit_request_body or float("inf")
        # A small number for none: Python compares those, and no others, in its own loop.
        self.limit_concurrency = config.limit_concurrency or 1_000_000_000
        self.scopes = ScopeBuilder(
            scheme="https" if tls else "http",
            root_path=forwarding.root_path,
            path_prefix=forwarding.path_prefix,
            raw_path_prefix=forwarding.raw_path_prefix,
            state=self.lifespan_state,
        )

    def count_late(self, peer: Address) -> None:
        """Count a request that came too late for its connection; say once what helps."""
        self.late_requests += 1
        if self.late_requests == 1:
            self.log.warning(
                "A request from %s came just after its connection had been closed, idle for "
                "timeout_keep_alive=%g: if that is your proxy, it keeps connections longer, and "
                "says 502 then. Set timeout_keep_alive above the proxy's own timeout (nginx 60 s, "
                "load balancers of AWS 60 s, of Google 600 s)",
                peer[0] if peer else "a UNIX socket",
                self.config.timeout_keep_alive,
            )


def task_maker(loop: asyncio.AbstractEventLoop) -> TaskMaker:
    """Return what makes tasks on `loop`.

    Where Python can, they run until their first real wait while they are made: that saves a turn
    of the loop.
    """
    if sys.version_info >= (3, 12):
        return partial(Task, loop=loop, eager_start=True)
    return loop.create_task


def start_task(state: HTTPState, call: Coroutine[Any, Any, None]) -> Task[None]:
    """Start the application's call in a context of its own.

    What one request sets in context variables must not be seen by the next: a task takes a copy of
    the context in which it is made.
    """
    try:
        return state.context.run(state.new_task, call)
    except RuntimeError:  # in use: an application runs the loop inside of its own call
        return state.context.copy().run(state.new_task, call)
