"""The routes of `--web`: one page, and the figures that it asks for every second. Nothing else.

The page brings all that it needs; its policy lets the browser run this script only, and talk to
nobody but this supervisor.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import ipaddress
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from uvicorn_supervisor.control.commands import to_json
from uvicorn_supervisor.control.deskhttp import Answer, refusal

if TYPE_CHECKING:
    from uvicorn_supervisor.control.desk import Route, Routes
    from uvicorn_supervisor.control.deskhttp import Request
    from uvicorn_supervisor.control.scene import Scene

HTML: Final = "text/html; charset=utf-8"


def web_routes(scene: Scene, *, local: bool) -> Routes:
    """Return the routes; `local`: nobody but this machine's own processes can connect.

    There, names other than this machine's are refused: a page from elsewhere whose name has been
    made to lead here (DNS rebinding) could read the figures else.
    """
    text = Path(__file__).with_name("web.html").read_text("utf-8")
    page = Answer(200, text.encode(), HTML, _headers(text))

    def checked(route: Route) -> Route:
        def answer(request: Request) -> Answer:
            host = request.headers.get("host", "")
            if local and not _is_here(host):
                return refusal(403, f"this is not {host!r}: ask for localhost")
            found = route(request)
            assert isinstance(found, Answer)
            return found

        return answer

    return {
        ("GET", "/"): checked(lambda request: page),
        ("GET", "/status.json"): checked(lambda request: to_json(200, scene.status())),
    }


def _headers(page: str) -> tuple[tuple[str, str], ...]:
    script, style = (_digest(page, tag) for tag in ("script", "style"))
    policy = (
        f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return (
        ("Content-Security-Policy", policy),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
    )


def _digest(page: str, tag: str) -> str:
    """Return what allows the page's one element of a kind (CSP level 3, section 2.3.1)."""
    (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _is_here(host: str) -> bool:
    """Return whether a Host field names an address, or this machine."""
    bracketed = host.startswith("[")
    name = host[1:].partition("]")[0] if bracketed else host.partition(":")[0].lower()
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(name))
    return name == "localhost" or name.endswith(".localhost")
