"""Which objects are taken for applications, and what the others are told."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from typing import TYPE_CHECKING, Any

import pytest

from uvicorn_worker.application.loading import resolve_application
from uvicorn_worker.errors import AppLoadError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator


class Notes:
    """A log that keeps its warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, msg: str, /, *args: object) -> None:
        self.warnings.append(msg % args)

    def debug(self, msg: str, /, *args: object) -> None: ...
    def info(self, msg: str, /, *args: object) -> None: ...
    def error(self, msg: str, /, *args: object, exc_info: BaseException | None = None) -> None: ...
    def exception(self, msg: str, /, *args: object) -> None: ...


async def answer(scope: Any, receive: Any, send: Any) -> None:
    await send({"seen": scope["type"], "received": await receive()})


class Instance:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await answer(scope, receive, send)


class Awaited:
    """An ASGI 3 application in the shape of a class."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        self.call = answer(scope, receive, send)

    def __await__(self) -> Generator[Any, None, None]:
        return self.call.__await__()


class DoubleCallable:
    def __init__(self, scope: Any) -> None:
        self.scope = scope

    async def __call__(self, receive: Any, send: Any) -> None:
        await answer(self.scope, receive, send)


class Ready:
    """Neither ASGI 3 nor 2 as a class; its instances are applications."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await answer(scope, receive, send)


def double_callable(scope: Any) -> Callable[[Any, Any], Awaitable[None]]:
    return DoubleCallable(scope)


def plain_function(scope: Any, receive: Any, send: Any) -> Awaitable[None]:
    return answer(scope, receive, send)


def undecorated(*args: Any, **kwargs: Any) -> Awaitable[None]:
    return answer(*args, **kwargs)


@functools.wraps(answer)
def decorated(*args: Any, **kwargs: Any) -> Awaitable[None]:
    return answer(*args, **kwargs)


async def with_defaults(scope: Any, receive: Any = None, send: Any = None) -> None:
    await answer(scope, receive, send)


async def with_more(extra: str, scope: Any, receive: Any, send: Any) -> None:
    await answer(scope, receive, send)


def create_app() -> Instance:
    return Instance()


def create_app_with_defaults(settings: str = "", debug: bool = False) -> Any:
    return double_callable


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    return []


class WSGI:
    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        return []


def needs_argument(a: Any, b: Any, c: Any, d: Any) -> Instance:
    return Instance()


async def async_factory() -> Instance:
    return Instance()


def factory_of_factory() -> Any:
    return create_app


def factory_of_wsgi() -> Any:
    return wsgi


async def call(app: Callable[[Any, Any, Any], Awaitable[None]]) -> dict[str, Any]:
    sent: list[dict[str, Any]] = []

    async def receive() -> str:
        return "a message"

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app({"type": "test"}, receive, send)
    return sent[0]


@pytest.mark.parametrize(
    "app",
    [
        pytest.param(answer, id="coroutine-function"),
        pytest.param(Instance(), id="instance"),
        pytest.param(Instance().__call__, id="bound-method"),
        pytest.param(Awaited, id="awaitable-class"),
        pytest.param(plain_function, id="function-that-returns-an-awaitable"),
        pytest.param(undecorated, id="any-arguments"),
        pytest.param(decorated, id="decorated"),
        pytest.param(with_defaults, id="arguments-with-defaults"),
        pytest.param(functools.partial(with_more, "x"), id="partial"),
        pytest.param(double_callable, id="asgi2-function"),
        pytest.param(DoubleCallable, id="asgi2-class"),
    ],
)
def test_applications_of_every_shape_are_called(app: Any) -> None:
    log = Notes()

    resolved = resolve_application(app, log=log)

    assert asyncio.run(call(resolved)) == {"seen": "test", "received": "a message"}
    assert log.warnings == []


