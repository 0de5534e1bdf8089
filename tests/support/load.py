"""Clients that keep a server busy and count exactly what became of every request.

    with Load(server.address, busy=4, reconnecting=3, idle=6) as load:
        server.signal(signal.SIGHUP)
        ...
    assert load.outcomes.losses() == {}

The clients run in a thread with a loop of its own, so that the test can go on with signals and
waiting. They speak HTTP/1.1 over raw connections and do what the RFC asks of a client: after an
answer with `Connection: close` nothing more is sent there. Therefore every request without an
answer is the server's fault. Each request carries an id that its answer must repeat; an answer
out of order, doubled or meant for somebody else is found that way.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import itertools
import random
import threading
import time
from typing import TYPE_CHECKING

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from tests.support.replies import Address

REQUEST_TIMEOUT = 10.0
"""Seconds until a request counts as lost; many times what a reload lets it wait."""

LOSSES_TIMED = 10_000

PROBLEMS_KEPT = 10
"""Descriptions of each kind kept for the message of a failed test; all are counted."""


@dataclasses.dataclass(slots=True)
class Outcomes:
    """How many requests ended how. Each request is counted once, under one name.

    `refused` and `closed_early` count connections: there, no request was sent.
    """

    ok: int = 0
    refused: int = 0
    """No connection: nobody listens."""
    reset_new: int = 0
    """The connection ended before a byte of the answer to its first request."""
    reset_kept: int = 0
    """The same for a later request, on a connection whose close had not been announced."""
    closed_early: int = 0
    """Closed unannounced before its keep-alive time, noticed before a request was sent on it."""
    cut: int = 0
    """The connection ended inside an answer."""
    errors: int = 0
    """A complete answer with status 5xx: the server says that it failed."""
    wrong: int = 0
    """Another status or body than asked for, somebody else's answer, or bytes behind it."""
    timeout: int = 0
    """No complete answer in time."""
    retried: int = 0
    """Pipelined behind an answer that announced the close; sent again, so no loss."""
    closes: int = 0
    """Connections that ended properly after the server had announced it. No loss."""
    served_by: collections.Counter[int] = dataclasses.field(default_factory=collections.Counter)
    """Good answers by process id."""
    slowest: float = 0.0
    """Seconds: the longest wait for a connection or a good answer, a slow path's own time in it."""
    lost_at: list[float] = dataclasses.field(default_factory=list)
    """When requests were lost (`time.monotonic()`), the first LOSSES_TIMED of them."""
    problems: list[str] = dataclasses.field(default_factory=list)
    """The first losses: when, which client, what."""

    def losses(self, *, allowed: Sequence[str] = ()) -> dict[str, object]:
        """Return the non-zero counts of lost requests with their descriptions; {} if none.

        `allowed` names counts that the scenario makes unavoidable.
        """
        names = [
            "refused",
            "reset_new",
            "reset_kept",
            "closed_early",
            "cut",
            "errors",
            "wrong",
            "timeout",
        ]
        lost: dict[str, object] = {
            name: getattr(self, name)
            for name in names
            if name not in allowed and getattr(self, name)
        }
        if lost:
            problems = [line for line in self.problems if line.split(": ")[1] in lost]
            lost |= {"ok": self.ok, "problems": problems}
        return lost


