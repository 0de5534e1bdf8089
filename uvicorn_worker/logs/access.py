"""The access log of a server process: one line per exchange, on the logger `uvicorn.access`.

Records are what they are in Uvicorn, whose filters and formatters go on working. Where there is
nothing but a stream and a formatter of ours, as by default, there is no need for a record: the
line is written straight away, which takes a third of the time.
"""

from __future__ import annotations

import logging
import time
import traceback
from typing import TYPE_CHECKING, Final

from uvicorn_worker.logs.exchanges import CLIENT_LEFT, RefusedExchange, Site, show_target
from uvicorn_worker.logs.linesink import LineSink, line_handler
from uvicorn_worker.logs.records import ACCESS_MESSAGE, AccessArgs, RecordMaker, own_methods
from uvicorn_worker.logs.remembered import Remembered
from uvicorn_worker.logs.textlines import make_text_lines

if TYPE_CHECKING:
    from typing import TextIO

    from uvicorn_worker.asgi import Address
    from uvicorn_worker.config import Config
    from uvicorn_worker.logs.lineformat import LineFormat
    from uvicorn_worker.logs.textlines import LineMaker
    from uvicorn_worker.state import Exchange, Log

# Whoever replaces one of these wants to see each record.
LOGGER_METHODS: Final = ("callHandlers", "filter", "handle", "hasHandlers", "isEnabledFor")
HANDLER_METHODS: Final = ("emit", "filter", "format", "handle")


def make_access_log(config: Config) -> AccessLog | None:
    """Return the observer that writes the access lines, None where nobody would see one.

    Call it when logging is configured and the application has started, which may add handlers.
    """
    logger = logging.getLogger("uvicorn.access")
    if config.access_log and logger.isEnabledFor(logging.INFO) and has_reader(logger):
        return AccessLog(config, logger, logging.getLogger("uvicorn.error"))
    return None


def has_reader(logger: logging.Logger) -> bool:
    """Return whether a handler of the logger, or of one above it, shows records of level INFO."""
    above: logging.Logger | None = logger
    while above is not None:
        for handler in above.handlers:
            if handler.level <= logging.INFO and not isinstance(handler, logging.NullHandler):
                return True
        above = above.parent if above.propagate else None
    return False


