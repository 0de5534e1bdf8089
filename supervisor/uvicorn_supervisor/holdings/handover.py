"""What an upgrade passes from one supervisor to the next: sockets, counters, and who says when.

The old one starts the new program with the sockets open and a variable that describes them. The
new one takes them instead of binding; when its workers serve, it writes a byte to the old one's
mailbox, and the files of UNIX sockets are its own from then on. Until that moment the old one owns
everything, so that a new one that fails leaves nothing behind and takes nothing away.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from uvicorn_supervisor.workers.line import FAILED, SUCCESSOR, Word, say
from uvicorn_worker.errors import ConfigError
from uvicorn_worker.sockets.binds import Inherited
from uvicorn_worker.sockets.inherited import adopt
from uvicorn_worker.sockets.unix import UnixListener

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping, Sequence

# Not UVICORN_...: that is for options.
VARIABLE: Final = "_UVICORN_HANDOVER"

NO_LINE: Final = -1

# Written to the old supervisor's mailbox: no signal has this number, and news are zeros.
TAKEN_OVER: Final = 255


@dataclass(frozen=True, slots=True)
class Passed:
    """A listening socket: its descriptor, and the file that it has (empty: none of ours)."""

    fd: int
    path: str


@dataclass(frozen=True, slots=True)
class Counter:
    """One on which questions are taken: for what, and its address as the configuration has it."""

    name: str
    address: str
    socket: Passed


@dataclass(frozen=True, slots=True)
class Wishes:
    """What people have told a running supervisor that its configuration does not say."""

    workers: int = 0  # to keep ready; 0: as configured
    level: int = 0  # of the log; 0: as configured


NOTHING_WISHED: Final = Wishes()


@dataclass(frozen=True, slots=True)
class Handover:
    """What one supervisor passes to the next."""

    pid: int  # the old supervisor
    mailbox: int  # descriptor: the writing end of its mailbox
    sockets: tuple[Passed, ...]
    counters: tuple[Counter, ...] = ()
    line: int = NO_LINE  # descriptor: to say why it has failed
    wishes: Wishes = NOTHING_WISHED
    rooms: tuple[int, ...] = ()  # descriptors: what has been counted (`metrics.heritage`)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What has to stay open in the new program."""
        passed = (*self.sockets, *(one.socket for one in self.counters))
        lines = () if self.line == NO_LINE else (self.line,)
        return (self.mailbox, *lines, *self.rooms, *(one.fd for one in passed))

    def announce(self) -> dict[str, str]:
        """Return the variables for the new program."""
        content = {
            "pid": self.pid,
            "mailbox": self.mailbox,
            "line": self.line,
            "workers": self.wishes.workers,
            "level": self.wishes.level,
            "rooms": self.rooms,
            "sockets": [[one.fd, one.path] for one in self.sockets],
            "counters": [
                [one.name, one.address, one.socket.fd, one.socket.path] for one in self.counters
            ],
        }
        return {VARIABLE: json.dumps(content)}

    def explain(self, why: str) -> None:
        """Say, in the new supervisor, why it cannot serve; it ends then."""
        if self.line != NO_LINE:
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self.line)) as line:
                say(line, Word(FAILED, SUCCESSOR, why))

    def done(self, sockets: Iterable[socket.socket]) -> None:
        """Say, in the new supervisor, that it serves: the files of the sockets are its own now."""
        for sock in sockets:
            if isinstance(sock, UnixListener):
                sock.claim()
        # Closed at the other end: the old one has ended already, which comes to the same.
        with contextlib.suppress(BrokenPipeError, BlockingIOError):
            os.write(self.mailbox, bytes([TAKEN_OVER]))
        os.close(self.mailbox)
        if self.line != NO_LINE:
            os.close(self.line)


def offer(
    sockets: Sequence[socket.socket],
    mailbox: int,
    counters: Mapping[tuple[str, str], Sequence[socket.socket]] | None = None,
    line: int = NO_LINE,
    wishes: Wishes = NOTHING_WISHED,
    rooms: Iterable[int] = (),
) -> Handover:
    """Return what the running supervisor passes on; nothing is its successor's yet.

    `counters` are listening sockets by name and address.
    """
    return Handover(
        os.getpid(),
        mailbox,
        tuple(map(_passed, sockets)),
        tuple(
            Counter(name, address, _passed(sock))
            for (name, address), listeners in (counters or {}).items()
            for sock in listeners
        ),
        line,
        wishes,
        tuple(rooms),
    )


def _passed(sock: socket.socket) -> Passed:
    return Passed(sock.fileno(), sock.path if isinstance(sock, UnixListener) else "")


def give_up(sockets: Iterable[socket.socket]) -> None:
    """Leave the files of UNIX sockets to the successor, which serves."""
    for sock in sockets:
        if isinstance(sock, UnixListener):
            sock.disown()


def receive(environ: MutableMapping[str, str]) -> Handover | None:
    """Return what has been passed to this process, None where nothing has.

    The variable is removed: it is for nobody else.

    Raises:
        ConfigError: it cannot be read.
    """
    text = environ.pop(VARIABLE, None)
    if text is None:
        return None
    try:
        content: dict[str, Any] = json.loads(text)
        passed = tuple(Passed(int(fd), str(path)) for fd, path in content["sockets"])
        counters = tuple(
            Counter(str(name), str(address), Passed(int(fd), str(path)))
            for name, address, fd, path in content.get("counters", ())
        )
        handover = Handover(
            int(content["pid"]),
            int(content["mailbox"]),
            passed,
            counters,
            int(content.get("line", NO_LINE)),
            Wishes(int(content.get("workers", 0)), int(content.get("level", 0))),
            tuple(map(int, content.get("rooms", ()))),
        )
    except (ValueError, TypeError, KeyError):
        raise ConfigError(f"{VARIABLE}={text!r}: expected what a supervisor sets") from None
    # Somebody else's: an application's child has inherited the variable.
    return handover if handover.pid == os.getppid() else None


def adopt_all(handover: Handover, *, backlog: int) -> list[socket.socket]:
    """Return the sockets that were passed, listening; the caller owns them.

    Raises:
        ConfigError: one cannot be used. None stays open.
    """
    os.set_inheritable(handover.mailbox, False)
    if handover.line != NO_LINE:
        os.set_inheritable(handover.line, False)
    with contextlib.ExitStack() as undo:
        sockets = [_adopt(one, backlog, undo) for one in handover.sockets]
        undo.pop_all()
    return sockets


def adopt_counters(
    handover: Handover, *, backlog: int
) -> dict[tuple[str, str], list[socket.socket]]:
    """Return the sockets for questions that were passed, by name and address; as `adopt_all`."""
    found: dict[tuple[str, str], list[socket.socket]] = {}
    with contextlib.ExitStack() as undo:
        for one in handover.counters:
            sock = _adopt(one.socket, backlog, undo)
            found.setdefault((one.name, one.address), []).append(sock)
        undo.pop_all()
    return found


def _adopt(one: Passed, backlog: int, undo: contextlib.ExitStack) -> socket.socket:
    sock = adopt(Inherited(one.fd), backlog=backlog)
    undo.callback(sock.close)
    if one.path:
        sock = UnixListener.inherited(sock, one.path)
        undo.callback(sock.close)
    sock.set_inheritable(False)
    return sock
