"""UNIX sockets with a path: made in place of leftovers, removed by whoever made them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import sys
import time
from typing import TYPE_CHECKING, Final

from uvicorn_worker.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

# `sun_path` of unix(7) less its NUL: 108 bytes on Linux, 104 elsewhere.
LONGEST_PATH: Final = 107 if sys.platform == "linux" else 103

# Another server may be binding in the same folder: a matter of microseconds.
LOCK_TRIES: Final = 100
LOCK_PAUSE: Final = 0.01  # seconds


class UnixListener(socket.socket):
    """A listening socket that knows the file it made."""

    def __init__(self, fileno: int | None = None) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno)
        self.path = ""
        self._made: tuple[int, ...] | None = None
        self._owner = os.getpid()

    def open(self, path: str, *, mode: int, backlog: int) -> None:
        """Listen on a file of permissions `mode`; a socket that nobody listens on gives way.

        Raises:
            ConfigError: something is there that must not be removed.
            OSError: the file cannot be made.
        """
        _check_length(path)
        # The file gets the socket's own mode, less the umask: at no time may more be allowed than
        # in the end. (Not on macOS, where sockets have no mode.)
        with contextlib.suppress(OSError):
            os.fchmod(self.fileno(), mode)
        with _lock(os.path.dirname(path) or "."):
            _remove_leftover(path)
            self.bind(path)
            # Absolute: the process may change its folder before it ends.
            self.path, self._made = os.path.abspath(path), _identity(path)
            os.chmod(path, mode)
            self.listen(backlog)

    @classmethod
    def inherited(cls, sock: socket.socket, path: str) -> UnixListener:
        """Return a listening socket whose file another process has made; takes `sock` over."""
        listener = cls(sock.detach())
        listener.path = path
        return listener

    def claim(self) -> None:
        """Take the file over from the process that has made it."""
        with contextlib.suppress(OSError):  # removed by somebody: nothing to take over
            self._made, self._owner = _identity(self.path), os.getpid()

    def disown(self) -> None:
        """Leave the file to the process that has taken it over."""
        self._made = None

    def unlink(self) -> None:
        """Remove the file if this process made it and nobody has replaced it since."""
        if self._made is None or self._owner != os.getpid():
            return
        with contextlib.suppress(OSError):  # gone already, or not ours to remove any more
            if _identity(self.path) == self._made:
                os.unlink(self.path)
        self._made = None


def _identity(path: str) -> tuple[int, ...]:
    # The number alone is not enough: it may be used again as soon as the file and the socket
    # are gone. Connecting does not change the time, nor do chmod and chown.
    status = os.lstat(path)
    return status.st_dev, status.st_ino, status.st_mtime_ns


def _check_length(path: str) -> None:
    length = len(os.fsencode(path))
    if length > LONGEST_PATH:
        raise ConfigError(
            f"cannot listen on unix:{path}: the path has {length} bytes, UNIX sockets have room "
            f"for {LONGEST_PATH}; take a shorter one, like /run/app.sock"
        )


@contextlib.contextmanager
def _lock(folder: str) -> Iterator[None]:
    """Keep other servers from taking a socket that is bound and not yet listened on for a leftover.

    The lock leaves no file behind. It is advice: where it cannot be had, go on without.
    """
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # may be written but not read; what is really wrong `bind` says
        yield
        return
    try:
        for _ in range(LOCK_TRIES):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(LOCK_PAUSE)
            except OSError:  # a file system without locks
                break
        yield
    finally:
        os.close(fd)


def _remove_leftover(path: str) -> None:
    """Remove a socket that nobody listens on; raises ConfigError for whatever else is there."""
    try:
        found = os.stat(path).st_mode
    except FileNotFoundError:
        if not os.path.islink(path):
            return
        found = stat.S_IFLNK
    if not stat.S_ISSOCK(found):
        raise ConfigError(
            f"cannot listen on unix:{path}: {_kind(found)} has that name, and is left alone; "
            "take another path"
        )
    if _answers(path):
        raise ConfigError(
            f"cannot listen on unix:{path}: another process listens there; stop it "
            f"(`ss -lxp src {path}` shows which) or take another path"
        )
    os.unlink(path)


def _answers(path: str) -> bool:
    """Return whether somebody listens on a socket's file; what cannot be told is taken for yes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setblocking(False)
        return client.connect_ex(path) not in (errno.ECONNREFUSED, errno.ENOENT)


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISREG(mode):
        return "a file that is no socket"
    return "something that is no socket"
