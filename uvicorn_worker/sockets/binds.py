"""What a bind means: the text of `--bind`, or host and port, uds, fd.

Pure: nothing is resolved or opened here, see `opening`. Texts are those of Gunicorn's `bind`;
beside them a port alone, and names of Linux's abstract sockets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from uvicorn_worker.errors import ConfigError

if TYPE_CHECKING:
    from uvicorn_worker.config import Config

EXPECTED: Final = "expected HOST:PORT, :PORT, PORT, [IPV6]:PORT, unix:PATH or fd://N"

EVERY_IPV4: Final = "0.0.0.0"
EVERY_IPV6: Final = "::"


class TCP(NamedTuple):
    """An address or name, and a port.

    An empty host stands for every address of the machine, port 0 for any free one.
    """

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Unix(NamedTuple):
    """A UNIX socket: the path of a file, or `@` and a name without one (Linux)."""

    path: str

    @property
    def abstract(self) -> bool:
        return self.path.startswith("@")

    def __str__(self) -> str:
        return f"unix:{self.path}"


class Inherited(NamedTuple):
    """An open descriptor, and what whoever passed it calls it."""

    fd: int
    name: str = ""

    def __str__(self) -> str:
        return f"fd://{self.fd}" + (f" ({self.name})" if self.name else "")


Bind: TypeAlias = TCP | Unix | Inherited


def binds_of(config: Config) -> list[Bind]:
    """Return where a configuration says to listen, in its order.

    Raises:
        ConfigError: a bind cannot be read, or is given twice.
    """
    if config.uds is not None:
        return [Unix(config.uds)]
    if config.fd is not None:
        return [Inherited(config.fd)]
    if not config.bind:
        return [TCP(config.host, config.port)]
    binds: list[Bind] = []
    for text in config.bind:
        bind = parse_bind(text, host=config.host, port=config.port)
        if bind in binds and not (isinstance(bind, TCP) and bind.port == 0):
            raise ConfigError(f"bind={text!r}: {bind} is given twice")
        binds.append(bind)
    return binds


def parse_bind(text: str, *, host: str = "127.0.0.1", port: int = 8000) -> Bind:
    """Return what a text means; `host` and `port` are for texts that leave one of them out.

    Raises:
        ConfigError: it means nothing; the message names the text and what is expected.
    """
    for prefix, parse in (("unix:", _parse_unix), ("fd:", _parse_fd)):
        if text.startswith(prefix):
            return parse(text, text.removeprefix(prefix).removeprefix("//"))
    if text.startswith(("http://", "https://")):
        raise _wrong(text, "a URL is what clients use; leave the scheme out")
    netloc = text.removeprefix("tcp://")
    if netloc.isascii() and netloc.isdigit():
        return TCP(host, _parse_port(text, netloc))
    if netloc.startswith("["):
        return _parse_ipv6(text, netloc, port)
    name, colon, digits = netloc.rpartition(":")
    if not colon:
        name = netloc
    if ":" in name:
        raise _wrong(text, "an IPv6 address needs brackets, like '[::1]:8000'")
    if not netloc or "/" in netloc or netloc != "".join(netloc.split()):
        raise _wrong(text, f"did you mean 'unix:{netloc}'?" if "/" in netloc else "")
    # Gunicorn's `:8000` is every IPv4 address, and nothing of IPv6.
    return TCP(name.lower() or EVERY_IPV4, _parse_port(text, digits) if colon else port)


def _parse_unix(text: str, path: str) -> Unix:
    if path in ("", "@"):
        raise _wrong(text, "the path is missing")
    if "\0" in path:
        raise _wrong(text, "no path has NUL characters")
    return Unix(path)


def _parse_fd(text: str, number: str) -> Inherited:
    if not (number.isascii() and number.isdigit()):
        raise _wrong(text, f"{number!r} is not the number of a descriptor")
    return Inherited(int(number))


def _parse_ipv6(text: str, netloc: str, port: int) -> TCP:
    host, bracket, rest = netloc[1:].partition("]")
    if not bracket or ":" not in host or (rest and not rest.startswith(":")):
        raise _wrong(text, "")
    return TCP(host.lower(), _parse_port(text, rest[1:]) if rest else port)


def _parse_port(text: str, digits: str) -> int:
    if not (digits.isascii() and digits.isdigit()):
        raise _wrong(text, f"{digits!r} is not a port" if digits else "the port is missing")
    if len(digits) > 5 or int(digits) > 65535:
        raise _wrong(text, f"{digits} is no port: they end at 65535")
    return int(digits)


def _wrong(text: str, reason: str) -> ConfigError:
    return ConfigError(f"bind={text!r}: {reason + '; ' if reason else ''}{EXPECTED}")
