"""The extension of ASGI HTTP that sends a file: `http.response.pathsend`."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.apps.conformance import part, start
from tests.server.conformance.harness import Target, check_as_announced, check_open, get, head
from tests.support.rawhttp import End, Truncated

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from uvicorn_worker.asgi import Message


def pathsend(path: object) -> Message:
    """Return a message that sends a file."""
    return {"type": "http.response.pathsend", "path": path}


SIZES = [0, 1, 1000, 65536, 5_000_000]


@pytest.fixture
def make_file(tmp_path: Path) -> Callable[[int], Path]:
    """Return a maker of files of a size; no two places in them are alike."""

    def make(size: int) -> Path:
        path = tmp_path / f"file-{size}"
        path.write_bytes(random.Random(size).randbytes(size))
        return path

    return make


@pytest.mark.parametrize("sendfile", [True, False])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("known", [True, False], ids=["length", "no-length"])
def test_file_arrives(
    known: bool,
    size: int,
    sendfile: bool,
    make_target: Callable[..., Target],
    make_file: Callable[[int], Path],
) -> None:
    target, file = make_target(sendfile=sendfile), make_file(size)
    fields = [(b"content-length", b"%d" % size)] if known else []
    path = target.app.say(start(200, *fields), pathsend(str(file)))

    with target.connect() as client:
        client.send(get(path) + get("/next"))
        response = client.read_response()
        assert response.body == file.read_bytes()
        assert client.read_response().status == 200
        check_open(client)


@pytest.mark.parametrize("size", [0, 1000, 5_000_000])
def test_file_arrives_in_http_1_0(
    size: int, target: Target, make_file: Callable[[int], Path]
) -> None:
    file = make_file(size)
    path = target.app.say(start(), pathsend(str(file)))

    with target.connect() as client:
        client.send(head(f"GET {path} HTTP/1.0"))
        response = client.read_response()
        assert response.body == file.read_bytes()
        assert client.read_end() is End.EOF


@pytest.mark.parametrize(("status", "method"), [(200, "HEAD"), (304, "GET"), (204, "GET")])
def test_file_stays_off_the_wire_where_no_body_may_be(
    status: int, method: str, target: Target, make_file: Callable[[int], Path]
) -> None:
    path = target.app.say(start(status), pathsend(str(make_file(1000))))

    with target.connect() as client:
        client.send(head(f"{method} {path} HTTP/1.1"))
        response = client.read_response(method)
        assert response.status in (status, 500)
        check_as_announced(client, response)


def test_file_that_is_not_there_is_a_500(target: Target, tmp_path: Path) -> None:
    path = target.app.say(start(), pathsend(str(tmp_path / "missing")))

    with target.connect() as client:
        client.send(get(path))
        response = client.read_response()
        assert response.status == 500
        check_as_announced(client, response)


@pytest.mark.parametrize("length", [b"999", b"1001"], ids=["shorter", "longer"])
def test_file_of_another_length_breaks_nothing(
    length: bytes, target: Target, make_file: Callable[[int], Path]
) -> None:
    file = make_file(1000)
    path = target.app.say(start(200, (b"content-length", length)), pathsend(str(file)))

    with target.connect() as client:
        client.send(get(path))
        try:
            response = client.read_response()
        except Truncated:
            return
        assert response.status == 500 or response.body == file.read_bytes()[: int(length)]
        check_as_announced(client, response)


@pytest.mark.parametrize("what", ["directory", "none", "bytes-with-nul", "relative"])
def test_bad_path_breaks_nothing(what: str, target: Target, tmp_path: Path) -> None:
    values: dict[str, object] = {
        "directory": str(tmp_path),
        "none": None,
        "bytes-with-nul": "\0",
        "relative": "no-such-file-here",
    }
    path = target.app.say(start(), pathsend(values[what]))

    with target.connect() as client:
        client.send(get(path))
        response = client.read_response()
        assert response.status == 500
        check_as_announced(client, response)


def test_nothing_may_follow_a_file(target: Target, make_file: Callable[[int], Path]) -> None:
    file = make_file(1000)
    path = target.app.say(start(), pathsend(str(file)), part(b"more"))

    with target.connect() as client:
        client.send(get(path))
        response = client.read_response()
        assert response.body == file.read_bytes()
        check_as_announced(client, response)


def test_large_file_waits_for_a_slow_reader_and_arrives(
    target: Target, make_file: Callable[[int], Path]
) -> None:
    file = make_file(30_000_000)
    path = target.app.say(start(), pathsend(str(file)))

    with target.connect() as client:
        client.send(get(path))
        assert client.read_response().body == file.read_bytes()
        check_open(client)


def test_client_that_leaves_inside_a_file_is_noticed(
    target: Target, make_file: Callable[[int], Path]
) -> None:
    path = target.app.say(start(), pathsend(str(make_file(30_000_000))))

    with target.connect() as client:
        client.send(get(path))
        client.read_bytes(100_000)
        client.reset()
    call = target.finished(path)
    assert call.outcome is None or isinstance(call.outcome, OSError)
