"""Functions of the user's, called at moments in the life of the supervisor and its workers.

They come from a Python file: whatever of it is named in `HOOKS` is called, and a function with a
name that looks like one of them is a spelling mistake. What a hook raises is logged and forgotten,
but for `on_starting`: it may refuse the start.
"""

from __future__ import annotations

import difflib
import inspect
import logging
import runpy
import traceback
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from uvicorn_worker.errors import ConfigError
from uvicorn_worker.process.interruption import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Name -> the arguments that it is called with.
HOOKS: Final[Mapping[str, tuple[str, ...]]] = {
    "on_starting": ("supervisor",),  # before the first worker is forked
    "when_ready": ("supervisor",),  # all workers are ready for the first time
    "pre_fork": ("supervisor", "worker"),
    "post_fork": ("supervisor", "worker"),  # in the worker, before the application is loaded
    "worker_ready": ("supervisor", "worker"),
    "worker_exit": ("supervisor", "worker"),  # in the worker, at its end
    "child_exit": ("supervisor", "worker"),  # the worker was reaped
    "on_reload": ("supervisor",),
    "on_exit": ("supervisor",),
}

# A function's name is taken for a misspelt hook from this likeness on (difflib's ratio).
ALIKE: Final = 0.8

log: Final = logging.getLogger("uvicorn.supervisor")


class Hooks:
    """The hooks of one file; without any, calls do nothing."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]] | None = None) -> None:
        self._functions = dict(functions or {})

    def __contains__(self, name: str) -> bool:
        return name in self._functions

    def call(self, name: str, *arguments: object) -> bool:
        """Call a hook if there is one; return whether nothing went wrong.

        It raises nothing but what a signal handler of ours has interrupted the hook with.
        """
        function = self._functions.get(name)
        if function is None:
            return True
        try:
            function(*arguments)
        except Interrupted:
            raise
        except Exception as exc:
            log.exception("The hook %s has failed: %s", name, _first_line(exc))
        except SystemExit as exc:
            log.error("The hook %s has called sys.exit(%r), which ends nothing", name, exc.code)
        else:
            return True
        return False

    def start(self, *arguments: object) -> None:
        """Call `on_starting`.

        Raises:
            ConfigError: it has raised something: the server is not to start.
        """
        function = self._functions.get("on_starting")
        if function is None:
            return
        try:
            function(*arguments)
        except (Exception, SystemExit) as exc:
            raise ConfigError(f"the hook on_starting refuses to start: {_first_line(exc)}") from exc


def load_hooks(path: str) -> Hooks:
    """Return the hooks in a Python file, which is run.

    Raises:
        ConfigError: it cannot be run, or has a hook that cannot be called as hooks are.
    """
    try:
        names = runpy.run_path(path)
    except OSError as exc:
        raise ConfigError(f"hooks={path!r}: {exc.strerror or exc}") from None
    except (Exception, SystemExit) as exc:
        raise ConfigError(f"hooks={path!r}: {_place(exc, path)}{_first_line(exc)}") from exc
    return take_hooks(names, path)


def take_hooks(names: Mapping[str, object], where: str) -> Hooks:
    """Return the hooks among the names of a module.

    Raises:
        ConfigError: one is no function, takes other arguments, or is nearly named like a hook.
    """
    found: dict[str, Callable[..., Any]] = {}
    for name, value in names.items():
        if name in HOOKS:
            found[name] = _checked(name, value, where)
        elif isinstance(value, FunctionType) and not name.startswith("_"):
            _refuse_misspelt(name, where)
    return Hooks(found)


def _checked(name: str, value: object, where: str) -> Callable[..., Any]:
    arguments = HOOKS[name]
    expected = f"expected a function {name}({', '.join(arguments)})"
    if not callable(value):
        raise ConfigError(f"hooks={where!r}: {name} is {value!r}; {expected}")
    if inspect.iscoroutinefunction(value):
        raise ConfigError(f"hooks={where!r}: {name} is a coroutine function; {expected}")
    try:
        inspect.signature(value).bind(*arguments)
    except TypeError:
        raise ConfigError(
            f"hooks={where!r}: {name}{inspect.signature(value)} cannot be called; {expected}"
        ) from None
    except ValueError:  # written in C: it does not tell
        pass
    return value


def _refuse_misspelt(name: str, where: str) -> None:
    near = difflib.get_close_matches(name, HOOKS, n=1, cutoff=ALIKE)
    if near:
        raise ConfigError(
            f"hooks={where!r}: there is no hook {name!r}; did you mean {near[0]!r}? "
            f"The hooks are {', '.join(HOOKS)}; other functions may begin with an underscore"
        )


def _first_line(exc: BaseException) -> str:
    text = str(exc).strip().splitlines()
    return f"{type(exc).__name__}: {text[0]}" if text else type(exc).__name__


def _place(exc: BaseException, path: str) -> str:
    """Return the line of the file at which something was raised, empty where there is none."""
    lines = [
        frame.lineno for frame in traceback.extract_tb(exc.__traceback__) if frame.filename == path
    ]
    return f"line {lines[-1]}: " if lines else ""
