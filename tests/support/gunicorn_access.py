"""Access logs on top of Gunicorn's logger, whose lines are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gunicorn.config import Config
from gunicorn.glogging import Logger

from tests.support.exchange import FakeExchange
from tests.support.gunicorn_config import gunicorn_config
from tests.support.logstate import GUNICORNS, Lines, reset_loggers
from uvicorn_worker.gunicorn.access import AccessLog

if TYPE_CHECKING:
    from uvicorn_worker.logs.exchanges import Site

COMBINED: str = Config().access_log_format
MUCH = FakeExchange(
    target=b'/%41/x"y?a=%20"',
    request_headers=[
        (b"host", b"testserver"),
        (b"referer", b'http://a/?"x"'),
        (b"user-agent", b'Mozilla "5.0" \xe9'),
        (b"x-a", b"1"),
        (b"x-a", b"2"),
        (b"x_odd", b"3"),
        (b"x-odd", b"4"),
    ],
    status=404,
    sent=9,
    response_head=(
        b'HTTP/1.1 404 Not Found\r\nDate: today\r\nX-B: first\r\nx-b: the "last"  \r\n'
        b"content-length: 9\r\n\r\n"
    ),
)
"""An exchange with all that lines can be about."""


def make_config(**changes: object) -> Any:
    return gunicorn_config(errorlog="/dev/null", **changes)


def make_logger(cls: type[Any] = Logger, **changes: object) -> tuple[Any, Lines]:
    """Return a logger of Gunicorn with the access log on, and the lines that it will write."""
    reset_loggers(*GUNICORNS)
    log = cls(make_config(**{"accesslog": "/dev/null", **changes}))
    lines = Lines()
    log.access_log.addHandler(lines)
    return log, lines


def make_access_log(log: Any, site: Site | None = None) -> AccessLog:
    return AccessLog(log, log.cfg, own_class=Logger, site=site)
