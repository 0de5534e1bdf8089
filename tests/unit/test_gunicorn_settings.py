"""What Gunicorn's settings, CONFIG_KWARGS and UVICORN_* variables mean to the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.gunicorn_config import gunicorn_config, has_setting
from uvicorn_worker import loops
from uvicorn_worker.errors import ConfigError
from uvicorn_worker.gunicorn.settings import (
    SOURCES,
    custom_hook,
    read_settings,
    settings_without_effect,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from uvicorn_worker.gunicorn.settings import Settings


def own_ssl_context(config: Any, factory: Any) -> ssl.SSLContext:
    context: ssl.SSLContext = factory()
    return context


def settings(
    kwargs: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    /,
    **gunicorn: object,
) -> Settings:
    unknown = [name for name in gunicorn if not has_setting(name)]
    if unknown:
        pytest.skip(f"this Gunicorn has no {', '.join(unknown)}")
    return read_settings(gunicorn_config(**gunicorn), kwargs or {}, environ or {})


@pytest.mark.parametrize(
    ("field", "setting", "value", "expected"),
    [
        ("backlog", "backlog", 7, 7),
        ("disconnect_grace_period", "asgi_disconnect_grace_period", 9, 9),
        ("forwarded_allow_ips", "forwarded_allow_ips", "10.0.0.1,10.0.0.2", None),
        ("forwarder_headers", "forwarder_headers", "X_USER", ["X_USER"]),
        ("header_map", "header_map", "refuse", "refuse"),
        ("lifespan", "asgi_lifespan", "off", "off"),
        ("limit_connections", "worker_connections", 12, 12),
        ("limit_request_field_size", "limit_request_field_size", 100, 100),
        ("limit_request_fields", "limit_request_fields", 11, 11),
        ("limit_request_line", "limit_request_line", 99, 99),
        ("loop", "asgi_loop", "asyncio", "asyncio"),
        ("permit_obsolete_folding", "permit_obsolete_folding", True, True),
        (
            "permit_unconventional_http_version",
            "permit_unconventional_http_version",
            True,
            True,
        ),
        ("proxy_allow_ips", "proxy_allow_ips", "10.9.8.7", ["10.9.8.7"]),
        ("proxy_protocol", "proxy_protocol", True, "auto"),
        ("root_path", "root_path", "/api", "/api"),
        ("secure_scheme_headers", "secure_scheme_headers", {"X-A": "b"}, {"X-A": "b"}),
        ("sendfile", "sendfile", False, False),
        ("timeout_graceful_shutdown", "graceful_timeout", 3, 3),
        ("timeout_keep_alive", "keepalive", 75, 75),
        ("ws_max_size", "websocket_max_message_size", 4096, 4096),
    ],
)
def test_a_setting_of_gunicorns_reaches_the_server(
    field: str, setting: str, value: object, expected: object
) -> None:
    cfg_value = getattr(gunicorn_config(**{setting: value}), setting) if has_setting(setting) else 0

    config = settings({}, {}, **{setting: value}).config

    assert getattr(config, field) == (cfg_value if expected is None else expected)


def test_every_source_is_a_setting_of_the_newest_gunicorn() -> None:
    if not has_setting("websocket_max_message_size"):
        pytest.skip("an older Gunicorn")

    assert [name for name, _ in SOURCES.values() if not has_setting(name)] == []


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("backlog", 2048),
        ("header_map", "drop"),
        ("lifespan", "auto"),
        ("limit_connections", 1000),
        ("limit_max_requests", 0),
        ("limit_request_field_size", 8190),
        ("limit_request_fields", 100),
        ("limit_request_line", 4094),
        ("loop", "auto"),
        ("proxy_protocol", "off"),
        ("root_path", ""),
        ("sendfile", True),
        ("timeout_graceful_shutdown", 30),
        ("timeout_keep_alive", 2),
        ("timeout_request_head", 30),
        ("ws_max_size", 16 * 1024 * 1024),
    ],
)
def test_gunicorns_defaults_hold(field: str, expected: object) -> None:
    assert getattr(settings().config, field) == expected


def test_the_schemes_headers_are_gunicorns() -> None:
    names = {name.upper() for name in settings().config.secure_scheme_headers}

    assert names == {"X-FORWARDED-PROTOCOL", "X-FORWARDED-PROTO", "X-FORWARDED-SSL"}


def test_settings_that_an_older_gunicorn_lacks_have_a_default() -> None:
    cfg = gunicorn_config()
    for setting in (
        "asgi_disconnect_grace_period",
        "asgi_lifespan",
        "asgi_loop",
        "forwarder_headers",
        "http2_cleartext",
        "http_parser",
        "http_protocols",
        "permit_obsolete_folding",
        "protocol",
        "root_path",
        "websocket_max_message_size",
    ):
        cfg.settings.pop(setting, None)

    config = read_settings(cfg, {}, {}).config

    assert (config.timeout_keep_alive, config.disconnect_grace_period) == (2, None)
    assert config.proxy_protocol == "off"


# -- precedence


def test_the_class_wins_over_the_environment_over_gunicorn() -> None:
    environ = {"UVICORN_TIMEOUT_KEEP_ALIVE": "20", "UVICORN_BACKLOG": "21"}
    kwargs = {"timeout_keep_alive": 30}

    config = settings(kwargs, environ, keepalive=10, backlog=11, limit_request_line=12).config

    assert (config.timeout_keep_alive, config.backlog, config.limit_request_line) == (30, 21, 12)


def test_raw_env_counts_as_environment() -> None:
    config = settings({}, {"UVICORN_HTTP": "auto"}, raw_env=["UVICORN_HTTP=h11"]).config

    assert config.http == "h11"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("loop", "asyncio"),
        ("http", "h11"),
        ("ws", "none"),
        ("lifespan", "on"),
        ("root_path", "/x"),
        ("proxy_headers", False),
        ("server_header", False),
        ("date_header", False),
        ("headers", [("x-a", "b")]),
        ("forwarded_allow_ips", "*"),
        ("ws_max_size", 1),
        ("ws_max_queue", 2),
        ("ws_ping_interval", None),
        ("ws_ping_timeout", 3.5),
        ("ws_per_message_deflate", False),
        ("limit_concurrency", 5),
        ("timeout_keep_alive", 6),
        ("timeout_graceful_shutdown", 7),
        ("backlog", 8),
    ],
)
def test_config_kwargs_of_existing_subclasses_are_honoured(key: str, value: object) -> None:
    config = settings({key: value}).config

    found = getattr(config, key)
    assert found == (("*",) if value == "*" else value)


def test_interface_and_factory_are_for_loading() -> None:
    found = settings({"interface": "asgi2", "factory": True})

    assert (found.interface, found.factory) == ("asgi2", True)
    assert (settings().interface, settings().factory) == ("auto", False)


def test_none_in_config_kwargs_stands_for_not_given() -> None:
    found = settings({"timeout_graceful_shutdown": None, "log_config": None}, graceful_timeout=4)

    assert found.graceful_timeout == 4


@pytest.mark.parametrize(
    ("kwargs", "gunicorn", "expected"),
    [
        ({}, {"max_requests": 5}, None),
        ({"limit_max_requests": 9}, {}, (9, 0)),
        ({"limit_max_requests": 9}, {"max_requests": 5, "max_requests_jitter": 2}, (9, 2)),
        ({"limit_max_requests_jitter": 3}, {"max_requests": 5}, (5, 3)),
    ],
)
def test_max_requests_of_our_own_replace_gunicorns(
    kwargs: dict[str, object], gunicorn: dict[str, object], expected: object
) -> None:
    assert settings(kwargs, {}, **gunicorn).max_requests == expected


@pytest.mark.parametrize(
    ("variable", "text", "field", "expected"),
    [
        ("UVICORN_DATE_HEADER", "off", "date_header", False),
        ("UVICORN_DATE_HEADER", "True", "date_header", True),
        ("UVICORN_LIMIT_CONCURRENCY", "100", "limit_concurrency", 100),
        ("UVICORN_LIMIT_CONCURRENCY", "none", "limit_concurrency", None),
        ("UVICORN_WS_PING_INTERVAL", "none", "ws_ping_interval", None),
        ("UVICORN_WS_PING_INTERVAL", "2.5", "ws_ping_interval", 2.5),
        ("UVICORN_WS", "websockets-sansio", "ws", "websockets"),
        ("UVICORN_ROOT_PATH", "/api", "root_path", "/api"),
        ("UVICORN_LOOP", "", "loop", "auto"),
        (
            "UVICORN_FORWARDED_ALLOW_IPS",
            "10.0.0.0/8, ::1",
            "forwarded_allow_ips",
            ("10.0.0.0/8", "::1"),
        ),
        ("UVICORN_HEADERS", "X-A:1 X-B:2", "headers", (("X-A", "1"), ("X-B", "2"))),
        ("UVICORN_HEADERS", "X-A: one: two", "headers", (("X-A", "one: two"),)),
        ("UVICORN_HEADERS", "X-A: 1\nX-B: 2\n", "headers", (("X-A", "1"), ("X-B", "2"))),
        (
            "UVICORN_SECURE_SCHEME_HEADERS",
            "X-P=ssl, X-Q=on",
            "secure_scheme_headers",
            {"X-P": "ssl", "X-Q": "on"},
        ),
    ],
)
def test_variables_are_read_by_the_options_type(
    variable: str, text: str, field: str, expected: object
) -> None:
    assert getattr(settings({}, {variable: text}).config, field) == expected


# -- refusals


@pytest.mark.parametrize(
    ("kwargs", "environ", "gunicorn", "words"),
    [
        ({}, {}, {"protocol": "uwsgi"}, ["protocol='uwsgi'", "HTTP only"]),
        ({}, {}, {"http_protocols": "h1,h2"}, ["http_protocols='h1,h2'", "set it to 'h1'"]),
        ({}, {}, {"http2_cleartext": "upgrade"}, ["http2_cleartext='upgrade'", "'off'"]),
        ({}, {}, {"casefold_http_method": True}, ["casefold_http_method=True", "remove"]),
        ({}, {}, {"strip_header_spaces": True}, ["strip_header_spaces=True", "remove"]),
        (
            {},
            {},
            {"permit_unconventional_http_method": True},
            ["permit_unconventional_http_method=True", "remove"],
        ),
        ({}, {}, {"keyfile": "key.pem"}, ["keyfile='key.pem'", "certfile"]),
        (
            {},
            {},
            {"proxy_protocol": True, "certfile": "cert.pem"},
            ["proxy_protocol='auto'", "TLS", "'off'"],
        ),
        (
            {"bogus": 1},
            {},
            {},
            ["UvicornWorker.CONFIG_KWARGS['bogus']", "no such option"],
        ),
        ({"limit_concurency": 1}, {}, {}, ["did you mean 'limit_concurrency'?"]),
        ({"log_level": "info"}, {}, {}, ["CONFIG_KWARGS['log_level']", "setting loglevel"]),
        ({"http": "curio"}, {}, {}, ["'curio'", "httptools", "CONFIG_KWARGS['http']"]),
        ({}, {"UVICORN_LOOP": "trio"}, {}, ["UVICORN_LOOP='trio'", "asyncio"]),
        ({}, {"UVICORN_BACKLOG": "many"}, {}, ["UVICORN_BACKLOG='many'", "whole number"]),
        ({}, {"UVICORN_FACTORY": "perhaps"}, {}, ["UVICORN_FACTORY='perhaps'", "true or false"]),
        ({}, {"UVICORN_HEADERS": "no colon"}, {}, ["UVICORN_HEADERS", "NAME:VALUE"]),
        ({}, {"UVICORN_SECURE_SCHEME_HEADERS": "x"}, {}, ["NAME=VALUE"]),
        ({}, {"UVICORN_TIMEOUT_KEEP_ALIVE": "soon"}, {}, ["expected seconds"]),
        ({"timeout_keep_alive": -1}, {}, {}, ["timeout_keep_alive=-1", "at least 0"]),
        ({"limit_max_requests": -1}, {}, {}, ["limit_max_requests=-1", "at least 0"]),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name_value_and_remedy(
    kwargs: dict[str, object],
    environ: dict[str, str],
    gunicorn: dict[str, object],
    words: list[str],
) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(kwargs, environ, **gunicorn)

    assert [word for word in words if word not in str(caught.value)] == []


def test_uvloop_is_refused_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "find_spec", lambda name: None)

    with pytest.raises(ConfigError, match="pip install uvloop"):
        settings({"loop": "uvloop"})


def test_a_lone_key_is_accepted_with_a_context_hook() -> None:
    found = settings(keyfile="key.pem", ssl_context=own_ssl_context)

    assert found.warnings == ()


# -- warnings


@pytest.mark.parametrize(
    ("kwargs", "environ", "gunicorn", "words"),
    [
        ({}, {}, {"threads": 4}, ["threads=4", "ignored"]),
        ({}, {}, {"http_parser": "python"}, ["http_parser='python'", "ignored"]),
        ({}, {}, {"permit_obsolete_folding": True}, ["permit_obsolete_folding", "unsafe"]),
        (
            {},
            {},
            {"permit_unconventional_http_version": True},
            ["permit_unconventional_http_version", "unsafe"],
        ),
        ({}, {"UVICORN_PORT": "80"}, {}, ["UVICORN_PORT has no effect", "bind"]),
        ({}, {"UVICORN_CONTROL": "a"}, {}, ["UVICORN_CONTROL has no effect", "uvicorn-supervisor"]),
        ({}, {"UVICORN_LOG_FORMAT": "json"}, {}, ["JsonFormatter", "logconfig_dict"]),
        ({}, {"UVICORN_LOOOP": "x"}, {}, ["UVICORN_LOOOP has no effect", "'UVICORN_LOOP'?"]),
        ({}, {"UVICORN_QQQQQQ": "x"}, {}, ["UVICORN_QQQQQQ has no effect"]),
        ({"timeout_graceful_shutdown": 60}, {}, {"graceful_timeout": 5}, ["longer than", "5"]),
    ],
)
def test_what_has_no_effect_is_warned_about_once(
    kwargs: dict[str, object],
    environ: dict[str, str],
    gunicorn: dict[str, object],
    words: list[str],
) -> None:
    [warning] = settings(kwargs, environ, **gunicorn).warnings

    assert [word for word in words if word not in warning] == []


def test_ordinary_settings_warn_about_nothing() -> None:
    assert settings({}, {"HOME": "/", "UVICORN_LOOP": "auto"}, workers=3).warnings == ()


def test_options_of_blocking_sockets_are_named_when_changed() -> None:
    assert settings_without_effect(gunicorn_config()) == []
    assert settings_without_effect(gunicorn_config(suppress_ragged_eofs=False)) == [
        "suppress_ragged_eofs"
    ]


# -- hooks


@pytest.mark.parametrize(
    "hook",
    [
        lambda worker, req: None,
        lambda worker, req, environ: None,
        lambda worker, req, environ, resp: None,
    ],
    ids=["two", "three", "four"],
)
def test_a_hook_of_ones_own_is_told_from_gunicorns_default(hook: object) -> None:
    assert not custom_hook(gunicorn_config(), "post_request")
    assert custom_hook(gunicorn_config(post_request=hook), "post_request")
