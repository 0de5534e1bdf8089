"""What a case is, and what passes: the wire, the end of the connection, the application's view."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.apps.conformance import ConformanceApp, echoed
from tests.support.rawhttp import End, RawClient, Response
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from logging import LogRecord

    from tests.apps.conformance import Call
    from tests.support.serving import RunningServer

PROBE = b"GET /probe HTTP/1.1\r\nHost: a\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
IMF_FIXDATE = re.compile(
    rb"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) "
    rb"\d{4} [0-2]\d:[0-5]\d:[0-6]\d GMT"
)


@dataclass(frozen=True)
class Want:
    """A request as the application has to see it; `fields` are those that must be in the scope."""

    target: str = "/"
    method: str = "GET"
    body: bytes = b""
    version: str = "1.1"
    fields: tuple[tuple[str, str], ...] = ()
    without: tuple[str, ...] = ()
    path: str | None = None


@dataclass(frozen=True)
class Case:
    """Bytes to send and what has to come of them.

    `calls` are answered with 200 in order. With `refused`, what follows them gets one of these
    statuses, then the connection ends; with `lenient`, accepting it as these calls is right too.
    """

    name: str
    rule: str
    data: bytes
    calls: tuple[Want, ...] = ()
    refused: frozenset[int] = frozenset()
    lenient: tuple[Want, ...] | None = None
    closes: bool = False


@dataclass
class Target:
    """A running server with the conformance application in it."""

    server: RunningServer
    app: ConformanceApp
    clients: list[RawClient] = field(default_factory=list)

    @contextmanager
    def connect(self) -> Iterator[RawClient]:
        """A new connection; its requests can be told from every other's by its port."""
        with RawClient((self.server.host, self.server.port)) as client:
            self.app.forget(client.address[1])
            yield client

    def calls(self, client: RawClient) -> list[Call]:
        """Return the calls that this client's requests led to."""
        return self.app.of(client.address[1])

    def call(self, path: str) -> Call:
        """Return the only call for a path of `app.behave`, when it has begun."""
        eventually(lambda: self.app.at(path), message=f"a call for {path}")
        (call,) = self.app.at(path)
        return call

    def finished(self, path: str) -> Call:
        """Return the only call for a path, when the application has returned."""
        call = self.call(path)
        eventually(lambda: call.returned, message=f"the application returns from {path}")
        return call

    def errors(self, since: int = 0) -> list[LogRecord]:
        """Return the records of level ERROR and above, from number `since` of the log on."""
        return [record for record in self.server.log[since:] if record.levelno >= 40]


def head(line: str, *fields: str, host: str | None = "a") -> bytes:
    """Return a message head in latin-1: request line, Host (unless None), fields, empty line."""
    lines = [line, *([f"Host: {host}"] if host is not None else []), *fields]
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n"


def get(target: str = "/", *fields: str) -> bytes:
    """Return a GET request with Host and these fields."""
    return head(f"GET {target} HTTP/1.1", *fields)


def post(body: bytes | str, *fields: str, target: str = "/") -> bytes:
    """Return a POST request with exactly these fields beside Host, then `body` as it stands."""
    raw = body.encode("latin-1") if isinstance(body, str) else body
    return head(f"POST {target} HTTP/1.1", *fields) + raw


def accepted(name: str, rule: str, data: bytes, *calls: Want, closes: bool = False) -> Case:
    """A case that has to be served; without `calls`, as one GET of `/`."""
    return Case(name, rule, data, calls or (Want(),), closes=closes)


def refused(
    name: str, rule: str, data: bytes, *statuses: int, after: tuple[Want, ...] = ()
) -> Case:
    """A case that has to be refused (400 unless said), after the calls that stand before it."""
    return Case(name, rule, data, after, frozenset(statuses or (400,)))


def either(name: str, rule: str, data: bytes, *calls: Want, statuses: tuple[int, ...] = ()) -> Case:
    """A case where the RFC leaves the choice: refused, or served as `calls`."""
    return Case(name, rule, data, (), frozenset(statuses or (400,)), calls or (Want(),))


