"""Tells when files change, for `--reload`.

A process of its own looks: watchfiles has a thread, which the supervisor must not have when it
forks, and looking through a large tree takes longer than a loop may be kept. It writes lines of
JSON to a pipe and ends when its standard input does, so with whoever has started it.

    supervisor:  Watcher(watched, delay)  ->  fileno() is readable  ->  read()
    process:     python -m uvicorn_supervisor.reloading.watching
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from uvicorn_supervisor.reloading.patterns import Watched

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

STDIN: Final = 0

# Changes are told when none has come for STEP milliseconds (an editor, or a checkout of git, makes
# many at once), or after DEBOUNCE at the latest; the latter is what watchfiles has itself.
STEP: Final = 50
DEBOUNCE: Final = 1600

# Never entered by polling: nothing in them is anybody's source, and they can be very large.
NOT_POLLED: Final = frozenset({"__pycache__", "node_modules", ".git", ".hg", ".svn"})
ENVIRONMENT: Final = "pyvenv.cfg"  # in the folder of a virtual environment

Signature = tuple[int, int]
"""Time of the last change in nanoseconds, and size in bytes."""


class News(NamedTuple):
    """What has come since the last time."""

    changed: list[str]  # paths of files, sorted
    notes: list[str]  # for the log: how it is watched, and what is wrong
    ended: bool  # nothing will come any more: the process has died


# -- in the supervisor


class Watcher:
    """The process that looks, and the pipe from it. Close it at the end."""

    def __init__(self, watched: Watched, delay: float) -> None:
        """Start the process; `delay` is the time between two looks in seconds.

        What changes from now on is told, also before the process has begun to look.
        """
        plan = {
            "folders": [str(one) for one in watched.folders],
            "includes": watched.includes,
            "excludes": watched.excludes,
            "excluded_folders": [str(one) for one in watched.excluded_folders],
            "since": time.time_ns(),
        }
        self._rest = b""
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "uvicorn_supervisor.reloading.watching",
                json.dumps(plan),
                str(delay),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C reaches all of a terminal's group; this one ends when its input does.
            start_new_session=True,
        )
        os.set_blocking(self.fileno(), False)

    @property
    def pid(self) -> int:
        return self._process.pid

    def fileno(self) -> int:
        """Return the descriptor that is readable when there are news."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def read(self) -> News:
        """Return what has come; never waits."""
        news = News([], [], ended=False)
        try:
            while data := os.read(self.fileno(), 65536):
                self._rest += data
            news = news._replace(ended=True)
        except BlockingIOError:
            pass
        *lines, self._rest = self._rest.split(b"\n")
        changed: set[str] = set()
        for line in lines:
            message = json.loads(line)
            changed.update(message.get("changed", ()))
            news.notes.extend(message.get("notes", ()))
        return news._replace(changed=sorted(changed))

    def close(self) -> None:
        """End the process. It need not be waited for: it holds nothing that others want."""
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Watcher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


# -- in the process that looks


class Leash:
    """Whether the supervisor still is there."""

    def is_set(self) -> bool:
        """Return whether it has gone; the name is that of `threading.Event`, for watchfiles."""
        return self.wait(0)

    def wait(self, timeout: float) -> bool:
        """Return as soon as it has gone, False after `timeout` seconds."""
        readable, _, _ = select.select([STDIN], [], [], timeout)
        return bool(readable)  # nobody writes there: it is at its end


def main(arguments: list[str]) -> None:
    """Watch until the supervisor goes; the arguments are a plan as JSON, and the delay."""
    plan: dict[str, Any] = json.loads(arguments[0])
    watched = Watched(
        folders=tuple(map(Path, plan["folders"])),
        includes=tuple(plan["includes"]),
        excludes=tuple(plan["excludes"]),
        excluded_folders=tuple(map(Path, plan["excluded_folders"])),
    )
    try:
        watch(watched, float(arguments[1]), Leash(), plan["since"])
    except BrokenPipeError:
        os._exit(0)  # the supervisor has gone: nobody to tell, not even at the interpreter's end


def watch(watched: Watched, delay: float, leash: Leash, since: int) -> None:
    """Tell of changes until the supervisor has gone, as of `since`, in nanoseconds."""
    try:
        changes = _notified(watched, delay, leash)
        first = next(changes, None)  # it begins to watch
    except ImportError:
        changes, first = polled(watched, delay, leash), None
        _tell(notes=[_how(watched, f"looking every {delay:g} s (watchfiles is not installed)")])
    except (OSError, RuntimeError) as exc:  # the limit of inotify, most often
        changes, first = polled(watched, delay, leash), None
        _tell(notes=[_how(watched, f"looking every {delay:g} s, as watchfiles failed: {exc}")])
    else:
        _tell(notes=[_how(watched, "with watchfiles")])
    if early := (first or set()) | changed_since(since, watched):
        _tell(changed=sorted(early))
    for paths in changes:
        _tell(changed=sorted(paths))


def changed_since(since: int, watched: Watched) -> set[str]:
    """Return the files that were written or moved here after an instant, in nanoseconds.

    A worker imports its application while this process starts, and may have the code of before.
    """
    changed = set()
    for path, _ in _signatures(watched):
        with contextlib.suppress(OSError):  # has just gone
            status = os.stat(path)
            if max(status.st_mtime_ns, status.st_ctime_ns) > since:
                changed.add(path)
    return changed


def polled(watched: Watched, delay: float, leash: Leash) -> Iterator[set[str]]:
    """Yield the files that have changed, come or gone since the call, until the supervisor goes."""
    return _differences(dict(_signatures(watched)), watched, delay, leash)


def _differences(
    before: dict[str, Signature], watched: Watched, delay: float, leash: Leash
) -> Iterator[set[str]]:
    while not leash.wait(delay):
        after = dict(_signatures(watched))
        if after != before:
            yield {path for path, _ in before.items() ^ after.items()}
        before = after


def _notified(watched: Watched, delay: float, leash: Leash) -> Iterator[set[str]]:
    """Do as `polled`, with watchfiles; yields nothing as soon as it watches."""
    import watchfiles

    os.environ["WATCHFILES_IGNORE_PERMISSION_DENIED"] = "1"  # the argument came with 0.22
    batches = watchfiles.watch(
        *watched.folders,
        watch_filter=None,
        debounce=DEBOUNCE,
        step=STEP,
        stop_event=leash,
        rust_timeout=STEP,
        yield_on_timeout=True,
        raise_interrupt=False,
    )
    begun = False
    for batch in batches:
        paths = {path for _, path in batch if watched.wants(Path(path))}
        if paths or not begun:
            begun = True
            yield paths
        if paths and leash.wait(delay):
            return


def _signatures(watched: Watched) -> Iterator[tuple[str, Signature]]:
    for top in watched.folders:
        for folder, folders, files in os.walk(top):
            here = Path(folder)
            folders[:] = [
                name
                for name in folders
                if name not in NOT_POLLED
                and watched.enters(here / name)
                and not os.path.exists(os.path.join(folder, name, ENVIRONMENT))
            ]
            for name in files:
                path = here / name
                if watched.wants(path):
                    try:
                        status = path.stat()
                    except OSError:  # has just gone
                        continue
                    yield str(path), (status.st_mtime_ns, status.st_size)


def _how(watched: Watched, how: str) -> str:
    return f"Watching {', '.join(map(str, watched.folders))} for changes, {how}"


def _tell(**message: list[str]) -> None:
    os.write(sys.stdout.fileno(), json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1:])
