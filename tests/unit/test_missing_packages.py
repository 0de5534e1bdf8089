"""Parsers and engines whose package is missing: the next best, or an error that says what to do."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from uvicorn_worker.errors import ConfigError
from uvicorn_worker.service import make_parser
from uvicorn_worker.upgrades import make_engine

if TYPE_CHECKING:
    from collections.abc import Callable

ADAPTERS = {
    "httptools": "uvicorn_worker.http1.httptools_parser",
    "h11": "uvicorn_worker.http1.h11_parser",
    "websockets": "uvicorn_worker.websocket.websockets_engine",
    "wsproto": "uvicorn_worker.websocket.wsproto_engine",
}


@pytest.fixture
def remove(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that makes packages impossible to import, those imported already too."""

    def run(*packages: str) -> None:
        for package in packages:
            monkeypatch.delitem(sys.modules, ADAPTERS[package], raising=False)
            modules = [name for name in sys.modules if name.partition(".")[0] == package]
            for name in {package, *modules}:
                monkeypatch.setitem(sys.modules, name, None)

    return run


@pytest.mark.parametrize(
    ("make", "name", "missing", "kind"),
    [
        (make_parser, "auto", (), "HttptoolsParser"),
        (make_parser, "auto", ("httptools",), "H11Parser"),
        (make_parser, "httptools", ("h11",), "HttptoolsParser"),
        (make_parser, "h11", ("httptools",), "H11Parser"),
        (make_engine, "auto", (), "WebsocketsEngine"),
        (make_engine, "auto", ("websockets",), "WsprotoEngine"),
        (make_engine, "auto", ("websockets", "wsproto"), "NoneType"),
        (make_engine, "none", (), "NoneType"),
        (make_engine, "websockets", ("wsproto",), "WebsocketsEngine"),
        (make_engine, "wsproto", ("websockets",), "WsprotoEngine"),
    ],
)
def test_a_name_is_made_of_what_is_there(
    make: Callable[[Any], object],
    name: str,
    missing: tuple[str, ...],
    kind: str,
    remove: Callable[..., None],
) -> None:
    remove(*missing)
    assert type(make(name)).__name__ == kind


@pytest.mark.parametrize(
    ("make", "name", "message"),
    [
        (
            make_parser,
            "httptools",
            "http=httptools needs the package httptools: pip install httptools",
        ),
        (
            make_parser,
            "h11",
            "http=h11 needs the package h11: pip install 'uvicorn-worker[h11]'",
        ),
        (
            make_engine,
            "websockets",
            "ws=websockets needs the package websockets: pip install websockets",
        ),
        (
            make_engine,
            "wsproto",
            "ws=wsproto needs the package wsproto: pip install 'uvicorn-worker[h11]'",
        ),
    ],
)
def test_a_package_that_is_asked_for_by_name_has_to_be_there(
    make: Callable[[Any], object], name: str, message: str, remove: Callable[..., None]
) -> None:
    remove(name)
    with pytest.raises(ConfigError) as caught:
        make(name)
    assert str(caught.value) == message
