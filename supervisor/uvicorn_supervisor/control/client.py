"""Asks a supervisor over its control socket."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Mapping


class NoAnswer(Exception):
    """There is nobody to answer, or not to us; the text says what to do."""


class Reply(NamedTuple):
    """What the supervisor has answered; `content` is as `json.loads` gives it."""

    status: int
    content: Any

    @property
    def good(self) -> bool:
        return self.status == http.client.OK


class Client:
    """Asks one question per connection."""

    def __init__(self, path: str) -> None:
        self.path = path

    def ask(
        self,
        method: str,
        target: str,
        parameters: Mapping[str, str] | None = None,
        *,
        timeout: float | None = 10.0,
    ) -> Reply:
        """Return the answer; `timeout` is in seconds, None: verdicts take their time.

        Raises:
            NoAnswer: there is no supervisor, or it does not talk to this user.
        """
        query = f"?{urlencode(parameters)}" if parameters else ""
        connection = _Connection(self.path, timeout)
        try:
            connection.request(method, target + query)
            answer = connection.getresponse()
            body = answer.read()
        except TimeoutError:
            raise NoAnswer(f"{self.path}: no answer within {timeout:g} s") from None
        except (OSError, http.client.HTTPException) as exc:
            raise NoAnswer(f"{self.path}: the supervisor has gone ({exc!r})") from None
        finally:
            connection.close()
        content = _understand(answer.status, answer.headers.get_content_type(), body)
        if content is None:
            raise NoAnswer(
                f"{self.path}: what answers there is no supervisor of this version; expected what "
                "it was given as --control"
            )
        return Reply(answer.status, content)


def _understand(status: int, kind: str, body: bytes) -> dict[str, Any] | None:
    """Return what a supervisor says, None where it is not one that speaks."""
    try:
        if kind == "application/json":
            content = json.loads(body)
            known = isinstance(content, dict) and content.keys() & {"ok", "supervisor"}
            return content if known else None
        text = body.decode()
    except ValueError:
        return None
    refused = status not in (http.client.OK, http.client.NOT_FOUND)
    return {"ok": False, "text": text.strip()} if refused else None


class _Connection(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path: str, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        path = f"\0{self._path[1:]}" if self._path.startswith("@") else self._path
        try:
            self.sock.connect(path)
        except FileNotFoundError:
            raise NoAnswer(
                f"{self._path}: there is no such socket; is the supervisor running, and was it "
                "started with this --control?"
            ) from None
        except ConnectionRefusedError:
            raise NoAnswer(f"{self._path}: {self._why_refused()}") from None
        except PermissionError:
            raise NoAnswer(
                f"{self._path}: permission denied; be the user that the supervisor runs as, or root"
            ) from None
        except OSError as exc:
            raise NoAnswer(f"{self._path}: {exc.strerror or exc}") from None

    def _why_refused(self) -> str:
        """Say who does not listen: the kernel refuses files that are no sockets in the same way."""
        if self._path.startswith("@") or Path(self._path).is_socket():
            return "nobody listens; the supervisor has ended without removing it"
        return "this is no socket; expected what the supervisor was given as --control"
