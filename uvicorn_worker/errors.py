"""Everything this package raises on purpose, and the exit codes of a worker process.

WorkerError
├── ConfigError(ValueError)       a setting cannot be honoured: value, place, remedy
│   └── UsageError                a command line that means nothing
├── AppLoadError                  the application could not be imported
├── LifespanError                 the application refused to start
├── BadRequest                    the peer's fault; carries the status to answer with
├── ProtocolViolation             the peer's fault on a WebSocket; carries the close code
├── ApplicationError              the application broke the ASGI contract
└── ClientDisconnected(OSError)   `send` after the client left (ASGI HTTP 2.4)
"""

from __future__ import annotations

from typing import Final

# Exit codes: Gunicorn's arbiter gives 3 and 4 a meaning of their own (no respawn).
EXIT_STOPPED: Final = 0
EXIT_ABORTED: Final = 1
EXIT_CONFIG_ERROR: Final = 1
EXIT_USAGE: Final = 2
EXIT_BOOT_ERROR: Final = 3
EXIT_APP_LOAD_ERROR: Final = 4
# sysexits.h: EX_SOFTWARE. The application has ended the process; whatever it said is not one of
# the codes above, which a supervisor acts on.
EXIT_APP_EXITED: Final = 70


class WorkerError(Exception):
    """Base of all errors that this package raises on purpose."""


class ConfigError(WorkerError, ValueError):
    """A setting has a value that cannot be honoured."""


class UsageError(ConfigError):
    """A command line is wrong."""


class AppLoadError(WorkerError):
    """The application could not be imported, or is no ASGI application."""


class LifespanError(WorkerError):
    """The application reported or raised a failure while starting up."""


class BadRequest(WorkerError):
    """The peer sent something that must be refused.

    `status` is the status code of the answer, `reason` one line for the log.
    """

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class ProtocolViolation(WorkerError):
    """The peer of a WebSocket sent something that ends the connection.

    `code` is the close code to answer with, `reason` what to say with it.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class ApplicationError(WorkerError):
    """The application sent what ASGI does not allow; raised out of its own `send`."""


class ClientDisconnected(WorkerError, OSError):
    """The client left before its response was complete (ASGI HTTP 2.4: an OSError)."""


def exit_code(exc: WorkerError) -> int:
    """Return the exit code of a process that cannot start because of this."""
    for kind, code in _EXIT_CODES:
        if isinstance(exc, kind):
            return code
    return EXIT_ABORTED


_EXIT_CODES: Final[tuple[tuple[type[WorkerError], int], ...]] = (
    (UsageError, EXIT_USAGE),
    (ConfigError, EXIT_CONFIG_ERROR),
    (LifespanError, EXIT_BOOT_ERROR),
    (AppLoadError, EXIT_APP_LOAD_ERROR),
)
