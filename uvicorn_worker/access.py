"""The access log of a server process without Gunicorn."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from uvicorn_worker.logging import AccessArgs

if TYPE_CHECKING:
    from uvicorn_worker.asgi import Address
    from uvicorn_worker.config import Config
    from uvicorn_worker.state import Exchange, RequestObserver


def make_access_log(config: Config) -> RequestObserver | None:
    """Return who writes the access lines, None where nobody would see one.

    Call it when logging is configured and the application is loaded.
    """
    logger = logging.getLogger("uvicorn.access")
    if not (config.access_log and logger.hasHandlers() and logger.isEnabledFor(logging.INFO)):
        return None
    return AccessLog(logger)


class AccessLog:
    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def before(self, exchange: Exchange) -> None:
        pass

    def after(self, exchange: Exchange) -> None:
        scope = exchange.scope
        client = scope["client"]
        args = AccessArgs(
            (
                f"{client[0]}:{client[1]}" if client and client[1] is not None else "",
                scope.get("method", "GET"),
                exchange.target.decode("latin-1"),
                scope["http_version"],
                exchange.status or 499,
            )
        )
        args.exchange = exchange
        args.duration = max(0.0, time.monotonic() - exchange.started)
        self._logger.info('%s - "%s %s HTTP/%s" %d', *args)

    def refused(self, peer: Address, head: bytes, status: int) -> None:
        pass