class Load:
    """Clients at work from `with` to its end, where they finish what they have begun."""

    def __init__(
        self,
        address: Address,
        *,
        busy: int = 0,
        reconnecting: int = 0,
        idle: int = 0,
        pipelining: int = 0,
        paths: Sequence[str] = ("/pid", "/pid", "/pid", "/sleep?s=0.02"),
        pause: float = 0.002,
        idle_time: float = 1.0,
        until_refused: bool = False,
        seed: int = 1,
    ) -> None:
        """Prepare so many clients of each kind.

        `busy` ones keep their connection and send every `pause` seconds, `reconnecting` ones make
        a connection per request, `idle` ones keep theirs and wait up to `idle_time` seconds
        between two requests (choose it below the server's keep-alive time), `pipelining` ones send
        three requests at once. `until_refused`: a client ends when nobody listens any more.
        """
        self.outcomes = Outcomes()
        self._address = address
        self._paths = itertools.cycle(paths)
        self._pause = pause
        self._idle_time = idle_time
        self._until_refused = until_refused
        self._random = random.Random(seed)
        self._ids = itertools.count(1)
        self._clients: list[Callable[[str], Coroutine[None, None, None]]] = [
            *[self._keep_alive] * busy,
            *[self._reconnect] * reconnecting,
            *[self._idle] * idle,
            *[self._pipeline] * pipelining,
        ]
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load")
        self._started = time.monotonic()
        self._stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._crash: BaseException | None = None

    def __enter__(self) -> Load:
        self._started = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        loop = eventually(lambda: self._loop)
        if self._thread.is_alive():
            loop.call_soon_threadsafe(self._stop.set)
        self.join()

    def join(self) -> None:
        """Wait for the end of all clients: after the block, or with `until_refused` within it."""
        self._thread.join(REQUEST_TIMEOUT * 3)
        assert not self._thread.is_alive(), f"clients hang: {self.outcomes}"
        if self._crash is not None:
            raise self._crash

    def wait_for_requests(self, count: int, *, timeout: float = 10.0) -> None:
        """Wait until `count` further requests were answered well."""
        goal = self.outcomes.ok + count
        eventually(
            lambda: self.outcomes.ok >= goal or self._crash,
            timeout=timeout,
            message=f"{count} more good answers ({self.outcomes})",
        )

    async def _run(self) -> None:
        try:
            clients = [
                client(f"{client.__name__.strip('_')}-{number}")
                for number, client in enumerate(self._clients)
            ]
            self._loop = asyncio.get_running_loop()
            await asyncio.gather(*clients)
        except BaseException as exc:  # a bug of a client: raised again in the test's thread
            self._crash = exc
            if not isinstance(exc, Exception):
                raise

    # Kinds of clients. Each returns when the load is over.

    async def _keep_alive(self, name: str) -> None:
        await self._converse(name, lambda: self._pause)

    async def _idle(self, name: str) -> None:
        await self._converse(name, lambda: self._random.uniform(0, self._idle_time))

    async def _reconnect(self, name: str) -> None:
        polite = itertools.cycle((True, False))  # says `Connection: close`, or just leaves
        while not self._stop.is_set():
            connection = await self._connect(name)
            if connection is not None:
                with connection:
                    await connection.exchange(last=next(polite))
            if connection is None and self._until_refused:
                return
            await self._wait(self._pause)

    async def _pipeline(self, name: str) -> None:
        while not self._stop.is_set():
            connection = await self._connect(name)
            if connection is None:
                if self._until_refused:
                    return
                await self._wait(self._pause)
                continue
            with connection:
                while not self._stop.is_set() and await connection.exchange(count=3):
                    await self._wait(self._pause)

    async def _converse(self, name: str, pause: Callable[[], float]) -> None:
        """Send on one connection as long as the server keeps it, then on the next."""
        while not self._stop.is_set():
            connection = await self._connect(name)
            if connection is None:
                if self._until_refused:
                    return
                await self._wait(self._pause)
                continue
            with connection:
                while not self._stop.is_set() and await connection.exchange():
                    await self._wait(pause())

    async def _wait(self, seconds: float) -> None:
        """Sleep, but not beyond the end of the load."""
        if seconds < 0.05:  # the usual case; not worth a task for each request
            await asyncio.sleep(seconds)
            return
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    async def _connect(self, name: str) -> _Connection | None:
        if isinstance(self._address, str):
            opening = asyncio.open_unix_connection(self._address)
        else:
            opening = asyncio.open_connection(*self._address)
        begin = time.monotonic()
        try:
            streams = await asyncio.wait_for(opening, REQUEST_TIMEOUT)
        except asyncio.TimeoutError:
            self.lost("timeout", name, "no connection")
        except (ConnectionRefusedError, FileNotFoundError) as exc:
            self.lost("refused", name, repr(exc))
        except OSError as exc:  # a listener that closed in this instant
            self.lost("reset_new", name, repr(exc))
        else:
            self.answered(begin)
            return _Connection(self, name, *streams)
        return None

    def answered(self, begin: float) -> None:
        """Note how long somebody waited who began at this time."""
        self.outcomes.slowest = max(self.outcomes.slowest, time.monotonic() - begin)

    def next_request(self) -> tuple[str, str]:
        """Return a new id and the target that carries it."""
        number = str(next(self._ids))
        path = next(self._paths)
        return number, f"{path}{'&' if '?' in path else '?'}id={number}"

    def lost(self, kind: str, name: str, what: str, count: int = 1) -> None:
        """Count lost requests and keep the first descriptions."""
        setattr(self.outcomes, kind, getattr(self.outcomes, kind) + count)
        if len(self.outcomes.lost_at) < LOSSES_TIMED:
            self.outcomes.lost_at.append(time.monotonic())
        if getattr(self.outcomes, kind) <= PROBLEMS_KEPT:
            after = time.monotonic() - self._started
            self.outcomes.problems.append(f"{after:.3f} s {name}: {kind}: {what}")


