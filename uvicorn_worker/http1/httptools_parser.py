"""Check request heads with httptools (llhttp)."""

from __future__ import annotations

import httptools

from uvicorn_worker.errors import BadRequest


class HttptoolsParser:
    """A HeadParser. llhttp runs without callbacks into Python but one.

    A callback per field costs more than taking the fields from the lines, most of which are
    known from earlier requests.
    """

    __slots__ = ("_open", "_parser", "on_message_complete")

    def __init__(self) -> None:
        # One entry while llhttp is inside a message. Emptied by a C function as callback: the
        # cheapest way to learn that the message ended with its head.
        self._open: list[bool] = []
        self.on_message_complete = self._open.clear
        self._renew()

    def check(self, head: bytes) -> None:
        self._open.append(True)
        try:
            self._parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            self._renew()
        except httptools.HttpParserError as exc:
            self._renew()
            if head.find(b"\t") < 0:
                raise BadRequest(f"malformed head: {exc}") from exc
            self._check_without_tabs(head)
        else:
            if self._open:  # llhttp waits for a body, which it will not get
                self._renew()

    def _check_without_tabs(self, head: bytes) -> None:
        """Look again, without blanks around the values.

        llhttp 9.3 knows no tab beside values that it reads itself (Transfer-Encoding, Connection):
        RFC 9110 section 5.6.3 allows one wherever it allows a space.
        """
        request_line, *fields = head.split(b"\r\n")
        trimmed = b"\r\n".join((request_line, *map(_trim_value, fields)))
        if trimmed == head:
            raise BadRequest("malformed head")
        self.check(trimmed)

    def _renew(self) -> None:
        self._open.clear()
        self._parser = httptools.HttpRequestParser(self)
        # Whether a connection persists is our decision; the parser serves them all, and must not
        # refuse the next head because this one said `Connection: close`.
        self._parser.set_dangerous_leniencies(lenient_keep_alive=True)


def _trim_value(line: bytes) -> bytes:
    """Return a field's line with one space before its value and nothing behind it.

    Without a regular expression: peers choose how many blanks it would have to go back over.
    """
    name, colon, value = line.partition(b":")
    return name + b": " + value.strip(b" \t") if colon else line
