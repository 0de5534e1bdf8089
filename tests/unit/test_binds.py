"""What the texts of binds mean, and what is said of those that mean nothing."""

from __future__ import annotations

import pytest

from uvicorn_worker.config import Config
from uvicorn_worker.errors import ConfigError
from uvicorn_worker.sockets.binds import TCP, Bind, Inherited, Unix, binds_of, parse_bind

APP = "app:app"


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("127.0.0.1:9000", TCP("127.0.0.1", 9000)),
        ("0.0.0.0:0", TCP("0.0.0.0", 0)),
        ("Example.ORG:80", TCP("example.org", 80)),
        ("example.org", TCP("example.org", 8000)),
        ("tcp://127.0.0.1:9000", TCP("127.0.0.1", 9000)),
        (":9000", TCP("0.0.0.0", 9000)),
        ("9000", TCP("127.0.0.1", 9000)),
        ("[::1]:9000", TCP("::1", 9000)),
        ("[::]", TCP("::", 8000)),
        ("[fe80::1%eth0]:65535", TCP("fe80::1%eth0", 65535)),
        ("unix:/run/app.sock", Unix("/run/app.sock")),
        ("unix:///run/app.sock", Unix("/run/app.sock")),
        ("unix:run/app.sock", Unix("run/app.sock")),
        ("unix:@app", Unix("@app")),
        ("fd://3", Inherited(3)),
        ("fd:0", Inherited(0)),
    ],
)
def test_texts_mean_what_they_mean_to_gunicorn(text: str, bind: Bind) -> None:
    assert parse_bind(text) == bind


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected HOST:PORT"),
        ("127.0.0.1:", "the port is missing"),
        ("127.0.0.1:http", "'http' is not a port"),
        ("127.0.0.1:-1", "'-1' is not a port"),
        ("127.0.0.1:65536", "65536 is no port"),
        ("127.0.0.1:\N{SUPERSCRIPT TWO}", "is not a port"),
        ("99999", "99999 is no port"),
        ("::1", "needs brackets, like '[::1]:8000'"),
        ("::1:8000", "needs brackets"),
        ("[::1:8000", "expected HOST:PORT"),
        ("[::1]8000", "expected HOST:PORT"),
        ("[localhost]:8000", "expected HOST:PORT"),
        ("/run/app.sock", "did you mean 'unix:/run/app.sock'?"),
        ("my host:8000", "expected HOST:PORT"),
        ("http://127.0.0.1:8000", "leave the scheme out"),
        ("unix:", "the path is missing"),
        ("unix:@", "the path is missing"),
        ("unix:a\0b", "NUL"),
        ("fd://", "'' is not the number of a descriptor"),
        ("fd://three", "'three' is not the number of a descriptor"),
        ("fd://-1", "'-1' is not the number of a descriptor"),
    ],
)
def test_a_wrong_text_is_named_with_what_is_expected(text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_bind(text)

    message = str(caught.value)
    assert message.startswith(f"bind={text!r}: ")
    assert reason in message
    assert message.endswith("expected HOST:PORT, :PORT, PORT, [IPV6]:PORT, unix:PATH or fd://N")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("config", "binds"),
    [
        (Config(APP), [TCP("127.0.0.1", 8000)]),
        (Config(APP, host="::", port=0), [TCP("::", 0)]),
        (Config(APP, uds="/run/app.sock"), [Unix("/run/app.sock")]),
        (Config(APP, fd=0), [Inherited(0)]),
        (
            Config(APP, bind=["9001", "[::1]", "unix:a"], host="10.0.0.1", port=9000),
            [TCP("10.0.0.1", 9001), TCP("::1", 9000), Unix("a")],
        ),
        (Config(APP, bind=["127.0.0.1:0", "127.0.0.1:0"]), [TCP("127.0.0.1", 0)] * 2),
    ],
)
def test_a_configuration_says_where_to_listen(config: Config, binds: list[Bind]) -> None:
    assert binds_of(config) == binds


@pytest.mark.parametrize("bind", ["127.0.0.1:9000", "unix:/run/a", "fd://3"])
def test_a_bind_given_twice_is_refused(bind: str) -> None:
    with pytest.raises(ConfigError, match="is given twice"):
        binds_of(Config(APP, bind=[bind, "127.0.0.1:9001", bind]))


@pytest.mark.parametrize(
    ("bind", "text"),
    [
        (TCP("127.0.0.1", 80), "127.0.0.1:80"),
        (TCP("::1", 80), "[::1]:80"),
        (Unix("/a"), "unix:/a"),
        (Inherited(3), "fd://3"),
        (Inherited(3, "web"), "fd://3 (web)"),
    ],
)
def test_binds_are_shown_as_they_are_given(bind: Bind, text: str) -> None:
    assert str(bind) == text
