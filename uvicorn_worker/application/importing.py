"""`module:attribute` -> the application that it names.

What is wrong with the name is told apart from what is wrong in the user's code: the first is one
line with a hint, the second keeps its traceback, from the first line that is the user's.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from uvicorn_worker.application.loading import resolve_application
from uvicorn_worker.errors import AppLoadError, ConfigError, WorkerError
from uvicorn_worker.options.declared import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType, TracebackType

    from uvicorn_worker.asgi import Application
    from uvicorn_worker.config import Config
    from uvicorn_worker.state import Log

T = TypeVar("T")

EXPECTED: Final = "expected MODULE:ATTRIBUTE, like 'shop.main:app'"

# What applications are called in most projects.
USUAL_NAMES: Final = ("app", "application", "asgi", "api", "create_app", "get_app", "make_app")


class Arguments(NamedTuple):
    """What a factory is called with."""

    positional: tuple[Any, ...]
    named: dict[str, Any]


class Target(NamedTuple):
    """What an import string names; `call` is None where it does not call a factory."""

    text: str
    module: str
    attributes: tuple[str, ...]
    call: Arguments | None


def load_application(config: Config, log: Log | None = None) -> Application:
    """Return the application that a configuration names or holds, as an ASGI 3 application.

    Raises:
        AppLoadError: it cannot be loaded; the message is one line. Where the user's own code has
            failed, `__cause__` is its exception, with a traceback that begins in that code: log
            it with `exc_info=error.__cause__`.
        ConfigError: `app_dir` does not exist, or the interface needs a package that is missing.
    """
    if not isinstance(config.app, str):
        return _attempt("the application", lambda: _resolve(config, config.app, log))
    target = parse_target(config.app)
    folder = _put_first_on_path(config.app_dir)

    def load() -> Application:
        found = _find_attribute(target, _import(target, folder))
        if target.call is None:
            return _resolve(config, found, log)
        return _resolve(config, _call(target, found, target.call), log, made=True)

    return _attempt(repr(target.text), load)


def _resolve(config: Config, app: object, log: Log | None, *, made: bool = False) -> Application:
    """Return any kind of application as ASGI 3; `made` by a factory that has been called."""
    factory = config.factory and not made
    return resolve_application(
        app, factory=factory, interface=config.interface, log=log, serve_wsgi=True
    )


# -- the name


def parse_target(text: str) -> Target:
    """Return what an import string names.

    Raises:
        AppLoadError: it names nothing; the message says what it should look like.
    """
    module, colon, expression = text.partition(":")
    if module.endswith(".py") or "/" in module:
        module = module.removesuffix(".py").strip("./").replace("/", ".")
        hint = f"a module has dots and no .py; did you mean '{module}:{expression or 'app'}'?"
        raise _refusal(text, f"{hint} {EXPECTED}")
    if not all(module.split(".")):
        raise _refusal(text, f"the name of the module is not complete; {EXPECTED}")
    if not expression.strip():
        reason = "the attribute is missing" if colon else "the colon is missing"
        raise _refusal(text, f"{reason}; did you mean '{module}:app'? {EXPECTED}")
    return Target(text, module, *_parse_expression(text, expression.strip()))


def _parse_expression(text: str, expression: str) -> tuple[tuple[str, ...], Arguments | None]:
    try:
        node = ast.parse(expression, mode="eval").body
    except (SyntaxError, ValueError):
        raise _refusal(
            text, f"{expression!r} is not the name of an attribute; {EXPECTED}"
        ) from None
    if not isinstance(node, ast.Call):
        return _dotted_name(text, node), None
    try:
        positional = tuple(ast.literal_eval(argument) for argument in node.args)
        named = {str(word.arg): ast.literal_eval(word.value) for word in node.keywords if word.arg}
    except (ValueError, TypeError):
        named = {}
        positional = None
    if positional is None or len(named) != len(node.keywords):
        raise _refusal(
            text,
            "the arguments of a factory have to be literals, like create_app('debug', level=1)",
        )
    return _dotted_name(text, node.func), Arguments(positional, named)


def _dotted_name(text: str, node: ast.expr) -> tuple[str, ...]:
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute):
        return (*_dotted_name(text, node.value), node.attr)
    raise _refusal(text, f"{ast.unparse(node)!r} is neither a name nor the call of one; {EXPECTED}")


# -- the module


def find_folder(app_dir: str) -> str:
    """Return the path of the folder in which imports begin, by default the current one.

    Raises:
        ConfigError: it does not exist.
    """
    folder = os.path.abspath(app_dir)
    if not os.path.isdir(folder):
        raise ConfigError(f"app_dir={app_dir!r}: no such folder")
    return folder


def _put_first_on_path(app_dir: str) -> str:
    folder = find_folder(app_dir)
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)
    return folder


def _import(target: Target, folder: str) -> ModuleType:
    try:
        return importlib.import_module(target.module)
    except ModuleNotFoundError as exc:
        if _is_missing(exc, target) is None:
            raise
    # A file may be younger than what the finders remember. Not at once: it takes 10 ms.
    importlib.invalidate_caches()
    try:
        return importlib.import_module(target.module)
    except ModuleNotFoundError as exc:
        missing = _is_missing(exc, target)
        if missing is None:
            raise
        raise _refusal(target.text, _not_found(target, missing, folder)) from None


def _is_missing(exc: ModuleNotFoundError, target: Target) -> str | None:
    """Return the module of a target that there is none of; None: the user's code has missed one."""
    missing = exc.name or ""
    ours = f"{target.module}.".startswith(f"{missing}.")
    return missing if ours and _from_users_code(exc.__traceback__) is None else None


