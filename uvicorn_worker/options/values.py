"""The kinds of values that options have: how they are written, read, checked and shown.

Text comes from a command line, a variable or a file, and becomes the value that code would give.
Everything is pure; what cannot be read raises ValueError, whose text says what is expected.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeGuard, cast

Check = Callable[[object], str | None]
"""Returns what is wrong with a value, as `expected ...`; None where nothing is."""

TRUE: Final = frozenset({"1", "true", "yes", "on", "y", "t"})
FALSE: Final = frozenset({"0", "false", "no", "off", "n", "f"})
SWITCHED_OFF: Final = "none"  # the text for an optional value that is None

# Patterns are compiled when a value is read: few starts need one, and each takes 0.3 ms.

# One word "NAME:VALUE", the form in which several fields stand on one line.
HEADER_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\s]+"

SECONDS_IN: Final[Mapping[str, float]] = {
    "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0,
}  # fmt: skip
_DURATION_PART: Final = r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)"

BYTES_IN: Final[Mapping[str, int]] = {
    "": 1, "b": 1,
    "k": 1024, "kb": 1000, "kib": 1024,
    "m": 1024**2, "mb": 1000**2, "mib": 1024**2,
    "g": 1024**3, "gb": 1000**3, "gib": 1024**3,
}  # fmt: skip
_SIZE: Final = r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of values.

    `parse` makes a value of text (None: no text can say it), `accepts` says whether a value is of
    this kind, `show` writes it as a person would. `metavar` stands for the value in `--help`,
    empty for a switch.
    """

    expected: str  # "a whole number", behind "expected"
    metavar: str
    parse: Callable[[str], object] | None
    accepts: Callable[[object], bool]
    show: Callable[[object], str] = str
    choices: tuple[str, ...] = ()
    many: bool = False  # a sequence, given by repeating the flag
    optional: bool = False  # None is a value: it switches off


def optional(kind: Kind) -> Kind:
    """Return the kind whose values may be None, written `none`."""

    read = kind.parse

    def parse(text: str) -> object:
        return None if read is None or text.lower() == SWITCHED_OFF else read(text)

    return replace(
        kind,
        parse=read and parse,
        accepts=lambda value: value is None or kind.accepts(value),
        show=lambda value: SWITCHED_OFF if value is None else kind.show(value),
        optional=True,
    )


def choice(*allowed: str, aliases: Mapping[str, str] | None = None) -> Kind:
    """Return the kind of one of the texts `allowed`; `aliases` are other words for some."""
    words = {text: text for text in allowed} | dict(aliases or {})
    expected = f"one of {', '.join(allowed)}"

    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"expected {expected}")
        return words[text.lower()]

    return Kind(
        expected=expected,
        metavar=f"[{'|'.join(allowed)}]",
        parse=parse,
        accepts=lambda value: value in allowed,
        choices=allowed,
    )


# -- text -> value


def boolean(text: str) -> bool:
    if text.lower() not in TRUE | FALSE:
        raise ValueError("expected true or false")
    return text.lower() in TRUE


def integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("expected a whole number") from None


def seconds(text: str) -> float:
    """Read `90`, `0.5`, `90s`, `500ms`, `2m`, `1h30m`."""
    with contextlib.suppress(ValueError):
        return float(text)
    if not re.fullmatch(f"(?:{_DURATION_PART})+", text.strip()):
        raise ValueError(f"expected {DURATION}")
    parts = re.findall(_DURATION_PART, text)
    return sum(float(amount) * SECONDS_IN[unit] for amount, unit in parts)


def size(text: str) -> int:
    """Read `4096`, `64KiB`, `16MiB`, `1.5G`; kB, MB and GB are powers of 1000."""
    match = re.fullmatch(_SIZE, text.strip())
    factor = BYTES_IN.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError(f"expected {AMOUNT}")
    return int(float(match[1]) * factor) if "." in match[1] else int(match[1]) * factor


def octal(text: str) -> int:
    try:
        return int(text, 8)
    except ValueError:
        raise ValueError("expected a file mode in octal digits, such as 660") from None


