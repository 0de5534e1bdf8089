"""Check request heads with h11."""

from __future__ import annotations

import re

import h11

from uvicorn_worker.errors import BadRequest

# h11 0.16 takes bare LF for a line end, joins folded lines and lets most controls pass: RFC 9112
# section 2.2, section 5.2 and RFC 9110 section 5.5 let a server refuse all three.
_find_violation = re.compile(rb"[^\r]\n|\r[^\n]|\n[ \t]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]").search


class H11Parser:
    """A HeadParser. A fresh `h11.Connection` per head, since nothing is ever sent through it."""

    __slots__ = ()

    def check(self, head: bytes) -> None:
        if _find_violation(head):
            raise BadRequest("malformed head: bare CR or LF, folded line or control character")
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=len(head))
        connection.receive_data(head)
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError as exc:
            raise BadRequest(f"malformed head: {exc}", exc.error_status_hint) from exc
        if not isinstance(event, h11.Request):
            raise BadRequest("malformed head: incomplete")
