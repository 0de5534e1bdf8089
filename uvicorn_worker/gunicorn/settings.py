"""Gunicorn's settings -> the server's configuration, and what of them is refused.

Precedence: the class's CONFIG_KWARGS, then UVICORN_* variables, then Gunicorn's setting. Settings
that the oldest supported Gunicorn does not have are read with a default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from uvicorn_worker.errors import ConfigError
from uvicorn_worker.gunicorn.options import BESIDE, KNOWN, from_class, from_environment
from uvicorn_worker.loops import check_loop
from uvicorn_worker.serverconfig import ServerConfig
from uvicorn_worker.service import make_parser
from uvicorn_worker.upgrades import make_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from uvicorn_worker.options.sources import Given

# Field of our configuration -> Gunicorn's setting, and its value where Gunicorn has none yet.
SOURCES: Final[Mapping[str, tuple[str, object]]] = {
    "backlog": ("backlog", 2048),
    # None is how workers for Gunicorn before 25 behave: an application is never cancelled.
    "disconnect_grace_period": ("asgi_disconnect_grace_period", None),
    "forwarded_allow_ips": ("forwarded_allow_ips", ("127.0.0.1", "::1")),
    "forwarder_headers": ("forwarder_headers", ("SCRIPT_NAME", "PATH_INFO")),
    "header_map": ("header_map", "drop"),
    "lifespan": ("asgi_lifespan", "auto"),
    "limit_connections": ("worker_connections", 1000),
    "limit_request_field_size": ("limit_request_field_size", 8190),
    "limit_request_fields": ("limit_request_fields", 100),
    "limit_request_line": ("limit_request_line", 4094),
    "loop": ("asgi_loop", "auto"),
    "permit_obsolete_folding": ("permit_obsolete_folding", False),
    "permit_unconventional_http_version": ("permit_unconventional_http_version", False),
    "proxy_allow_ips": ("proxy_allow_ips", ("127.0.0.1", "::1")),
    "proxy_protocol": ("proxy_protocol", "off"),
    "root_path": ("root_path", ""),
    "secure_scheme_headers": ("secure_scheme_headers", {}),
    "sendfile": ("sendfile", True),
    "timeout_graceful_shutdown": ("graceful_timeout", 30),
    "timeout_keep_alive": ("keepalive", 2),
    "ws_max_size": ("websocket_max_message_size", 16 * 1024 * 1024),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a worker is told. `max_requests` is (limit, jitter) where not Gunicorn's counts."""

    config: ServerConfig
    graceful_timeout: float
    interface: str
    factory: bool
    max_requests: tuple[int, int] | None
    metrics: str | None
    warnings: tuple[str, ...]


def read_settings(
    cfg: object,
    kwargs: Mapping[str, object],
    environ: Mapping[str, str],
    *,
    owner: str = "UvicornWorker",
    head_timeout: float = 30.0,
) -> Settings:
    """Return what Gunicorn's `cfg`, a class's CONFIG_KWARGS and the environment say together.

    `owner` is the class's name for messages, `head_timeout` its request_head_timeout.

    Raises:
        ConfigError: something in them cannot be honoured; names it, its value and the remedy.
    """
    variables, warnings = from_environment({**environ, **getattr(cfg, "env", {})})
    given = {**variables, **from_class(kwargs, owner)}
    config = _config(cfg, given, head_timeout)
    for refuse in REFUSALS:
        if problem := refuse(cfg, config):
            raise ConfigError(problem)
    check_loop(config.loop)
    make_parser(config.http)  # says which package is missing, here where it ends the start
    make_engine(config.ws)
    beside = {name: given[name].value if name in given else KNOWN[name].default for name in BESIDE}
    return Settings(
        config=config,
        graceful_timeout=float(config.timeout_graceful_shutdown or 0),
        interface=str(beside["interface"]),
        factory=bool(beside["factory"]),
        max_requests=_max_requests(cfg, given),
        metrics=None if beside["metrics"] is None else str(beside["metrics"]),
        warnings=(*warnings, *(text for warn in WARNINGS if (text := warn(cfg, config)))),
    )


def custom_hook(cfg: Any, name: str) -> bool:
    """Return whether a hook is somebody's own, not the one that Gunicorn has by default."""
    setting = cfg.settings.get(name)
    return setting is not None and setting.get() is not setting.default


def _config(cfg: object, given: Mapping[str, Given], head_timeout: float) -> ServerConfig:
    values: dict[str, Any] = {"timeout_request_head": head_timeout}
    places = {"timeout_request_head": "request_head_timeout of the worker class"}
    for field, (setting, default) in SOURCES.items():
        values[field] = getattr(cfg, setting, default)
        places[field] = f"Gunicorn's setting {setting}"
    if isinstance(values["proxy_protocol"], bool):  # Gunicorn before 24.1
        values["proxy_protocol"] = "auto" if values["proxy_protocol"] else "off"
    for field, one in given.items():
        if field not in BESIDE:
            values[field], places[field] = one
    # Gunicorn's worker counts, and draws the jitter.
    values["limit_max_requests"] = 0
    try:
        return ServerConfig(**values)
    except ConfigError as exc:
        field = str(exc).partition("=")[0]
        place = f" (from {places[field]})" if field in places else ""
        raise ConfigError(f"{exc}{place}") from None