def run(case: Case, target: Target, step: int) -> None:
    """Play a case; `step` is the size of the pieces that are sent, 0 for all at once."""
    data = case.data + (SMUGGLED if case.refused else b"")
    with target.connect() as client:
        client.send(data, step)
        for want in case.calls:
            response = client.read_response(want.method)
            check_answer(response, want)
            last = want is case.calls[-1] and not case.refused
            check_announcement(response, want, ends=case.closes and last)
        calls = case.calls
        if case.refused:
            first = case.lenient[0].method if case.lenient else "GET"
            response = client.read_response(first)
            if case.lenient is not None and response.status == 200:
                calls = case.lenient
                check_served_instead(client, response, calls)
            else:
                check_refusal(client, response, case.refused)
        elif case.closes:
            assert client.read_end() is End.EOF
        else:
            check_open(client)
        check_calls(target, client, calls)


def check_answer(response: Response, want: Want) -> None:
    """Check the answer that the application gave to `want`."""
    assert response.status == 200, response
    check_fields(response)
    if want.method != "HEAD":
        method, _, rest = response.body.partition(b" ")
        assert method == want.method.encode(), response
        target, _, body = rest.partition(b"\n")
        assert body == want.body, response
        assert target == want.target.encode("latin-1"), response


def check_announcement(response: Response, want: Want, *, ends: bool) -> None:
    """Check that the answer says what becomes of the connection (RFC 9112 sections 9.3, 9.6)."""
    options = response.connection_options
    if ends:
        assert b"keep-alive" not in options, response
        assert response.says_close or want.version == "1.0", response
    else:
        assert not response.says_close, response
        assert b"keep-alive" in options or want.version == "1.1", response


def check_fields(response: Response) -> None:
    """Check the fields that the server adds (RFC 9110 sections 6.6.1 and 10.2.4)."""
    date = response.get(b"date")
    assert date is not None, response
    assert IMF_FIXDATE.fullmatch(date), response
    assert response.get(b"server"), response


def check_refusal(client: RawClient, response: Response, statuses: frozenset[int]) -> None:
    """Check that the message was refused and the connection ends cleanly behind the answer."""
    assert response.status in statuses, f"expected one of {sorted(statuses)}, got {response}"
    assert response.says_close, f"a refusal has to announce the close: {response}"
    check_fields(response)
    assert client.read_end() is End.EOF


def check_served_instead(client: RawClient, response: Response, calls: tuple[Want, ...]) -> None:
    """Check that a message which may be refused, but was not, was understood as `calls`."""
    check_answer(response, calls[0])
    for want in calls[1:]:
        check_answer(client.read_response(want.method), want)
    if response.says_close:
        assert client.read_end() is End.EOF
    else:
        assert client.read_response().body == echoed("GET", b"/smuggled")


def check_as_announced(client: RawClient, response: Response) -> None:
    """Check that the connection ends if the response said so, and takes another request if not."""
    if response.says_close:
        assert client.read_end() is End.EOF
    else:
        check_open(client)


def check_open(client: RawClient) -> None:
    """Check that the connection takes another request, and that no byte was left over."""
    client.send(PROBE)
    response = client.read_response()
    assert response.status == 200, response
    assert response.body == echoed("GET", b"/probe"), response


def check_calls(target: Target, client: RawClient, wanted: tuple[Want, ...]) -> None:
    """Check that the application saw the wanted requests completely, and no other."""
    calls = target.calls(client)
    complete = [c for c in calls if c.complete and c.path not in ("/probe", "/smuggled")]
    assert len(complete) == len(wanted), [(c.scope["method"], c.target, c.body) for c in calls]
    for call, want in zip(complete, wanted, strict=True):
        check_call(call, want)


def check_call(call: Call, want: Want) -> None:
    """Check one request as the application saw it."""
    assert call.scope["method"] == want.method
    assert call.target == want.target.encode("latin-1")
    assert call.scope["http_version"] == want.version
    assert call.body == want.body
    if want.path is not None:
        assert call.path == want.path
    fields = list(map(tuple, call.scope["headers"]))
    for name, value in want.fields:
        assert (name.encode("latin-1"), value.encode("latin-1")) in fields
    names = [name for name, _ in fields]
    for name in want.without:
        assert name.encode("latin-1") not in names


def send_until_answered(client: RawClient, data: bytes) -> None:
    """Send `data` again and again until the server answers or ends the connection."""

    def answered() -> bool:
        client.send(data)
        return not client.quiet()

    eventually(answered, timeout=5, message="the server says that it has had enough")


def ask(target: Target, path: str, method: str = "GET") -> Response:
    """Return the answer to one request on a connection that has to stay usable."""
    with target.connect() as client:
        client.send(head(f"{method} {path} HTTP/1.1"))
        response = client.read_response(method)
        check_open(client)
        return response
