"""Places of options: what they may say, and which one wins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from uvicorn_worker.config import Config
from uvicorn_worker.errors import ConfigError
from uvicorn_worker.options.declared import options_of
from uvicorn_worker.options.files import gather
from uvicorn_worker.options.sources import Given, from_environment, from_table, overlay

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS = options_of(Config)


def values(layer: dict[str, Given]) -> dict[str, object]:
    return {name: given.value for name, given in layer.items()}


# -- the environment


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"UVICORN_PORT": "9000"}, {"port": 9000}),
        ({"UVICORN_PORT": " 9000 "}, {"port": 9000}),
        ({"UVICORN_PORT": ""}, {}),
        ({"PORT": "9000", "HOST": "a"}, {}),
        ({"UVICORN_ACCESS_LOG": "off"}, {"access_log": False}),
        ({"UVICORN_TIMEOUT_KEEP_ALIVE": "1m30s"}, {"timeout_keep_alive": 90.0}),
        ({"UVICORN_WS_MAX_SIZE": "1MiB"}, {"ws_max_size": 1048576}),
        ({"UVICORN_UDS": "none"}, {"uds": None}),
        ({"UVICORN_BIND": "a:1, b:2"}, {"bind": ("a:1", "b:2")}),
        ({"UVICORN_HEADERS": "A:1 B:2"}, {"headers": (("A", "1"), ("B", "2"))}),
        ({"UVICORN_APP": "a:b"}, {"app": "a:b"}),
        ({"FORWARDED_ALLOW_IPS": "*"}, {"forwarded_allow_ips": ("*",)}),
        (
            {"FORWARDED_ALLOW_IPS": "*", "UVICORN_FORWARDED_ALLOW_IPS": "10.0.0.1"},
            {"forwarded_allow_ips": ("10.0.0.1",)},
        ),
        ({"WEB_CONCURRENCY": "4"}, {"workers": 4}),
    ],
)
def test_variables_are_read(environ: dict[str, str], expected: dict[str, object]) -> None:
    found, warnings = from_environment(environ, OPTIONS, elsewhere={})

    assert (values(found), warnings) == (expected, [])


def test_places_name_the_variable_and_its_file() -> None:
    environ = {"UVICORN_PORT": "1", "FORWARDED_ALLOW_IPS": "*"}

    found, _ = from_environment(environ, OPTIONS, elsewhere={}, file=".env")

    assert {given.place for given in found.values()} == {
        "UVICORN_PORT in .env",
        "FORWARDED_ALLOW_IPS in .env",
    }


def test_variables_without_effect_are_warned_about() -> None:
    environ = {"UVICORN_PROT": "1", "UVICORN_RELOAD_DIR": "a", "UVICORN_X": "", "OTHER": "1"}

    _, warnings = from_environment(environ, OPTIONS, elsewhere={"reload_dir": "something else"})

    assert warnings == [
        "UVICORN_PROT has no effect; did you mean 'UVICORN_PORT'?",
        "UVICORN_RELOAD_DIR has no effect; use something else",
    ]


@pytest.mark.parametrize(
    ("given", "trusted"),
    [
        ({}, ("10.0.0.9",)),
        ({"forwarded_allow_ips": None}, ("10.0.0.9",)),
        ({"forwarded_allow_ips": ["127.0.0.1", "::1"]}, ["127.0.0.1", "::1"]),
        ({"forwarded_allow_ips": ("127.0.0.1", "::1")}, ("127.0.0.1", "::1")),
    ],
)
def test_programs_trust_whom_the_environment_names_unless_they_say_otherwise(
    given: dict[str, Any], trusted: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.9")

    assert Config("a:b", **given).forwarded_allow_ips == trusted


# -- files


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"port": 9000}, {"port": 9000}),
        ({"port": "9000"}, {"port": 9000}),
        ({"timeout-keep-alive": 2}, {"timeout_keep_alive": 2}),
        ({"keep_alive": "2m"}, {"timeout_keep_alive": 120.0}),
        ({"max-requests": 5}, {"limit_max_requests": 5}),
        ({"uds": "none"}, {"uds": None}),
        ({"bind": ["a:1", "b:2"]}, {"bind": ("a:1", "b:2")}),
        ({"bind": "a:1"}, {"bind": ("a:1",)}),
        ({"header": ["A: 1", "B:2"]}, {"headers": (("A", "1"), ("B", "2"))}),
        ({"headers": [["A", "1"]]}, {"headers": (("A", "1"),)}),
        ({"secure_scheme_headers": {"X-A": "b"}}, {"secure_scheme_headers": {"X-A": "b"}}),
        ({"uds_mode": "660"}, {"uds_mode": 0o660}),
        ({"access_log": False}, {"access_log": False}),
    ],
)
def test_tables_are_read(table: dict[str, object], expected: dict[str, object]) -> None:
    found, warnings = from_table(table, OPTIONS, file="f.toml", elsewhere={})

    assert (values(found), warnings) == (expected, [])


def test_what_is_for_somebody_else_in_a_table_is_warned_about() -> None:
    found, warnings = from_table(
        {"reload-dirs": ["a"]}, OPTIONS, file="f", elsewhere={"reload_dirs": "another command"}
    )

    assert (found, warnings) == ({}, ["f reload-dirs has no effect; use another command"])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"prot": 1}, "f prot: there is no such option; did you mean 'port'?"),
        ({"port": "x"}, "f port='x': expected a whole number"),
        ({"port": True}, "f port=True: expected a whole number"),
        ({"port": 70000}, "f port=70000: expected a number from 0 to 65535"),
        ({"access_log": "maybe"}, "f access_log='maybe': expected true or false"),
        ({"access_log": 1}, "f access_log=1: expected true or false"),
        ({"bind": [1]}, "f bind=(1,): expected a list of texts"),
        ({"port": 1, "PORT": 2}, "f PORT: there is no such option"),
        ({"access-log": True, "access_log": True}, "f access_log: given twice, as f access-log"),
        ({"ssl_context_factory": "a:b"}, "f ssl_context_factory: ssl_context_factory can be given"),
    ],
)
def test_a_wrong_table_is_refused(table: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_table(table, OPTIONS, file="f", elsewhere={})

    assert str(caught.value).startswith(message)


# -- all together


def test_the_first_layer_wins() -> None:
    layers = [{"port": Given(1, "--port")}, {"port": Given(2, "b"), "ws": Given("none", "c")}]

    assert overlay(layers) == ({"port": Given(1, "--port"), "ws": Given("none", "c")}, [])


@pytest.mark.parametrize(
    ("strong", "weak", "left", "notes"),
    [
        ({"port": 1}, {"uds": "a"}, {"port"}, ["W uds has no effect: S port is stronger"]),
        ({"port": 1}, {"host": "a"}, {"port", "host"}, []),
        (
            {"uds": "a"},
            {"host": "a", "port": 1},
            {"uds"},
            [
                "W host has no effect: S uds is stronger",
                "W port has no effect: S uds is stronger",
            ],
        ),
        ({"host": "a", "port": 1}, {"bind": ("b",)}, {"host", "port"},
         ["W bind has no effect: S host and S port is stronger"]),
        ({"bind": ("b",), "port": 1}, {"host": "h"}, {"bind", "port", "host"}, []),
        ({"ws": "none"}, {"uds": "a", "port": 1}, {"ws", "uds", "port"}, []),
    ],
)  # fmt: skip
def test_one_way_to_listen_counts(
    strong: dict[str, object], weak: dict[str, object], left: set[str], notes: list[str]
) -> None:
    layers = [
        {name: Given(value, f"{title} {name}") for name, value in layer.items()}
        for title, layer in (("S", strong), ("W", weak))
    ]

    result, said = overlay(layers)

    assert (set(result), said) == (left, notes)


def test_precedence_from_the_command_line_to_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ("backlog", "ws_max_queue", "limit_request_fields", "limit_connections")
    (tmp_path / "pyproject.toml").write_text(
        "[tool.uvicorn]\nenv_file = 'a.env'\n" + "".join(f"{name} = 4\n" for name in names)
    )
    (tmp_path / "a.env").write_text(
        "".join(f"UVICORN_{name.upper()}=3\n" for name in names[:3]) + "MY_OWN=x\nSET=file\n"
    )
    environ = {"UVICORN_BACKLOG": "2", "UVICORN_WS_MAX_QUEUE": "2", "SET": "before"}
    line = {"backlog": Given(1, "--backlog")}

    found, warnings, notes = gather(line, environ, OPTIONS, elsewhere={})

    assert [found[name] for name in names] == [
        Given(1, "--backlog"),
        Given(2, "UVICORN_WS_MAX_QUEUE"),
        Given(3, "UVICORN_LIMIT_REQUEST_FIELDS in a.env"),
        Given(4, "pyproject.toml [tool.uvicorn] limit_connections"),
    ]
    assert (warnings, notes) == ([], [])
    assert (environ["MY_OWN"], environ["SET"]) == ("x", "before")


@pytest.mark.parametrize(
    ("name", "text", "port"),
    [
        ("server.toml", "port = 1", 1),
        ("server.toml", "[tool.uvicorn]\nport = 2", 2),
        ("pyproject.toml", "[project]\nname = 'a'", None),
    ],
)
def test_the_file_of_options_is_a_table_of_its_own_or_has_one(
    name: str, text: str, port: int | None, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(text)

    found = gather({}, {"UVICORN_CONFIG": str(path)}, OPTIONS, elsewhere={}).values

    assert values(found) == ({} if port is None else {"port": port})


def test_a_pyproject_that_says_nothing_of_us_may_be_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("not [ TOML")

    assert gather({}, {}, OPTIONS, elsewhere={}).values == {}