class AccessLog:
    """Writes the access lines of one server, on its event loop: a `state.RequestObserver`.

    Args:
        logger: gets the lines.
        log: is told what goes wrong.
    """

    __slots__ = (
        "_clock", "_enabled", "_format", "_log", "_logger", "_pending", "_records", "_searched",
        "_second", "_skip", "_stamp", "_targets", "_usual", "_writer",
    )  # fmt: skip

    def __init__(self, config: Config, logger: logging.Logger, log: Log) -> None:
        self._logger = logger
        self._log = log
        self._format: LineFormat | None = None
        if config.access_log_format is not None:
            from uvicorn_worker.logs.lineformat import LineFormat  # for those who have a format

            self._format = LineFormat(config.access_log_format, Site(config.root_path))
        self._skip = frozenset(config.access_log_skip)
        self._targets = Remembered(show_target)
        self._clock = time.monotonic  # the clock of event loops, and so of `Exchange.started`
        self._records = RecordMaker(logger, __file__, "after")
        self._usual = False
        self._enabled = False
        self._writer: DirectWriter | None = None
        self._pending: list[str] = []  # the writer's
        self._searched = self._second = -1
        self._stamp = ""

    def before(self, exchange: Exchange) -> None:
        pass

    def after(self, exchange: Exchange) -> None:
        self._write(exchange, exchange.scope.get("client"), self._clock())

    def refused(self, peer: Address, head: bytes, status: int) -> None:
        exchange = RefusedExchange(peer, head, status)
        self._write(exchange, peer, exchange.started)  # nobody knows how long it took

    def flush(self) -> None:
        """Write what waits for the end of this turn of the event loop, as far as possible."""
        if self._writer is not None:
            self._writer.sink.flush()

    def _write(self, exchange: Exchange, client: Address, now: float) -> None:
        status = exchange.status or CLIENT_LEFT
        path = self._targets[exchange.target]
        if self._skip and status < 400 and path.partition("?")[0] in self._skip:
            return
        created = time.time()
        if not self._pending:  # the first line of this turn of the event loop
            self._look(int(created))
        if not self._enabled:
            return
        scope = exchange.scope
        fields = (
            f"{client[0]}:{client[1]}" if client and client[1] is not None else "",
            scope.get("method", "GET"),  # the handshake of a WebSocket is a GET
            path,
            scope["http_version"],
            status,
        )
        duration = now - exchange.started
        try:
            line = ""
            if self._format is not None:
                line = self._format.make(exchange, client, now, self._stamp)
            writer = self._writer
            if writer is not None:
                made = writer.make_line(fields, exchange, duration, line, created)
                writer.sink.write(made + "\n")
            else:
                args = AccessArgs(fields)
                args.exchange, args.duration, args.line = exchange, duration, line
                self._hand_over(args, created)
        except Exception:  # a formatter's mistake is no reason to lose a request
            self._log.error("%s", traceback.format_exc())

    def _look(self, second: int) -> None:
        """See whether anybody has changed the logger; make what changes once a second."""
        self._enabled = self._logger.isEnabledFor(logging.INFO)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("[%d/%b/%Y:%H:%M:%S %z]", time.localtime(second))
            self._usual = self._records.renew(second, ACCESS_MESSAGE)
        writer = self._writer
        if writer is not None and self._usual and writer.is_valid():
            return
        if writer is not None or second != self._searched:
            self._searched = second
            self._writer = find_direct(self._logger, self._log) if self._usual else None
            self._pending = [] if self._writer is None else self._writer.sink.pending

    def _hand_over(self, args: AccessArgs, created: float) -> None:
        """Have `logging` write the line: somebody wants a record."""
        message = args.line or ACCESS_MESSAGE
        if self._usual:
            record = self._records.make(args, created)
            record.msg = message
            self._logger.handle(record)
        else:
            # not `info`, which would make a plain tuple of the arguments
            self._logger._log(logging.INFO, message, args)


class DirectWriter:
    """Writes lines past `logging`, as long as that makes no difference.

    The logger has one handler, on a stream, and nobody filters.
    """

    __slots__ = ("_formatter", "_handler", "_handlers", "_logger", "_stream", "make_line", "sink")

    def __init__(
        self,
        logger: logging.Logger,
        handler: logging.StreamHandler[TextIO],
        make_line: LineMaker,
        log: Log,
    ) -> None:
        self._logger = logger
        self._handler = handler
        self._handlers = [handler]
        self._stream = handler.stream
        self._formatter = handler.formatter
        self.make_line = make_line
        self.sink = LineSink(handler, log)

    def is_valid(self) -> bool:
        """Return whether nobody has changed the logger or its handler: it takes 0.3 us to ask."""
        logger, handler = self._logger, self._handler
        return (
            logger.handlers == self._handlers
            and not logger.filters
            and not logger.propagate
            and not logger.disabled
            and not handler.filters
            and handler.level <= logging.INFO
            and handler.formatter is self._formatter
            and handler.stream is self._stream
        )


def find_direct(logger: logging.Logger, log: Log) -> DirectWriter | None:
    """Return what writes lines of a logger without records, None where somebody needs them."""
    if (
        type(logger) is not logging.Logger
        or len(logger.handlers) != 1
        or not own_methods(logging.Logger, LOGGER_METHODS)
        or not own_methods(logging.StreamHandler, HANDLER_METHODS)
    ):
        return None
    handler = line_handler(logger.handlers[0])
    if handler is None:
        return None
    make_line = make_text_lines(handler.formatter) or make_json_lines(handler.formatter)
    if make_line is None:
        return None
    writer = DirectWriter(logger, handler, make_line, log)
    return writer if writer.is_valid() else None


def make_json_lines(formatter: logging.Formatter | None) -> LineMaker | None:
    """Return what makes the lines of a JSON formatter of ours, None for any other."""
    from uvicorn_worker.logs.jsonlines import JsonFormatter  # for those who have chosen it

    return formatter.access_line if type(formatter) is JsonFormatter else None
