"""Where a supervisor is asked: `--control`, `--metrics`, `--web`; their addresses and sockets."""

from __future__ import annotations

import contextlib
import ipaddress
import os
from typing import TYPE_CHECKING, Final

from uvicorn_worker.errors import ConfigError
from uvicorn_worker.metrics.answers import check_installed
from uvicorn_worker.sockets.binds import TCP, Unix, binds_of, parse_bind
from uvicorn_worker.sockets.opening import open_bind

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from uvicorn_supervisor.config import SupervisorConfig

CONTROL: Final = "control"
METRICS: Final = "metrics"
WEB: Final = "web"

# Whoever may connect to the control socket can stop the server: its user, and root.
CONTROL_MODE: Final = 0o600
# Figures are as public as the server's own socket is by default.
METRICS_MODE: Final = 0o666

BACKLOG: Final = 64

NO_PORT: Final = -1


def addresses(config: SupervisorConfig) -> dict[str, TCP | Unix]:
    """Return where the configuration says that questions are taken, by the option's name.

    Raises:
        ConfigError: an address cannot be read, or is taken by the server itself.
    """
    found: dict[str, TCP | Unix] = {}
    if config.control is not None:
        path = config.control.removeprefix("unix:")
        found[CONTROL] = Unix(path if path.startswith("@") else os.path.abspath(path))
    if config.metrics is not None:
        check_installed("--metrics")
        found[METRICS] = _parse(METRICS, config.metrics)
    if config.web is not None:
        found[WEB] = _parse(WEB, config.web)
    _refuse_taken(found, config)
    return found


def _refuse_taken(found: Mapping[str, TCP | Unix], config: SupervisorConfig) -> None:
    """Raise ConfigError for the server's own address: the kernel would blame another process."""
    own = "the server listens there itself"
    taken: dict[object, str] = dict.fromkeys(binds_of(config), own)
    for name, address in found.items():
        if address in taken and not (isinstance(address, TCP) and address.port == 0):
            raise ConfigError(f"{name}={str(address)!r}: {taken[address]}; take another address")
        taken[address] = f"{name} is there"


def is_loopback(address: TCP | Unix) -> bool:
    """Return whether only this machine's own processes reach an address."""
    if isinstance(address, Unix) or address.host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(address.host).is_loopback
    return False


def open_counters(
    wanted: Mapping[str, TCP | Unix], passed: Mapping[tuple[str, str], list[socket.socket]]
) -> dict[str, list[socket.socket]]:
    """Return listening sockets by the option's name; the caller owns them.

    `passed` are a predecessor's, by name and address: taken where they are the same.

    Raises:
        ConfigError: one cannot be listened on; those that were opened for it are closed.
    """
    found: dict[str, list[socket.socket]] = {}
    with contextlib.ExitStack() as undo:
        for name, address in wanted.items():
            sockets = passed.get((name, str(address)))
            if sockets is None:
                sockets = _open(name, address)
                for sock in sockets:
                    undo.callback(sock.close)
            found[name] = sockets
        undo.pop_all()
    return found


def _parse(name: str, text: str) -> TCP | Unix:
    try:
        address = parse_bind(text, port=NO_PORT)
    except ConfigError as exc:
        raise ConfigError(f"{name}{str(exc).removeprefix('bind')}") from None
    if isinstance(address, TCP) and address.port == NO_PORT:
        raise ConfigError(f"{name}={text!r}: the port is missing; expected HOST:PORT")
    if isinstance(address, TCP):
        return address
    if isinstance(address, Unix) and name == METRICS:
        return address if address.abstract else Unix(os.path.abspath(address.path))
    expected = "HOST:PORT or unix:PATH" if name == METRICS else "HOST:PORT"
    raise ConfigError(f"{name}={text!r}: expected {expected}")


def _open(name: str, address: TCP | Unix) -> list[socket.socket]:
    mode = CONTROL_MODE if name == CONTROL else METRICS_MODE
    try:
        return open_bind(address, mode=mode, backlog=BACKLOG)
    except ConfigError as exc:
        raise ConfigError(f"{name}: {exc}") from None