def _not_found(target: Target, missing: str, folder: str) -> str:
    parent, _, name = missing.rpartition(".")
    if parent and not hasattr(sys.modules[parent], "__path__"):
        return f"the module {parent!r} is no package, it has no module {name!r} in it"
    places = list(sys.modules[parent].__path__) if parent else [folder]
    text = f"there is no module {missing!r} in {places[0] if places else folder}"
    hint = did_you_mean(name, _modules_in(places))
    if not (hint or parent) and (inner := _folder_with(name, folder)):
        hint = f"; did you mean --app-dir {inner}?"
    return text + hint


def _modules_in(places: list[str]) -> set[str]:
    """Return the names that can be imported from some folders."""
    from pathlib import Path  # of use after a mistake only

    found = set()
    for place in places:
        for path in Path(place).iterdir() if os.path.isdir(place) else ():
            if path.suffix == ".py" or (path.is_dir() and path.name.isidentifier()):
                found.add(path.stem)
    return found


def _folder_with(name: str, folder: str) -> str | None:
    """Return the subfolder in which a module would be found, None where it is not just one."""
    from pathlib import Path

    found = [path.parent.name for path in Path(folder).glob(f"*/{name}.py")]
    return found[0] if len(found) == 1 else None


# -- the attribute


def _find_attribute(target: Target, module: ModuleType) -> object:
    found: object = module
    owner = f"the module {target.module!r} ({getattr(module, '__file__', None) or 'a package'})"
    for name in target.attributes:
        try:
            found = getattr(found, name)
        except AttributeError:
            raise _refusal(
                target.text, f"{owner} has no attribute {name!r}{_hint(name, dir(found))}"
            ) from None
        owner = f"{name!r}"
    return found


def _hint(name: str, known: list[str]) -> str:
    public = [word for word in known if not word.startswith("_")]
    usual = [word for word in USUAL_NAMES if word in public]
    return did_you_mean(name, public) or (f"; did you mean {usual[0]!r}?" if usual else "")


def _call(target: Target, factory: object, arguments: Arguments) -> object:
    if not callable(factory):
        raise _refusal(
            target.text, f"{target.attributes[-1]!r} cannot be called; it is {factory!r}"
        )
    try:
        inspect.signature(factory).bind(*arguments.positional, **arguments.named)
    except TypeError as exc:
        raise _refusal(target.text, f"{target.attributes[-1]}(): {exc}") from None
    except ValueError:
        pass  # no signature to be had: the call tells
    return factory(*arguments.positional, **arguments.named)


# -- what went wrong


def _refusal(text: str, reason: str) -> AppLoadError:
    return AppLoadError(f"cannot load {text!r}: {reason}")


def _attempt(what: str, load: Callable[[], T]) -> T:
    """Return what `load` returns; turn what it raises into an error that says whose fault it is."""
    try:
        return load()
    except (Exception, SystemExit) as exc:
        traceback = _from_users_code(exc.__traceback__)
        if isinstance(exc, WorkerError) and traceback is None:
            raise _named(exc, what) from exc.__cause__
        reason = f"{type(exc).__name__}: {exc}".rstrip(": ")
        raise AppLoadError(
            f"cannot load {what}: its own code failed with {reason}"
        ) from exc.with_traceback(traceback)


def _named(exc: WorkerError, what: str) -> WorkerError:
    """Return an error about an application with what it was loaded from in front."""
    if isinstance(exc, AppLoadError) and not str(exc).startswith("cannot load "):
        return AppLoadError(f"cannot load {what}: {exc}")
    return exc


def _from_users_code(traceback: TracebackType | None) -> TracebackType | None:
    """Return a traceback without its first frames, as far as they are ours or the importer's.

    None: no code of the user's was running.
    """
    while traceback is not None and _is_machinery(traceback.tb_frame.f_code.co_filename):
        traceback = traceback.tb_next
    return traceback


def _is_machinery(file: str) -> bool:
    return file in _MACHINERY or file.startswith("<frozen importlib")


_MACHINERY: Final = frozenset(
    function.__code__.co_filename
    for function in (load_application, resolve_application, importlib.import_module)
)