class _Lost(Exception):
    """A request without a good answer: the name of its count, and what was seen."""


class _Connection:
    """One connection of a client; closed at the end of its `with` block."""

    def __init__(
        self, load: Load, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._load = load
        self._name = f"{name} port {(writer.get_extra_info('sockname') or '?')[-1]}"
        self._reader = reader
        self._writer = writer
        self._exchanges = 0

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._writer.close()

    async def exchange(self, *, count: int = 1, last: bool = False) -> bool:
        """Send `count` requests and read their answers; return whether the connection goes on.

        `last`: tell the server to close after the answer.
        """
        if self._reader.at_eof() or self._reader.exception() is not None:
            kind = "closed_early" if self._exchanges else "reset_new"
            self._load.lost(kind, self._name, f"after {self._exchanges} exchanges")
            return False
        requests = [self._load.next_request() for _ in range(count)]
        close = "Connection: close\r\n" if last else ""
        begin = time.monotonic()
        self._writer.writelines(
            f"GET {target} HTTP/1.1\r\nHost: load\r\n{close}\r\n".encode() for _, target in requests
        )
        for position, (number, target) in enumerate(requests):
            try:
                answer = self._answer(number, first=position == 0)
                closes = await asyncio.wait_for(answer, REQUEST_TIMEOUT)
            except asyncio.TimeoutError:
                self._load.lost("timeout", self._name, target, count - position)
                return False
            except _Lost as exc:
                self._load.lost(
                    exc.args[0], self._name, f"{target}: {exc.args[1]}", count - position
                )
                return False
            self._load.answered(begin)
            if closes:
                self._load.outcomes.retried += count - position - 1
                return False
        self._exchanges += 1
        return True

    async def _answer(self, number: str, *, first: bool) -> bool:
        """Read one answer and count it; return whether the connection is over after it.

        Raises:
            _Lost: it is not what was asked for, or did not come.
        """
        kind = "reset_new" if first and not self._exchanges else "reset_kept"
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
            kind = "cut"
            status, headers = _parse_head(head)
            body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        except asyncio.IncompleteReadError as exc:
            raise _Lost(
                "cut" if exc.partial else kind, f"end of stream after {exc.partial!r}"
            ) from exc
        except OSError as exc:
            raise _Lost(kind, repr(exc)) from exc
        pid, _, answered = body.decode("latin-1").strip().partition(" ")
        if status >= 500:
            raise _Lost("errors", f"{head!r}")
        if status != 200 or answered != number:
            raise _Lost("wrong", f"{head!r} {body[:200]!r}")
        closes = headers.get("connection", "").lower() == "close" and await self._ended()
        self._load.outcomes.ok += 1
        self._load.outcomes.served_by[int(pid)] += 1
        return closes

    async def _ended(self) -> bool:
        """Return True when the server has closed after having announced it.

        Raises:
            _Lost: it sent more, or does not close.
        """
        try:
            more = await self._reader.read(100)
        except OSError:  # a reset after a complete answer; no request of ours was on its way
            more = b""
        if more:
            raise _Lost("wrong", f"bytes after the last answer: {more!r}")
        self._load.outcomes.closes += 1
        return True


def _parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Return the status and the fields, names in lower case."""
    status_line, *lines = head.decode("latin-1").split("\r\n")[:-2]
    fields = (line.partition(":") for line in lines)
    return int(status_line.split()[1]), {name.lower(): value.strip() for name, _, value in fields}
