"""Any object that users call an application -> an ASGI 3 application.

The shape is read from the signature, never by trying a call: a wrong guess would run the user's
code. What cannot be told is taken for ASGI 3.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Literal, cast

from uvicorn_worker.errors import AppLoadError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from uvicorn_worker.asgi import Application, Receive, Scope, Send
    from uvicorn_worker.state import Log

Shape = Literal["asgi3", "asgi2", "factory", "wsgi", "unknown"]

EXPECTED = "expected `async def app(scope, receive, send)`, or an object with such a `__call__`"


def resolve_application(
    app: object,
    *,
    factory: bool = False,
    interface: str = "auto",
    log: Log | None = None,
    serve_wsgi: bool = False,
) -> Application:
    """Return `app` as an ASGI 3 application.

    An ASGI 2 or WSGI application is wrapped, a factory is called once. `factory` says that `app`
    is one; where it does not, a callable without required arguments is taken for one, with a
    warning to `log`. `interface` names the shape where the signature misleads. What only looks
    like WSGI is refused unless `serve_wsgi`.

    Raises:
        AppLoadError: it is no application; the message says what it is.
        ConfigError: `interface` is none of ours, or needs a package that is missing.
    """
    if interface not in ("auto", "asgi3", "asgi2", "wsgi"):
        raise ConfigError(f"interface={interface!r}: expected one of auto, asgi3, asgi2, wsgi")
    if factory:
        app = _make(app)
    shape = _shape(app) if interface == "auto" else cast("Shape", interface)
    if shape == "factory" and not factory:
        if log is not None:
            log.warning(
                "%s is a factory, not an application: calling it. Name it as a call, "
                "`module:%s()`, to say so",
                _describe(app),
                getattr(app, "__name__", "create_app"),
            )
        app = _make(app)
        shape = _shape(app)
    if callable(app) and shape == "wsgi" and (serve_wsgi or interface == "wsgi"):
        return _wrap_wsgi(app, log)
    if not callable(app) or shape not in ("asgi3", "asgi2"):
        raise AppLoadError(f"{_describe(app)} is not an ASGI application: {_reason(app, shape)}")
    if shape == "asgi2":
        return _wrap_asgi2(app)
    return cast("Application", app)


def _shape(app: object) -> Shape:
    if not callable(app):
        return "unknown"
    if inspect.isclass(app):
        return _shape_of_class(app)
    asynchronous = any(inspect.iscoroutinefunction(call) for call in (app, type(app).__call__))
    shape = _shape_of_signature(app)
    if asynchronous and shape != "asgi3":
        return "unknown"  # awaiting is for ASGI 3 alone
    return shape


def _shape_of_class(app: type) -> Shape:
    # A class is called with what its instances are made of.
    if hasattr(app, "__await__"):
        return "asgi3"  # `await App(scope, receive, send)`
    shape = _shape_of_signature(app)
    return shape if shape in ("asgi2", "factory") else "unknown"


def _shape_of_signature(app: Callable[..., object]) -> Shape:
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):
        return "asgi3"  # compiled code that does not tell
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    if _accepts(signature, 0) and inspect.Parameter.VAR_POSITIONAL not in kinds:
        return "factory"
    shapes: tuple[tuple[int, Shape], ...] = ((3, "asgi3"), (1, "asgi2"), (2, "wsgi"))
    return next((shape for count, shape in shapes if _accepts(signature, count)), "unknown")


def _accepts(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def _make(factory: object) -> object:
    """Call a factory; what it raises is the user's to see, with its traceback."""
    if not callable(factory):
        raise AppLoadError(f"{_describe(factory)} is not a factory: it cannot be called")
    try:
        inspect.signature(factory).bind()
    except TypeError as exc:
        raise AppLoadError(
            f"{_describe(factory)} is not a factory without arguments: {exc}"
        ) from None
    except ValueError:
        pass  # no signature to be had: the call tells
    made: object = factory()
    return made


def _wrap_asgi2(app: Callable[..., Any]) -> Application:
    async def asgi2_application(scope: Scope, receive: Receive, send: Send) -> None:
        instance: Callable[[Receive, Send], Awaitable[None]] = app(scope)
        await instance(receive, send)

    return asgi2_application


def _wrap_wsgi(app: Callable[..., Any], log: Log | None) -> Application:
    try:
        from uvicorn_worker.application.wsgi import THREADS, adapt_wsgi
    except ImportError:
        raise ConfigError(
            f"{_describe(app)} is served as a WSGI application, which needs the package a2wsgi: "
            "pip install 'uvicorn-worker[wsgi]'"
        ) from None
    if log is not None:
        log.info("%s is served as a WSGI application, in %d threads", _describe(app), THREADS)
    return adapt_wsgi(app)


def _describe(app: object) -> str:
    """Return what a person would call the object."""
    kind = type(app)
    if inspect.isclass(app) or inspect.isroutine(app):
        what = "class" if inspect.isclass(app) else "function"
        return f"the {what} {app.__module__}.{app.__qualname__}"
    return f"the {kind.__module__}.{kind.__qualname__} object"


def _reason(app: object, shape: Shape) -> str:
    if not callable(app):
        return f"it cannot be called; {EXPECTED}"
    if shape == "wsgi":
        return (
            "it takes (environ, start_response) and looks like a WSGI application; serve it with "
            "one of Gunicorn's own workers, or set UVICORN_INTERFACE=wsgi"
        )
    if shape == "factory":
        return f"it is a factory again; {EXPECTED}"
    try:
        signature = f"it takes {inspect.signature(app)}"
    except (TypeError, ValueError):
        signature = "it takes other arguments"
    return f"{signature}; {EXPECTED}"
