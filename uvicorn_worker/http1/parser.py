"""The contract of head parsers.

A parser library decides whether a head is in the grammar, and nothing else. Where a head ends,
the request line, the limits, what the fields are and mean, and the body's coding must not depend
on the library: they stand once, in `request` and `body`. So both parsers give the same requests
by construction, a message boundary is known exactly, look-ahead of pipelined requests stays raw
bytes, and one parser serves all connections of a process.
"""

from __future__ import annotations

from typing import Protocol


class HeadParser(Protocol):
    """Checks the head of one request."""

    def check(self, head: bytes) -> None:
        """Return if `head` is in the grammar of RFC 9112 sections 3 and 5; raise BadRequest.

        `head` is a request line and all fields, up to and with the empty line. Every line of it
        must end with CRLF and every field must stand on one line. The parser keeps nothing from
        one call to the next.
        """