def _max_requests(cfg: object, given: Mapping[str, Given]) -> tuple[int, int] | None:
    names = {
        "limit_max_requests": "max_requests",
        "limit_max_requests_jitter": "max_requests_jitter",
    }
    if given.keys().isdisjoint(names):
        return None
    limit, jitter = (
        given[name].value if name in given else getattr(cfg, setting, 0)
        for name, setting in names.items()
    )
    if not (isinstance(limit, int) and isinstance(jitter, int) and limit >= 0 and jitter >= 0):
        raise ConfigError(
            f"limit_max_requests={limit!r}, limit_max_requests_jitter={jitter!r}: "
            "expected whole numbers of at least 0"
        )
    return limit, jitter


# -- what is refused


def _uwsgi(cfg: object, config: ServerConfig) -> str | None:
    protocol = getattr(cfg, "protocol", "http")
    if protocol == "http":
        return None
    return f"protocol={protocol!r}: this worker speaks HTTP only; set protocol='http'"


def _http2(cfg: object, config: ServerConfig) -> str | None:
    protocols = getattr(cfg, "http_protocols", None) or ()
    if "h2" in protocols:
        return f"http_protocols={','.join(protocols)!r}: HTTP/2 is not served; set it to 'h1'"
    cleartext = getattr(cfg, "http2_cleartext", "off")
    if cleartext != "off":
        return f"http2_cleartext={cleartext!r}: HTTP/2 is not served; set it to 'off'"
    return None


def _leniency(cfg: object, config: ServerConfig) -> str | None:
    settings = ("casefold_http_method", "permit_unconventional_http_method", "strip_header_spaces")
    for setting in settings:
        if getattr(cfg, setting, False):
            return f"{setting}=True: the parser does not accept such requests; remove the setting"
    return None


def _lone_key(cfg: Any, config: ServerConfig) -> str | None:
    if not cfg.keyfile or cfg.certfile or custom_hook(cfg, "ssl_context"):
        return None
    return (
        f"keyfile={cfg.keyfile!r} without certfile: set certfile too, "
        "or make the context in the hook ssl_context"
    )


def _proxy_protocol_in_tls(cfg: object, config: ServerConfig) -> str | None:
    if config.proxy_protocol == "off" or not getattr(cfg, "is_ssl", False):
        return None
    return (
        f"proxy_protocol={config.proxy_protocol!r} together with TLS: the PROXY header would be "
        "expected inside TLS, where no balancer sends it; end TLS at the balancer, or set "
        "proxy_protocol='off'"
    )


REFUSALS: Final[tuple[Callable[[Any, ServerConfig], str | None], ...]] = (
    _uwsgi,
    _http2,
    _leniency,
    _lone_key,
    _proxy_protocol_in_tls,
)


# -- what is warned about, once per start


def _threads(cfg: object, config: ServerConfig) -> str | None:
    threads = getattr(cfg, "threads", 1)
    return f"threads={threads} is ignored: this worker runs an event loop" if threads > 1 else None


def _http_parser(cfg: object, config: ServerConfig) -> str | None:
    parser = getattr(cfg, "http_parser", "auto")
    if parser == "auto":
        return None
    return (
        f"http_parser={parser!r} is ignored: this worker has parsers of its own, see UVICORN_HTTP"
    )


def _unsafe(cfg: object, config: ServerConfig) -> str | None:
    found = [
        name
        for name in ("permit_obsolete_folding", "permit_unconventional_http_version")
        if getattr(config, name)
    ]
    if not found:
        return None
    return f"{' and '.join(found)}: unsafe, a proxy in front may read such requests differently"


def _long_graceful_timeout(cfg: object, config: ServerConfig) -> str | None:
    ours, limit = config.timeout_graceful_shutdown, getattr(cfg, "graceful_timeout", 30)
    if ours is None or ours <= limit:
        return None
    return (
        f"timeout_graceful_shutdown={ours:g} is longer than graceful_timeout={limit}: "
        "on a stop, Gunicorn kills its workers after the latter"
    )


WARNINGS: Final[tuple[Callable[[Any, ServerConfig], str | None], ...]] = (
    _threads,
    _http_parser,
    _unsafe,
    _long_graceful_timeout,
)

# No event loop has these options of blocking sockets.
WITHOUT_EFFECT: Final[Mapping[str, bool]] = {
    "do_handshake_on_connect": False,
    "suppress_ragged_eofs": True,
}


def settings_without_effect(cfg: object) -> list[str]:
    """Return the names of settings that were changed and mean nothing here; worth a debug line."""
    return [
        name for name, usual in WITHOUT_EFFECT.items() if getattr(cfg, name, usual) is not usual
    ]
