"""Limits on what a client may send, counted as Gunicorn counts, and on how many may ask at once.

RFC 9110 sections 15.5.14 (413), 15.5.15 (414) and 15.6.4 (503), RFC 6585 section 5 (431).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.apps.conformance import Call, Gate, echoed, part, start
from tests.server.conformance.harness import (
    SMUGGLED,
    Target,
    check_open,
    check_refusal,
    get,
    head,
    post,
    send_until_answered,
)
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeTarget = Callable[..., Target]

LINE, FIELDS, FIELD_SIZE = 16_384, 100, 16_384
WAYS = [pytest.param(0, id="whole"), pytest.param(1000, id="pieces")]
BODY_LIMIT = 1000


def line_of(length: int) -> bytes:
    """Return a request whose request line has `length` bytes without its end."""
    return get("/" + "a" * (length - len("GET / HTTP/1.1")))


def field_of(length: int) -> bytes:
    """Return a request with a field of `length` bytes, line end included."""
    return get("/", "X: " + "v" * (length - len("X: \r\n")))


def fields_of(count: int) -> bytes:
    """Return a request with `count` fields, Host included."""
    return get("/", *(f"X-{number}: v" for number in range(count - 1)))


def is_served(target: Target, data: bytes, step: int = 0) -> None:
    """Check that the request is answered and the connection goes on."""
    with target.connect() as client:
        client.send(data, step)
        assert client.read_response().status == 200
        check_open(client)


def is_refused(target: Target, data: bytes, *statuses: int, step: int = 0) -> None:
    """Check that the request is refused, and that nothing of it or behind it is served."""
    with target.connect() as client:
        client.send(data + SMUGGLED, step)
        check_refusal(client, client.read_response(), frozenset(statuses))
        assert not any(call.complete for call in target.calls(client))


@pytest.mark.parametrize("step", WAYS)
def test_line_at_the_limit_is_served(step: int, target: Target) -> None:
    is_served(target, line_of(LINE), step)


@pytest.mark.parametrize("step", WAYS)
@pytest.mark.parametrize("length", [LINE + 1, LINE + 100, 70_000, 300_000])
def test_line_above_the_limit_gets_414(length: int, step: int, target: Target) -> None:
    is_refused(target, line_of(length), 414, step=step)


@pytest.mark.parametrize("step", WAYS)
def test_field_at_the_limit_is_served(step: int, target: Target) -> None:
    is_served(target, field_of(FIELD_SIZE), step)


@pytest.mark.parametrize("step", WAYS)
@pytest.mark.parametrize("length", [FIELD_SIZE + 1, FIELD_SIZE + 100, 70_000, 300_000])
def test_field_above_the_limit_gets_431(length: int, step: int, target: Target) -> None:
    is_refused(target, field_of(length), 431, step=step)


@pytest.mark.parametrize("step", WAYS)
def test_field_name_above_the_limit_gets_431(step: int, target: Target) -> None:
    is_refused(target, get("/", "n" * FIELD_SIZE + ": v"), 431, step=step)


@pytest.mark.parametrize("step", WAYS)
@pytest.mark.parametrize("count", [1, 50, FIELDS - 1, FIELDS])
def test_fields_up_to_the_limit_are_served(count: int, step: int, target: Target) -> None:
    is_served(target, fields_of(count), step)


@pytest.mark.parametrize("step", WAYS)
@pytest.mark.parametrize("count", [FIELDS + 1, FIELDS + 2, 300, 5000])
def test_fields_above_the_limit_get_431(count: int, step: int, target: Target) -> None:
    is_refused(target, fields_of(count), 431, step=step)


def test_limits_hold_for_the_second_request_too(target: Target) -> None:
    for data, status in [(line_of(LINE + 1), 414), (field_of(FIELD_SIZE + 1), 431)]:
        with target.connect() as client:
            client.send(get("/1") + data)
            assert client.read_response().status == 200
            check_refusal(client, client.read_response(), frozenset({status}))


def test_limits_are_counted_for_each_request(target: Target) -> None:
    with target.connect() as client:
        client.send(fields_of(FIELDS) + field_of(FIELD_SIZE) + line_of(LINE) + fields_of(FIELDS))
        assert [client.read_response().status for _ in range(4)] == [200] * 4
        check_open(client)


@pytest.mark.parametrize(
    ("beginning", "more", "status"),
    [
        (b"GET /", b"a", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"v", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", b"n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", b"X: y\r\n", 431),
    ],
    ids=["line", "value", "name", "fields"],
)
def test_head_without_end_is_refused_at_the_limit(
    beginning: bytes, more: bytes, status: int, target: Target
) -> None:
    with target.connect() as client:
        client.send(beginning + more * 20_000)
        check_refusal(client, client.read_response(), frozenset({status}))


def test_method_without_end_is_refused(target: Target) -> None:
    with target.connect() as client:
        client.send(b"A" * 20_000)
        check_refusal(client, client.read_response(), frozenset({400, 414, 501}))


def test_empty_lines_do_not_keep_a_connection(make_target: MakeTarget) -> None:
    target = make_target(timeout_request_head=0.4, timeout_keep_alive=0.4)

    with target.connect() as client:
        send_until_answered(client, b"\r\n" * 100)
        client.read_rest()
        assert target.calls(client) == []


@pytest.mark.parametrize(
    ("config", "data"),
    [
        ({"limit_request_line": 0}, line_of(100_000)),
        ({"limit_request_fields": 0}, fields_of(1000)),
        ({"limit_request_field_size": 0}, field_of(100_000)),
        ({"limit_request_line": 20_000}, line_of(20_000)),
        ({"limit_request_fields": 200}, fields_of(200)),
        ({"limit_request_field_size": 20_000}, field_of(20_000)),
    ],
    ids=["no-line", "no-fields", "no-field-size", "line", "fields", "field-size"],
)
@pytest.mark.parametrize("step", [0, 50_000])
def test_limits_can_be_raised_and_lifted(
    config: dict[str, Any], data: bytes, step: int, make_target: MakeTarget
) -> None:
    is_served(make_target(**config), data, step)


@pytest.mark.parametrize(
    ("config", "good", "bad", "status"),
    [
        ({"limit_request_line": 100}, line_of(100), line_of(101), 414),
        ({"limit_request_fields": 5}, fields_of(5), fields_of(6), 431),
        ({"limit_request_field_size": 100}, field_of(100), field_of(101), 431),
    ],
    ids=["line", "fields", "field-size"],
)
def test_limits_can_be_lowered(
    config: dict[str, Any], good: bytes, bad: bytes, status: int, make_target: MakeTarget
) -> None:
    target = make_target(**config)

    is_served(target, good)
    is_refused(target, bad, status)


# -- bodies


def chunks_of(length: int, size: int = 100) -> bytes:
    """Return a chunked POST of `length` bytes in chunks of `size`."""
    whole, rest = divmod(length, size)
    sizes = [size] * whole + ([rest] if rest else [])
    chunks = b"".join(b"%x\r\n%b\r\n" % (n, b"c" * n) for n in sizes)
    return post(chunks + b"0\r\n\r\n", "Transfer-Encoding: chunked")


@pytest.mark.parametrize("length", [0, BODY_LIMIT - 1, BODY_LIMIT])
@pytest.mark.parametrize("chunked", [False, True])
def test_body_up_to_the_limit_is_served(
    chunked: bool, length: int, make_target: MakeTarget
) -> None:
    data = chunks_of(length) if chunked else post(b"b" * length, f"Content-Length: {length}")

    is_served(make_target(limit_request_body=BODY_LIMIT), data)


@pytest.mark.parametrize("length", [BODY_LIMIT + 1, 100_000])
@pytest.mark.parametrize("step", [0, 77])
def test_length_above_the_limit_gets_413(length: int, step: int, make_target: MakeTarget) -> None:
    target = make_target(limit_request_body=BODY_LIMIT)

    is_refused(target, post(b"b" * length, f"Content-Length: {length}"), 413, step=step)


def test_length_above_the_limit_gets_413_without_its_body(make_target: MakeTarget) -> None:
    target = make_target(limit_request_body=BODY_LIMIT)

    with target.connect() as client:
        client.send(post("", "Content-Length: 1001", "Expect: 100-continue"))
        response = client.read_response()
        assert response.interim == []
        check_refusal(client, response, frozenset({413}))
        assert target.calls(client) == []


@pytest.mark.parametrize("length", [BODY_LIMIT + 1, 100_000])
@pytest.mark.parametrize("size", [1001, 100, 7])
def test_chunks_above_the_limit_get_413(size: int, length: int, make_target: MakeTarget) -> None:
    is_refused(make_target(limit_request_body=BODY_LIMIT), chunks_of(length, size), 413)


def test_application_never_sees_more_than_the_limit(make_target: MakeTarget) -> None:
    target = make_target(limit_request_body=BODY_LIMIT)
    chunk = b"64\r\n" + b"c" * 100 + b"\r\n"

    async def answer_first(call: Call) -> None:
        await call.say(start(200, (b"content-length", b"2")), part(b"o", True))
        await call.read()
        await call.say(part(b"k"))

    path = target.app.behave(answer_first)
    with target.connect() as client:
        client.send(post(chunk, "Transfer-Encoding: chunked", target=path))
        eventually(lambda: target.call(path).body)
        client.send(chunk * 20)
        answer = client.read_rest()  # cut: it has begun, so no 413 can follow
        assert answer.endswith(b"\r\n\r\no")
    call = target.finished(path)
    assert not call.complete
    assert call.disconnected
    assert len(call.body) <= BODY_LIMIT


def test_what_was_said_before_a_body_is_refused_goes_out(make_target: MakeTarget) -> None:
    target = make_target(limit_request_body=BODY_LIMIT)
    sent = threading.Event()

    async def answer_first(call: Call) -> None:
        await call.say(start(200, (b"content-length", b"2")), part(b"o", True))
        assert sent.wait(10.0)  # the loop stands still, and finds the body when it goes on
        await call.read()

    path = target.app.behave(answer_first)
    with target.connect() as client:
        client.send(post("", "Transfer-Encoding: chunked", target=path))
        target.call(path)
        client.send((b"64\r\n" + b"c" * 100 + b"\r\n") * 20)
        sent.set()
        assert client.read_rest().endswith(b"\r\n\r\no")


# -- how many at once


def test_requests_above_the_concurrency_get_503_with_retry_after(
    make_target: MakeTarget,
) -> None:
    target = make_target(limit_concurrency=2)
    gate = Gate()

    async def wait(call: Call) -> None:
        await gate.passed()
        await call.answer(b"ok")

    path = target.app.behave(wait)
    with target.connect() as one, target.connect() as two, target.connect() as three:
        one.send(get(path))
        two.send(get(path))
        eventually(lambda: gate.reached == 2)
        three.send(get("/three"))
        response = three.read_response()
        assert response.status == 503
        retry = response.get(b"retry-after")
        assert retry is not None
        assert retry.isdigit()
        if response.says_close:
            three.read_end()
        assert target.calls(three) == []
        gate.open()
        assert one.read_response().body == b"ok"
        assert two.read_response().body == b"ok"
        one.send(get("/again"))
        assert one.read_response().body == echoed("GET", b"/again")


def test_idle_connections_do_not_count_as_concurrency(make_target: MakeTarget) -> None:
    target = make_target(limit_concurrency=2)

    with target.connect() as one, target.connect() as two, target.connect() as three:
        for client in (one, two, three):
            client.send(get())
            assert client.read_response().status == 200
        for client in (three, two, one):
            check_open(client)


def test_503_to_head_has_no_body(make_target: MakeTarget) -> None:
    target = make_target(limit_concurrency=1)
    gate = Gate()

    async def wait(call: Call) -> None:
        await gate.passed()
        await call.answer(b"ok")

    with target.connect() as one, target.connect() as two:
        one.send(get(target.app.behave(wait)))
        eventually(lambda: gate.reached)
        two.send(head("HEAD / HTTP/1.1"))
        response = two.read_response("HEAD")
        assert response.status == 503
        if response.says_close:
            two.read_end()
        gate.open()
        assert one.read_response().status == 200


# -- a head as a whole: h11_max_incomplete_event_size, with either parser

HEAD_LIMIT = 20_000


def head_of(length: int) -> bytes:
    """Return a request of `length` bytes in three fields."""
    half = "v" * ((length - len(get("/", "X: ", "Y: "))) // 2)
    rest = length - len(get("/", f"X: {half}", "Y: "))
    return get("/", f"X: {half}", f"Y: {'v' * rest}")


@pytest.mark.parametrize("step", WAYS)
def test_head_may_be_as_large_as_it_was_asked_for(step: int, make_target: MakeTarget) -> None:
    target = make_target(h11_max_incomplete_event_size=HEAD_LIMIT)

    is_served(target, head_of(HEAD_LIMIT), step)
    is_served(target, line_of(HEAD_LIMIT - 100), step)
    is_served(target, field_of(HEAD_LIMIT - 100), step)


@pytest.mark.parametrize("step", WAYS)
def test_head_larger_than_it_was_asked_for_gets_431(step: int, make_target: MakeTarget) -> None:
    target = make_target(h11_max_incomplete_event_size=HEAD_LIMIT)

    for data in (head_of(HEAD_LIMIT + 1), field_of(HEAD_LIMIT), fields_of(5000), field_of(90_000)):
        is_refused(target, data, 431, step=step)


@pytest.mark.parametrize("step", WAYS)
def test_limits_on_lines_stand_beside_that_on_the_head(step: int, make_target: MakeTarget) -> None:
    target = make_target(
        h11_max_incomplete_event_size=HEAD_LIMIT,
        limit_request_line=1000,
        limit_request_field_size=2000,
    )

    is_refused(target, line_of(1001), 414, step=step)
    is_refused(target, field_of(2001), 431, step=step)
    small = make_target(h11_max_incomplete_event_size=1000)
    is_served(small, line_of(900), step)
    is_refused(small, line_of(1000), 431, step=step)
