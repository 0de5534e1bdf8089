"""Many WebSockets at once, some of them busy, until the server closes each of them."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING

from tests.support.rawhttp import End
from tests.support.rawws import CLOSE, TEXT, RawWebSocket, close_frame, frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MESSAGE = frame(TEXT, b"are you still there?")


def talk_until_closed(
    clients: Sequence[RawWebSocket],
    code: int,
    *,
    begin: Callable[[], None],
    timeout: float = 30.0,
) -> None:
    """Let every other client ask on and on until the server closes it; the rest say nothing.

    `begin` makes the server close; it is called when each of the busy ones has had an answer. All
    clients have to see a close frame with `code`, answer it, and see the end of the connection.

    Raises:
        AssertionError: another close frame, a reset, or no close frame in `timeout` seconds.
        Truncated: the connection ended without a close frame.
    """
    busy = clients[::2]
    open_ = {client.socket.fileno(): client for client in clients}
    deadline = time.monotonic() + timeout
    with select.epoll() as poll:
        for number in open_:
            poll.register(number, select.EPOLLIN)
        for client in busy:
            client.send(MESSAGE)
        unanswered = set(busy)
        while open_:
            assert time.monotonic() < deadline, f"{len(open_)} were not closed"
            for number, _ in poll.poll(1):
                client = open_[number]
                if _closed(client, code):
                    poll.unregister(number)
                    del open_[number]
                elif client in unanswered:
                    unanswered.discard(client)
                    if not unanswered:
                        begin()


def _closed(client: RawWebSocket, code: int) -> bool:
    """Read what there is; return whether the conversation is over, else ask again."""
    while not client.quiet():  # an answer and a close frame may come together
        received = client.read_frame()
        if received.opcode == CLOSE:
            assert received.close == (code, "")
            client.send(close_frame(code))
            assert client.finish() is End.EOF
            return True
        assert received.opcode == TEXT, received
    client.send(MESSAGE)
    return False
