"""Build the ASGI scope of a request from its checked head. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from uvicorn_worker.asgi import ASGI_VERSION, HTTP_SPEC_VERSION

if TYPE_CHECKING:
    from uvicorn_worker.asgi import Address
    from uvicorn_worker.http1.request import Request

HTTP_EXTENSIONS: Final[dict[str, dict[str, Any]]] = {
    "http.response.early_hint": {},
    "http.response.trailers": {},
    "http.response.pathsend": {},
}
ASGI: Final = {"version": ASGI_VERSION, "spec_version": HTTP_SPEC_VERSION}
# HTTP/1.0 has no interim responses and no trailer sections.
HTTP10_EXTENSIONS: Final[dict[str, dict[str, Any]]] = {"http.response.pathsend": {}}


class ScopeBuilder:
    """Makes the scopes of one server."""

    __slots__ = ("_path_prefix", "_raw_path_prefix", "_state", "_template")

    def __init__(
        self,
        *,
        scheme: str,
        root_path: str,
        path_prefix: str,
        raw_path_prefix: bytes,
        state: dict[str, Any],
    ) -> None:
        self._path_prefix = path_prefix
        self._raw_path_prefix = raw_path_prefix
        self._state = state
        # Copying a dict of the final size and setting a few keys is cheaper than building it.
        self._template: dict[str, Any] = {
            "type": "http",
            "asgi": None,
            "http_version": "1.1",
            "method": None,
            "scheme": scheme,
            "path": None,
            "raw_path": None,
            "query_string": None,
            "root_path": root_path,
            "headers": None,
            "client": None,
            "server": None,
            "state": None,
            "extensions": None,
        }

    def http(self, request: Request, client: Address, server: Address) -> dict[str, Any]:
        """Return the scope of an HTTP request (ASGI HTTP 2.4, connection scope)."""
        template = request.scope
        scope = self.template(request, client, server) if template is None else template.copy()
        # Applications may change what is in it.
        scope["asgi"] = ASGI.copy()
        scope["headers"] = request.headers.copy()
        scope["state"] = self._state.copy()
        scope["extensions"] = (HTTP_EXTENSIONS if request.http11 else HTTP10_EXTENSIONS).copy()
        return scope

    def template(self, request: Request, client: Address, server: Address) -> dict[str, Any]:
        """Return what all scopes of one request on one connection have in common."""
        scope = self._template.copy()
        raw_path = request.path
        path = request.path_text
        if self._path_prefix:
            raw_path = self._raw_path_prefix + raw_path
            path = self._path_prefix + path
        if not request.http11:
            scope["http_version"] = "1.0"
        scope["method"] = request.method
        scope["path"] = path
        scope["raw_path"] = raw_path
        scope["query_string"] = request.query
        scope["client"] = client
        scope["server"] = server
        return scope
