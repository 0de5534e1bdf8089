"""Extensions of ASGI HTTP: early hints and trailers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.apps.conformance import Call, Gate, part, start
from tests.server.conformance.harness import Target, check_as_announced, check_open, get, head
from tests.support.rawhttp import End, Response, Truncated

if TYPE_CHECKING:
    from uvicorn_worker.asgi import Message

LINK = b"</style.css>; rel=preload; as=style"


def hint(*links: Any) -> Message:
    """Return an early hint."""
    return {"type": "http.response.early_hint", "links": list(links)}


def trailers(*fields: Any, more: bool = False) -> Message:
    """Return a message with trailers."""
    return {"type": "http.response.trailers", "headers": list(fields), "more_trailers": more}


# -- early hints (RFC 8297)


@pytest.mark.parametrize("links", [[LINK], [LINK, b"</x>; rel=preconnect"]], ids=["one", "two"])
def test_early_hint_precedes_the_answer(links: list[bytes], target: Target) -> None:
    path = target.app.say(start(), hint(*links), part(b"hi"))

    with target.connect() as client:
        client.send(get(path))
        response = client.read_response()
        (interim,) = response.interim
        assert interim.status == 103
        assert interim.reason == b"Early Hints"
        assert interim.all(b"link") == links
        assert response.body == b"hi"
        check_open(client)


def test_early_hints_may_be_several(target: Target) -> None:
    path = target.app.say(start(), hint(LINK), hint(b"</x>; rel=preload"), part(b"hi"))

    with target.connect() as client:
        client.send(get(path))
        response = client.read_response()
        assert [interim.get(b"link") for interim in response.interim] == [
            LINK,
            b"</x>; rel=preload",
        ]


def test_early_hint_is_sent_at_once(target: Target) -> None:
    gate = Gate()

    async def wait(call: Call) -> None:
        await call.say(start(), hint(LINK))
        await gate.passed()
        await call.say(part(b"hi"))

    with target.connect() as client:
        client.send(get(target.app.behave(wait)))
        assert client.read_interim().status == 103
        gate.open()
        assert client.read_response().body == b"hi"


def test_early_hint_is_never_sent_to_http_1_0(target: Target) -> None:
    async def hint_anyway(call: Call) -> None:
        await call.say(start(200, (b"content-length", b"2")))
        if "http.response.early_hint" in call.scope["extensions"]:
            await call.say(hint(LINK))
        await call.say(part(b"hi"))

    with target.connect() as client:
        client.send(head(f"GET {target.app.behave(hint_anyway)} HTTP/1.0"))
        response = client.read_response()
        assert response.interim == []
        assert response.body == b"hi"


def test_early_hint_in_a_begun_body_stays_off_the_wire(target: Target) -> None:
    path = target.app.say(start(), part(b"a", True), hint(LINK), part(b"b"))

    with target.connect() as client:
        client.send(get(path))
        try:
            response = client.read_response()
        except Truncated:
            return  # cut, as for any other mistake
        assert (response.interim, response.body) == ([], b"ab")


@pytest.mark.parametrize(
    "link", [b"</x>\r\nset-cookie: a=b", b"</x>\n", b"\0", "</x>", None], ids=repr
)
def test_early_hint_with_a_bad_link_breaks_nothing(link: Any, target: Target) -> None:
    path = target.app.say(start(), hint(link), part(b"hi"))

    with target.connect() as client:
        client.send(get(path))
        response = client.read_response()
        assert response.status == 500
        assert response.interim == []
        assert response.get(b"set-cookie") is None
        check_as_announced(client, response)


def test_early_hint_to_head_precedes_the_head(target: Target) -> None:
    path = target.app.say(start(), hint(LINK), part(b"hi"))

    with target.connect() as client:
        client.send(head(f"HEAD {path} HTTP/1.1"))
        assert [one.status for one in client.read_response("HEAD").interim] == [103]
        check_open(client)


def test_early_hint_comes_after_the_answer_before_it(target: Target) -> None:
    path = target.app.say(start(), hint(LINK), part(b"hi"))

    with target.connect() as client:
        client.send(get("/1") + get(path))
        assert client.read_response().interim == []
        assert len(client.read_response().interim) == 1


# -- trailers (RFC 9112 section 7.1.2, RFC 9110 section 6.5)

FINISHED = (b"x-checksum", b"abc")


def ask_for_trailers(target: Target, *messages: Message, request: str = "TE: trailers") -> Response:
    """Return the answer to a request that accepts trailers."""
    path = target.app.say(start(200, (b"trailer", b"x-checksum"), trailers=True), *messages)
    with target.connect() as client:
        client.send(get(path, *([request] if request else []), "Connection: te"))
        response = client.read_response()
        check_open(client)
        return response


def test_trailers_follow_the_body(target: Target) -> None:
    response = ask_for_trailers(target, part(b"a", True), part(b"b"), trailers(FINISHED))

    assert (response.body, response.trailers) == (b"ab", [FINISHED])


def test_trailers_follow_a_body_of_one_message(target: Target) -> None:
    response = ask_for_trailers(target, part(b"ab"), trailers(FINISHED))

    assert (response.body, response.trailers) == (b"ab", [FINISHED])


def test_trailers_follow_an_empty_body(target: Target) -> None:
    response = ask_for_trailers(target, part(), trailers(FINISHED))

    assert (response.body, response.trailers) == (b"", [FINISHED])


def test_trailers_may_come_in_several_messages(target: Target) -> None:
    more = trailers((b"x-one", b"1"), more=True)
    response = ask_for_trailers(target, part(b"ab"), more, trailers(FINISHED))

    assert response.trailers == [(b"x-one", b"1"), FINISHED]


def test_trailers_may_be_empty(target: Target) -> None:
    response = ask_for_trailers(target, part(b"ab"), trailers())

    assert (response.body, response.trailers) == (b"ab", [])


@pytest.mark.parametrize("request_field", ["", "TE: deflate", "TE: trailers-not"])
def test_trailers_go_only_to_those_who_accept_them(request_field: str, target: Target) -> None:
    response = ask_for_trailers(target, part(b"ab"), trailers(FINISHED), request=request_field)

    assert (response.body, response.trailers) == (b"ab", [])


@pytest.mark.parametrize("field", ["TE: gzip, trailers", "te: Trailers", "TE: trailers, deflate"])
def test_trailers_are_accepted_in_a_list(field: str, target: Target) -> None:
    response = ask_for_trailers(target, part(b"ab"), trailers(FINISHED), request=field)

    assert response.trailers == [FINISHED]


def test_trailers_are_not_sent_to_http_1_0(target: Target) -> None:
    path = target.app.say(start(200, trailers=True), part(b"ab"), trailers(FINISHED))

    with target.connect() as client:
        client.send(head(f"GET {path} HTTP/1.0", "TE: trailers"))
        response = client.read_response()
        assert response.body == b"ab"
        assert client.read_end() is End.EOF


def test_trailers_are_not_sent_behind_a_length(target: Target) -> None:
    fields = (b"content-length", b"2")
    path = target.app.say(start(200, fields, trailers=True), part(b"ab"), trailers(FINISHED))

    with target.connect() as client:
        client.send(get(path, "TE: trailers"))
        assert client.read_response().body == b"ab"
        check_open(client)


@pytest.mark.parametrize(
    ("status", "method"), [(200, "HEAD"), (204, "GET"), (204, "HEAD"), (304, "GET"), (304, "HEAD")]
)
def test_trailers_of_an_answer_without_body_stay_off_the_wire(
    status: int, method: str, target: Target
) -> None:
    path = target.app.say(start(status, trailers=True), part(), trailers(FINISHED))

    with target.connect() as client:
        client.send(head(f"{method} {path} HTTP/1.1", "TE: trailers"))
        assert client.read_response(method).status == status
        check_open(client)


@pytest.mark.parametrize(
    "field", [(b"x", b"a\r\nb"), (b"x\r\n", b"a"), (b"x", "y"), (b"x", b"\0")], ids=repr
)
def test_bad_trailer_cuts_the_connection(field: Any, target: Target) -> None:
    path = target.app.say(start(200, trailers=True), part(b"ab"), trailers(field))

    with target.connect() as client:
        client.send(get(path, "TE: trailers"))
        with pytest.raises(Truncated):
            client.read_response()


def test_trailers_that_never_come_cut_the_connection(target: Target) -> None:
    path = target.app.say(start(200, trailers=True), part(b"ab"))

    with target.connect() as client:
        client.send(get(path, "TE: trailers"))
        with pytest.raises(Truncated):
            client.read_response()
