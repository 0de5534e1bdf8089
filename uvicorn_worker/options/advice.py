"""What is worth a warning in a configuration that could be served as it is: pure.

Risks are for `check`, which people ask before they deploy. Options without an effect are for every
start: whoever gave one expects something.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from uvicorn_worker.sockets.binds import TCP, Unix, binds_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from uvicorn_worker.config import Config
    from uvicorn_worker.options.sources import Given

# Constants of the module `ssl` for protocols before TLS 1.2, which RFC 8996 deprecates.
OLD_PROTOCOLS: Final = {0: "SSL 2", 1: "SSL 3", 3: "TLS 1.0", 4: "TLS 1.1"}

ANYBODY: Final = frozenset({"*", "0.0.0.0/0", "::/0"})


class Void(NamedTuple):
    """Options that need something else to have an effect."""

    names: tuple[str, ...]
    needs: str
    missing: Callable[[Any], bool]  # of a configuration


VOIDS: Final = (
    Void(
        ("limit_connection_age_jitter",),
        "limit_connection_age",
        lambda c: not c.limit_connection_age,
    ),
    Void(("timeout_request_exempt",), "timeout_request", lambda c: not c.timeout_request),
    Void(("limit_max_requests_jitter",), "limit_max_requests", lambda c: not c.limit_max_requests),
    Void(("access_log_format", "access_log_skip"), "access_log", lambda c: not c.access_log),
    Void(("use_colors",), "log_format text", lambda c: c.log_format == "json"),
    Void(("use_colors", "log_format"), "log_config", lambda c: c.log_config is None),
    Void(
        (
            "ws_max_size",
            "ws_max_queue",
            "ws_ping_interval",
            "ws_ping_timeout",
            "ws_per_message_deflate",
        ),
        "WebSockets, and ws is none",
        lambda c: c.ws == "none",
    ),
    Void(
        ("ws_ping_timeout",),
        "ws_ping_interval",
        lambda c: c.ws != "none" and not c.ws_ping_interval,
    ),
    Void(
        ("uds_mode",),
        "the file of a UNIX socket to listen on",
        lambda c: not any(isinstance(bind, Unix) and not bind.abstract for bind in binds_of(c)),
    ),
    Void(
        ("forwarded_allow_ips", "secure_scheme_headers"),
        "proxy_headers",
        lambda c: not c.proxy_headers,
    ),
    Void(("proxy_allow_ips",), "proxy_protocol", lambda c: c.proxy_protocol == "off"),
    Void(("ssl_version", "timeout_ssl_handshake"), "ssl_certfile", lambda c: not c.is_ssl),
)


def find_void(config: Config, given: Mapping[str, Given], more: Sequence[Void] = ()) -> list[str]:
    """Return a warning for each option that was given and has no effect; `more`: to look for."""
    return [
        f"{given[name].place} has no effect: it needs {void.needs}"
        for void in (*VOIDS, *more)
        if void.missing(config)
        for name in void.names
        # One of the environment may be FORWARDED_ALLOW_IPS, which is for others, too.
        if name in given and not given[name].place.startswith("FORWARDED_")
    ]


def find_risks(config: Config, given: Mapping[str, Given]) -> list[str]:
    """Return what is risky, each with what could happen and what to do."""
    return [text for find in _RISKS if (text := find(config, given))]


def _exposed(config: Config) -> str | None:
    """Return the first address that other machines reach, None where there is none."""
    for bind in binds_of(config):
        if isinstance(bind, TCP) and bind.host not in ("127.0.0.1", "::1", "localhost"):
            return str(bind)
    return None


def _limits(config: Config, given: Mapping[str, Given]) -> str | None:
    address = _exposed(config)
    limits = config.limit_concurrency or config.limit_connections or config.limit_request_body
    if address is None or limits:
        return None
    return (
        f"{address} is open to other machines without any limit: put a proxy in front, or set "
        "limit_connections, limit_concurrency and limit_request_body"
    )


def _trust(config: Config, given: Mapping[str, Given]) -> str | None:
    if not config.proxy_headers or ANYBODY.isdisjoint(config.forwarded_allow_ips):
        return None
    return (
        "forwarded_allow_ips trusts everybody: any client can choose the address and scheme that "
        "the application sees, unless only your proxy reaches this server; name the proxy"
    )


def _proxy_protocol(config: Config, given: Mapping[str, Given]) -> str | None:
    if config.proxy_protocol == "off" or ANYBODY.isdisjoint(config.proxy_allow_ips):
        return None
    return "proxy_allow_ips lets everybody send a PROXY header, and choose an address with it"


def _level(config: Config, given: Mapping[str, Given]) -> str | None:
    if config.log_level not in ("debug", "trace"):
        return None
    return f"log_level={config.log_level} is for finding faults: slow, and tells much of requests"


def _old_tls(config: Config, given: Mapping[str, Given]) -> str | None:
    name = OLD_PROTOCOLS.get(config.ssl_version)
    if name is None or not config.is_ssl:
        return None
    return f"ssl_version={config.ssl_version} is {name}, which is broken; remove the option"


def _optional_certificates(config: Config, given: Mapping[str, Given]) -> str | None:
    if config.ssl_cert_reqs != 1:
        return None
    return "ssl_cert_reqs=1 lets clients without a certificate in; 2 demands one"


def _password(config: Config, given: Mapping[str, Given]) -> str | None:
    one = given.get("ssl_keyfile_password")
    if one is None or not one.place.startswith("-"):
        return None
    return (
        f"{one.place} is seen by every user of the machine (ps); use UVICORN_SSL_KEYFILE_PASSWORD"
    )


def _leniency(config: Config, given: Mapping[str, Given]) -> str | None:
    names = ("permit_obsolete_folding", "permit_unconventional_http_version")
    found = [name for name in names if getattr(config, name)]
    if not found:
        return None
    return f"{' and '.join(found)}: a proxy in front may read such requests differently"


def _no_time_limit(config: Config, given: Mapping[str, Given]) -> str | None:
    names = ("timeout_request_head", "timeout_request_body")
    found = [name for name in names if not getattr(config, name)]
    if not found:
        return None
    return f"{' and '.join(found)} off: clients that send nothing keep their connections for ever"


def _ends(config: Config, given: Mapping[str, Given]) -> str | None:
    if not config.limit_max_requests:
        return None
    return (
        f"limit_max_requests={config.limit_max_requests} ends the process: somebody has to start "
        "it again (uvicorn-supervisor does, without a gap)"
    )


_RISKS: Final = (
    _limits,
    _trust,
    _proxy_protocol,
    _level,
    _old_tls,
    _optional_certificates,
    _password,
    _leniency,
    _no_time_limit,
    _ends,
)