def listing(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def headers(text: str) -> tuple[tuple[str, str], ...]:
    """Read one `NAME: VALUE` per line, or words `NAME:VALUE`."""
    words = text.split()
    lines = words if all(re.fullmatch(HEADER_WORD, word) for word in words) else text.splitlines()
    pairs = [line.partition(":") for line in lines if line.strip()]
    if not all(colon and name.strip() for name, colon, _ in pairs):
        raise ValueError("expected NAME:VALUE")
    return tuple((name.strip(), value.strip()) for name, _, value in pairs)


def path(text: str) -> str:
    """Read the name of a file; an empty one is a variable of a script that was not set."""
    if not text:
        raise ValueError("expected a path")
    return text


def mapping(text: str) -> dict[str, str]:
    """Read `NAME=VALUE` pairs with commas between them."""
    pairs = [item.partition("=") for item in listing(text)]
    if not all(name.strip() and equals for name, equals, _ in pairs):
        raise ValueError("expected NAME=VALUE,NAME=VALUE")
    return {name.strip(): value.strip() for name, _, value in pairs}


# -- value -> is it of the kind?


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_duration(value: object) -> bool:
    return _is_number(value) and -math.inf < cast("float", value) < math.inf  # and no NaN


def _is_texts(value: object) -> bool:
    return _is_sequence(value) and all(isinstance(item, str) for item in value)


def _is_pairs(value: object) -> bool:
    return _is_sequence(value) and all(_is_sequence(pair) and len(pair) == 2 for pair in value)


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping) and _is_texts([*value.keys(), *value.values()])


def _is_sequence(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


# -- value -> text


def _show_bool(value: object) -> str:
    return "true" if value else "false"


def _show_number(value: object) -> str:
    return f"{value:g}"


def _show_size(value: object) -> str:
    number = int(str(value))
    for unit, factor in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if number and number % factor == 0:
            return f"{number // factor}{unit}"
    return str(number)


def _show_list(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, Sequence) else str(value)


def _show_headers(value: object) -> str:
    pairs = value if isinstance(value, Sequence) else ()
    return " ".join(f"{name}:{text}" for name, text in pairs)


def _show_mapping(value: object) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    return ",".join(f"{name}={text}" for name, text in value.items())


# -- the kinds

DURATION: Final = "seconds, or a duration such as 500ms, 90s, 2m, 1h30m"
AMOUNT: Final = "bytes, or a size such as 64KiB, 16MiB"

TEXT: Final = Kind(expected="text", metavar="TEXT", parse=str, accepts=_is_text)
PATH: Final = Kind(expected="a path", metavar="PATH", parse=path, accepts=_is_text)
FOLDER: Final = replace(PATH, parse=str)  # an empty one is the current folder
BOOLEAN: Final = Kind(
    expected="true or false", metavar="BOOLEAN", parse=boolean, accepts=_is_bool, show=_show_bool
)
SWITCH: Final = replace(BOOLEAN, metavar="")  # its flag has no value: --name, --no-name
INTEGER: Final = Kind(expected="a whole number", metavar="N", parse=integer, accepts=_is_integer)
SECONDS: Final = Kind(
    expected=DURATION, metavar="SECONDS", parse=seconds, accepts=_is_duration, show=_show_number
)
SIZE: Final = Kind(
    expected=AMOUNT, metavar="BYTES", parse=size, accepts=_is_integer, show=_show_size
)
MODE: Final = Kind(
    expected="a file mode in octal digits, such as 660", metavar="MODE", parse=octal,
    accepts=_is_integer, show=lambda value: f"{value:o}",
)  # fmt: skip
LIST: Final = Kind(
    expected="a list of texts", metavar="TEXT", parse=listing, accepts=_is_texts,
    show=_show_list, many=True,
)  # fmt: skip
HEADERS: Final = Kind(
    expected="pairs of a header name and a value", metavar="NAME:VALUE", parse=headers,
    accepts=_is_pairs, show=_show_headers, many=True,
)  # fmt: skip
MAPPING: Final = Kind(
    expected="a mapping of text to text", metavar="NAME=VALUE", parse=mapping,
    accepts=_is_mapping, show=_show_mapping,
)  # fmt: skip
OBJECT: Final = Kind(
    expected="an object", metavar="", parse=None, accepts=lambda value: True, show=repr
)


# -- checks


def at_least(minimum: float) -> Check:
    def check(value: object) -> str | None:
        if value is None or (isinstance(value, int | float) and value >= minimum):
            return None
        return f"expected a number of at least {minimum:g}"

    return check


def between(minimum: int, maximum: int) -> Check:
    def check(value: object) -> str | None:
        if value is None or (isinstance(value, int) and minimum <= value <= maximum):
            return None
        return f"expected a number from {minimum} to {maximum}"

    return check
