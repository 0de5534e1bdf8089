"""Configures `logging` for a server process, and opens its files again.

The root logger is left to the application, and loggers that exist go on as they are, unless the
user's own configuration says otherwise.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from uvicorn_worker import logging as formats
from uvicorn_worker.config import LOGGING_CONFIG, TRACE, default_logging
from uvicorn_worker.errors import ConfigError
from uvicorn_worker.logging import ColourizedFormatter
from uvicorn_worker.logs.builtin import apply_builtin
from uvicorn_worker.logs.files import read_log_config

if TYPE_CHECKING:
    import configparser
    from collections.abc import Iterator

    from uvicorn_worker.config import Config

# Whose level `log_level` is.
LOGGERS: Final = (
    "uvicorn",
    "uvicorn.error",
    "uvicorn.access",
    "uvicorn.asgi",
    "uvicorn.supervisor",
)
HOME: Final = "uvicorn_worker.logging."
# Configurations name Uvicorn's classes, which need not be installed.
FOREIGN_HOME: Final = "uvicorn.logging."
JSON_FORMATTER: Final = HOME + "JsonFormatter"
ACCESS_FORMATTER: Final = HOME + "AccessFormatter"
TEXT_FORMATTERS: Final = frozenset(HOME + name for name in formats.__all__) - {JSON_FORMATTER}


def configure_logging(config: Config) -> None:
    """Set up the loggers as the configuration says; may be called again.

    Its `log_level` wins over what `log_config` says. `log_config=None` leaves handlers and
    formatters to the application.

    Raises:
        ConfigError: `log_config` cannot be read or used, or does not go with another option.
    """
    logging.addLevelName(TRACE, "TRACE")
    _check(config)
    if config.log_config is not None:
        loaded = read_log_config(config.log_config)
        builtin = loaded == default_logging()
        _adapt(loaded, config)
        if builtin and isinstance(loaded, dict):
            apply_builtin(loaded)
        else:
            _apply(loaded, config)
        _choose_colors()
    if config.log_level is not None:
        level = config.log_level
        number = TRACE if level == "trace" else level.upper() if isinstance(level, str) else level
        for name in LOGGERS:
            logging.getLogger(name).setLevel(number)
    if not config.access_log:
        access = logging.getLogger("uvicorn.access")
        access.handlers = []
        access.propagate = False


def reopen_logs() -> None:
    """Open the files of all handlers again: somebody has moved them away.

    A file that cannot be opened goes on being written where it is now.
    """
    for handler in _handlers():
        if isinstance(handler, logging.FileHandler):
            _reopen(handler)


def _reopen(handler: logging.FileHandler) -> None:
    if handler.stream is None:
        return  # opened at the first record
    handler.mode = handler.mode.replace("w", "a")  # it was emptied when it was opened first
    try:
        old = handler.setStream(handler._open())
        if old is not None:
            old.close()
    except OSError as exc:
        logging.getLogger("uvicorn.error").error(
            "Cannot reopen the log %s: %s", handler.baseFilename, exc.strerror or exc
        )


def _handlers() -> Iterator[logging.Handler]:
    """Yield every handler of every logger once, and those that handlers hand records to."""
    loggers: list[Any] = [logging.getLogger(), *logging.getLogger().manager.loggerDict.values()]
    waiting = [handler for logger in loggers for handler in getattr(logger, "handlers", ())]
    seen: set[int] = set()
    while waiting:
        handler = waiting.pop()
        if id(handler) in seen:
            continue
        seen.add(id(handler))
        if isinstance(target := getattr(handler, "target", None), logging.Handler):
            waiting.append(target)  # MemoryHandler
        listener = getattr(handler, "listener", None)  # QueueHandler, Python 3.12
        waiting += getattr(listener, "handlers", ())
        yield handler


def _check(config: Config) -> None:
    """Refuse what could only be found out at the first request, or would do nothing."""
    if config.log_format == "json" and config.log_config is None:
        raise ConfigError("log_format='json' needs a log_config: the built-in one, or your own")
    if config.access_log_format is not None:
        from uvicorn_worker.logs.atoms import format_problem  # 1 ms of a start, for few servers

        if problem := format_problem(config.access_log_format):
            raise ConfigError(f"access_log_format={config.access_log_format!r}: {problem}")


# -- what options change in a configuration


def _adapt(loaded: dict[str, Any] | configparser.RawConfigParser, config: Config) -> None:
    if isinstance(loaded, dict):
        loaded.setdefault("disable_existing_loggers", False)
        formatters = loaded.get("formatters")
        specs = list(formatters.values()) if isinstance(formatters, dict) else []
        specs = [spec for spec in specs if isinstance(spec, dict)]
    else:
        specs = [loaded[name] for name in loaded.sections() if name.startswith("formatter_")]
    found = sum(_adapt_formatter(spec, config) for spec in specs)
    if config.log_format == "json" and not found:
        raise ConfigError(
            f"log_format='json': log_config has formatters of its own; name {JSON_FORMATTER} there"
        )


def _adapt_formatter(spec: Any, config: Config) -> bool:
    """Change one formatter; return whether it is one that `log_format` is about.

    `spec` maps, in a dict and in a section of a file.
    """
    key = "()" if "()" in spec else "class"
    name = spec.get(key)
    if isinstance(name, type):
        name = HOME + name.__name__ if _is_public(name) else None
    if not isinstance(name, str):
        return False
    if name.startswith(FOREIGN_HOME):
        name = spec[key] = HOME + name.removeprefix(FOREIGN_HOME)
    if name not in TEXT_FORMATTERS:
        return name == JSON_FORMATTER
    if config.log_format == "json":
        spec[key] = JSON_FORMATTER
    elif config.access_log_format is not None and name == ACCESS_FORMATTER:
        spec["fmt" if key == "()" else "format"] = "%(message)s"
    if config.use_colors is not None and key == "()":
        spec["use_colors"] = config.use_colors
    return True


def _is_public(cls: type[Any]) -> bool:
    return cls.__name__ in formats.__all__ and getattr(formats, cls.__name__) is cls


def _apply(loaded: dict[str, Any] | configparser.RawConfigParser, config: Config) -> None:
    import logging.config  # 4 ms of a start

    try:
        if isinstance(loaded, dict):
            logging.config.dictConfig(loaded)
        else:
            logging.config.fileConfig(loaded, disable_existing_loggers=False)
    except Exception as exc:  # whatever the classes raise that it names
        raise ConfigError(f"{_name(config.log_config)}: {_complaint(exc)}") from None


def _name(given: object) -> str:
    if isinstance(given, str):
        return f"log_config={given!r}"
    return "LOGGING_CONFIG" if given is LOGGING_CONFIG else "log_config"


def _complaint(exc: BaseException) -> str:
    """Return in one line what is wrong; `dictConfig` hides the reason in the cause."""
    lines = [" ".join(f"{exc}".split()) or type(exc).__name__]
    while (cause := exc.__cause__) is not None:
        exc = cause
        lines.append(f"{type(exc).__name__}: {' '.join(f'{exc}'.split())}")
    return ": ".join(dict.fromkeys(lines))


def _choose_colors() -> None:
    """Let text formatters that nobody has told use colours where their handler's stream can."""
    for handler in _handlers():
        formatter = handler.formatter
        stream = getattr(handler, "stream", None)
        if isinstance(formatter, ColourizedFormatter) and not formatter.decided:
            handler.setFormatter(formatter.for_stream(stream))