@pytest.mark.parametrize(
    "app",
    [
        pytest.param(create_app, id="function"),
        pytest.param(create_app_with_defaults, id="arguments-with-defaults"),
        pytest.param(Ready, id="class-of-applications"),
        pytest.param(lambda: answer, id="lambda"),
    ],
)
def test_a_factory_is_called_with_a_warning_unless_it_is_named_one(app: Any) -> None:
    log = Notes()

    found, named = resolve_application(app, log=log), resolve_application(app, factory=True)

    assert asyncio.run(call(found)) == asyncio.run(call(named))
    [warning] = log.warnings
    assert "is a factory, not an application" in warning


@pytest.mark.parametrize(
    ("app", "reason"),
    [
        pytest.param(wsgi, "function test_loading.wsgi", id="wsgi-function"),
        pytest.param(wsgi, "or set UVICORN_INTERFACE=wsgi", id="wsgi-hint"),
        pytest.param(WSGI(), "looks like a WSGI application", id="wsgi-object"),
        pytest.param("app:app", "the builtins.str object", id="string"),
        pytest.param(None, "it cannot be called", id="none"),
        pytest.param(needs_argument, "it takes (a: 'Any', b: 'Any'", id="four-arguments"),
        pytest.param(async_factory, "it takes ()", id="async-factory"),
        pytest.param(factory_of_factory, "it is a factory again", id="factory-of-a-factory"),
        pytest.param(factory_of_wsgi, "WSGI", id="factory-of-wsgi"),
        pytest.param(dict, "the class builtins.dict", id="class"),
    ],
)
def test_anything_else_is_refused_by_what_it_is(app: object, reason: str) -> None:
    with pytest.raises(AppLoadError, match="is not an ASGI application") as caught:
        resolve_application(app)

    assert reason.replace("test_loading", __name__) in str(caught.value)


@pytest.mark.parametrize(
    ("app", "reason"),
    [
        pytest.param(None, "it cannot be called", id="not-callable"),
        pytest.param(answer, "missing a required argument: 'scope'", id="needs-arguments"),
    ],
)
def test_what_is_named_a_factory_and_is_none_is_refused(app: object, reason: str) -> None:
    with pytest.raises(AppLoadError, match="is not a factory") as caught:
        resolve_application(app, factory=True)

    assert reason in str(caught.value)


def test_an_error_inside_a_factory_is_the_users_to_see() -> None:
    def create() -> None:
        raise KeyError("SECRET_KEY")

    with pytest.raises(KeyError, match="SECRET_KEY"):
        resolve_application(create)


def test_the_interface_can_be_named_where_the_signature_misleads() -> None:
    def wrapper(*args: Any) -> Any:
        return double_callable(*args)

    resolved = resolve_application(wrapper, interface="asgi2")

    assert asyncio.run(call(resolved))["seen"] == "test"


@pytest.mark.parametrize(
    ("app", "options"),
    [
        pytest.param(wsgi, {"serve_wsgi": True}, id="found-function"),
        pytest.param(WSGI(), {"serve_wsgi": True}, id="found-object"),
        pytest.param(wsgi, {"interface": "wsgi"}, id="named"),
        pytest.param(undecorated, {"interface": "wsgi"}, id="named-against-its-signature"),
        pytest.param(factory_of_wsgi, {"interface": "wsgi", "factory": True}, id="factory"),
    ],
)
def test_wsgi_applications_are_wrapped_where_they_are_asked_for(
    app: Any, options: dict[str, Any]
) -> None:
    assert inspect.iscoroutinefunction(resolve_application(app, **options))


def test_wsgi_without_its_package_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "a2wsgi", None)
    monkeypatch.delitem(sys.modules, "uvicorn_worker.application.wsgi", raising=False)

    with pytest.raises(ConfigError, match=r"pip install 'uvicorn-worker\[wsgi\]'"):
        resolve_application(wsgi, interface="wsgi")


@pytest.mark.parametrize("interface", ["asgi4", "wsgi3"])
def test_interfaces_that_are_not_served_are_refused(interface: str) -> None:
    with pytest.raises(ConfigError, match=f"interface='{interface}'"):
        resolve_application(answer, interface=interface)
