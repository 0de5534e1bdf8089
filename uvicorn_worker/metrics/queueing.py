"""When a request reached the proxy, as `X-Request-Start` tells. Pure.

    t=1700000000.123        nginx: "t=${msec}"
    1700000000123           Heroku: milliseconds
    t=1700000000123456      New Relic's agents, HAProxy: microseconds

There is no standard, so the unit is told by the size of the number.
"""

from __future__ import annotations

import re
from typing import Final

FIELD: Final = b"x-request-start"

# Longer waits are mistakes: of clocks, or of whoever wrote the field.
LONGEST: Final = 3600.0  # seconds
# Clocks of two machines differ. By no more than this, the request has not waited.
SKEW: Final = 1.0  # seconds

_match = re.compile(rb"(?:t=)?([0-9]{10,19}(?:\.[0-9]{1,9})?)", re.ASCII).fullmatch

# Numbers of at least this much count in a unit that is so many times in a second.
_UNITS: Final = ((1e18, 1e9), (1e15, 1e6), (1e12, 1e3), (1e9, 1.0))


def waited(value: bytes, now: float) -> float | None:
    """Return how many seconds a request has waited, None where the field does not tell.

    `now` is in seconds since 1970.
    """
    match = _match(value)
    if match is None:
        return None
    number = float(match[1])
    seconds = now - next(number / unit for least, unit in _UNITS if number >= least)
    return max(0.0, seconds) if -SKEW <= seconds <= LONGEST else None
