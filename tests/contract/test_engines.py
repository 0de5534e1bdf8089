"""The same bytes for both engines, in any pieces: the same messages, pongs and closes.

The fast path, which reads whole frames in place, and the general one through an engine have to
agree: that is what the pieces are for, and the reader that never takes the fast path.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.rawws import BINARY, CONT, PING, TEXT, close_frame, frame, mask, request
from tests.support.wscases import LIMIT, Case, all_cases
from uvicorn_worker.errors import ProtocolViolation
from uvicorn_worker.http1.h11_parser import H11Parser
from uvicorn_worker.http1.reader import RequestReader
from uvicorn_worker.serverconfig import ServerConfig
from uvicorn_worker.websocket.deflate import Inflater
from uvicorn_worker.websocket.handshake import read_handshake
from uvicorn_worker.websocket.reader import MessageReader
from uvicorn_worker.websocket.websockets_engine import WebsocketsEngine
from uvicorn_worker.websocket.wsproto_engine import WsprotoEngine

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uvicorn_worker.websocket.deflate import Agreement
    from uvicorn_worker.websocket.engine import FrameEngine

ENGINES: dict[str, FrameEngine] = {"websockets": WebsocketsEngine(), "wsproto": WsprotoEngine()}
CASES = list(all_cases())


class Sink:
    """Takes note of everything; has room for `room` messages at a time."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.messages: list[str | bytes] = []
        self.pongs: list[bytes] = []
        self.order: list[object] = []
        self.close: tuple[int, str] | None = None
        self.violation: int | None = None
        self.room = room
        self._taken = 0

    def message_received(self, message: dict[str, Any], size: int) -> bool:
        assert message.pop("type") == "websocket.receive"
        ((key, content),) = message.items()  # ASGI: the other key is left out
        assert isinstance(content, str if key == "text" else bytes)
        assert size == len(content.encode() if isinstance(content, str) else content)
        self.messages.append(content)
        self.order.append(content)
        self._taken += 1
        return self._taken % self.room != 0

    def ping_received(self, payload: bytes) -> None:
        assert type(payload) is bytes
        self.pongs.append(payload)
        self.order.append(payload)

    def close_received(self, code: int, reason: str) -> None:
        assert self.close is None
        self.close = code, reason
        self.order.append(self.close)

    @property
    def answer(self) -> int | None:
        """The code that the server's close frame has."""
        return self.violation if self.close is None else self.close[0]


def agreement(offer: str) -> Agreement | None:
    headers = [("Sec-WebSocket-Extensions", offer)] if offer else []
    head = RequestReader(H11Parser(), ServerConfig()).read(request(headers=headers))
    return read_handshake(head, compress=True).compression


def read(
    engine: FrameEngine,
    pieces: Iterable[bytes],
    *,
    deflate: str = "",
    room: int = 1_000_000,
    fast: bool = True,
    limit: int = LIMIT,
) -> Sink:
    """Feed the pieces to a reader until they end or it wants no more."""
    sink = Sink(room)
    agreed = agreement(deflate)
    inflater = Inflater(agreed) if agreed is not None else None
    reader = MessageReader(engine, sink, limit=limit, inflater=inflater)
    if not fast:
        reader._whole = frozenset()
    try:
        for piece in pieces:
            more = reader.feed(piece)
            while not more:
                more = reader.resume()
            if sink.close is not None:
                break
    except ProtocolViolation as exc:
        sink.violation = exc.code
    return sink


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[index : index + size] for index in range(0, len(data), size)]


def check(sink: Sink, case: Case) -> None:
    assert sink.messages == case.messages
    assert sink.pongs == case.pongs
    assert sink.close == case.peer
    assert sink.answer == case.close


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> FrameEngine:
    return ENGINES[request.param]


@pytest.mark.parametrize("size", [1 << 20, 65_536, 7, 1], ids=["whole", "64k", "sevens", "ones"])
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_frames_are_read_as_the_rfcs_say(case: Case, size: int, engine: FrameEngine) -> None:
    if len(case.data) // size > 20_000:
        size = len(case.data) // 997  # so many pieces that they fall everywhere, and no more
    check(read(engine, cut(case.data, size), deflate=case.deflate), case)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_general_path_agrees_with_the_fast_one(case: Case, engine: FrameEngine) -> None:
    check(read(engine, [case.data], deflate=case.deflate, fast=False), case)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_sink_without_room_gets_everything_in_the_end(case: Case, engine: FrameEngine) -> None:
    check(read(engine, cut(case.data, 10_000), deflate=case.deflate, room=1), case)


def test_there_are_hundreds_of_cases() -> None:
    assert len(CASES) > 300
    assert len({case.name for case in CASES}) == len(CASES)


# -- properties

PAYLOADS = st.one_of(st.binary(max_size=140), st.binary(max_size=3).map(lambda part: part * 23_000))
TEXTS = st.text(max_size=60).map(str.encode)


@st.composite
def conversations(draw: st.DrawFn) -> bytes:
    """Frames of a client, nearly always right ones."""
    parts: list[bytes] = []
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(["text", "binary", "fragments", "ping", "close", "any"]))
        key = draw(st.binary(min_size=4, max_size=4))
        if kind == "text":
            parts.append(frame(TEXT, draw(TEXTS), key=key))
        elif kind == "binary":
            parts.append(frame(BINARY, draw(PAYLOADS), key=key))
        elif kind == "fragments":
            pieces = draw(st.lists(TEXTS, min_size=1, max_size=4))
            parts.append(frame(TEXT, pieces[0], fin=False, key=key))
            parts += [frame(CONT, piece, fin=False) for piece in pieces[1:]]
            parts.append(frame(CONT, draw(TEXTS)))
        elif kind == "ping":
            parts.append(frame(PING, draw(st.binary(max_size=125)), key=key))
        elif kind == "close":
            parts.append(close_frame(draw(st.sampled_from([1000, 4000, 1005]))))
        else:
            parts.append(draw(st.binary(max_size=20)))
    return b"".join(parts)


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(place % (len(data) + 1) for place in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


@settings(max_examples=400, deadline=None)
@given(
    data=conversations(),
    cuts=st.lists(st.integers(0, 1 << 17), max_size=12),
    room=st.sampled_from([1, 2, 1000]),
    offer=st.sampled_from(["", "permessage-deflate"]),
)
def test_engines_paths_and_pieces_make_no_difference(
    data: bytes, cuts: list[int], room: int, offer: str
) -> None:
    whole = read(ENGINES["websockets"], [data], deflate=offer, fast=False)

    for engine in ENGINES.values():
        for pieces in ([data], pieces_of(data, cuts)):
            for fast in (True, False):
                other = read(engine, pieces, deflate=offer, room=room, fast=fast)
                assert other.order == whole.order
                assert other.answer == whole.answer


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=5))
def test_any_bytes_end_alike_in_both_engines(data: bytes, cuts: list[int]) -> None:
    results = [
        read(engine, pieces, deflate=offer)
        for engine in ENGINES.values()
        for pieces in ([data], pieces_of(data, cuts))
        for offer in ("",)
    ]

    assert len({repr((sink.order, sink.answer)) for sink in results}) == 1


@given(data=st.binary(max_size=2000), key=st.binary(min_size=4, max_size=4))
def test_masks_are_applied_alike(data: bytes, key: bytes) -> None:
    for engine in ENGINES.values():
        for given_as in (data, bytearray(data), memoryview(data)):
            unmasked = engine.unmask(given_as, key)
            assert unmasked == mask(data, key)
            assert type(unmasked) is bytes
