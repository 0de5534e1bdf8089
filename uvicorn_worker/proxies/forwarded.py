"""What proxies write of where a request came from, value by value. Pure.

X-Forwarded-For, -Host and -Port are customs, `Forwarded` is RFC 7239. Who may write them, and which
of several values counts, is in `headers`.
"""

from __future__ import annotations

import re
from typing import TypeAlias

from uvicorn_worker.errors import BadRequest
from uvicorn_worker.http1.request import match_host
from uvicorn_worker.proxies.peers import Ip, parse_ip

Client: TypeAlias = "tuple[str, int]"

# A quoted string, a comma, whatever is neither, or a quote that nothing closes.
_find_pieces = re.compile(r'"(?:[^"\\]|\\.)*"|,|[^",]+|"').findall
# RFC 7239 section 4, and values that would need quotes (`for=[::1]:80`), which some forget.
_match_pair = re.compile(
    r"[ \t]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)=" r'(?:"((?:[^"\\]|\\.)+)"|([^ \t",;\\]+))[ \t]*(?:;|$)'
).match
_match_nothing = re.compile(r"[ \t]*(?:;|$)").match
_match_obfuscated = re.compile(r"_[A-Za-z0-9._-]+").fullmatch


def split_list(value: str) -> list[str]:
    """Return the elements of a list without quoted strings; empty ones do not count.

    RFC 9110 section 5.6.1.
    """
    return [element for item in value.split(",") if (element := item.strip())]


def read_node(text: str) -> tuple[Client, Ip] | None:
    """Return client and address that a node is, None where it is no address; port 0: not told.

    Proxies write the address alone, with a port (brackets around IPv6), or the one or the other
    in quotes, and names such as `unknown` where they do not know or do not tell.
    """
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    host, port = text, ""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or ":" not in host or (rest and not rest.startswith(":")):
            return None
        port = rest[1:] if rest else "0"
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        port = "0"
    ip = parse_ip(host)
    if _match_obfuscated(port):
        port = "0"
    if ip is None or "%" in host or not _is_port(port):
        return None
    return (host, int(port)), ip


def is_unnamed(text: str) -> bool:
    """Return whether a node is one that a proxy does not know or hides (RFC 7239 section 6)."""
    name = text.strip('"').partition(":")[0]
    return name.lower() == "unknown" or _match_obfuscated(name) is not None


def read_host(text: str) -> tuple[str, int | None] | None:
    """Return name and port of a Host, brackets removed; None where it is none."""
    name, colon, port = text.rpartition(":")
    if not colon or port.endswith("]"):
        name, port = text, ""
    valid = text.isascii() and match_host(text.encode()) is not None
    if not (valid and name) or (port and not _is_port(port)):
        return None
    if name.startswith("["):
        name = name[1:-1]
        if parse_ip(name) is None:
            return None
    return name, int(port) if port else None


def read_port(text: str) -> int | None:
    """Return the port that a text is, None where it is none."""
    return int(text) or None if _is_port(text) else None


def split_elements(value: str) -> list[str]:
    """Return the elements of `Forwarded`, left to right.

    Raises:
        BadRequest: a quoted string does not end. If a client wrote that, it has swallowed what the
            proxies wrote behind it, and nobody can tell who the client is.
    """
    elements = [""]
    for piece in _find_pieces(value):
        if piece == '"':
            raise BadRequest("malformed Forwarded field: a quoted string does not end")
        if piece == ",":
            elements.append("")
        else:
            elements[-1] += piece
    return [element for element in elements if element.strip()]


def read_element(text: str) -> dict[str, str] | None:
    """Return the parameters of an element, names lower-case; None where it is malformed."""
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        if match := _match_nothing(text, position):
            position = match.end()
            continue
        match = _match_pair(text, position)
        if match is None or match[1].lower() in found:
            return None
        found[match[1].lower()] = re.sub(r"\\(.)", r"\1", match[2] or "") or match[3]
        position = match.end()
    return found


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535
