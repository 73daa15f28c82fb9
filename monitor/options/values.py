"""How the values of options are read: text or a TOML value in, a checked value out.

Each raises ``ValueError`` with the reason; a float or int that is too large, ``OverflowError``.
"""

from __future__ import annotations

import math
import re
from datetime import datetime


def _number(text: object) -> float:
    try:
        return float(str(text))
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None


def _whole(text: object) -> int:
    try:
        return int(str(text))
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number") from None


def seconds(text: object) -> float:
    """Return a number of seconds that is not negative."""
    value = _number(text)
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{text} is not a number of seconds")
    return value


def interval(text: object) -> float:
    """Return a number of seconds above 0 and of at most a year."""
    value = seconds(text)
    if not 0 < value <= 31_536_000:
        raise ValueError(f"{text} is not more than 0 s and at most a year")
    return value


def duration(text: object) -> float:
    """Return seconds from ``90``, ``90s``, ``30m``, ``2h`` or ``1d``."""
    word = str(text).strip().lower()
    scale = {"s": 1, "m": 60, "h": 3600, "d": 86400}.get(word[-1:])
    try:
        return interval(float(word[:-1]) * scale if scale else word)
    except ValueError:
        raise ValueError(f"{text!r} is not a time (such as 90, 30m, 2h, 1d)") from None


def instant(text: object) -> float:
    """Return seconds since the epoch from an ISO 8601 time; local time if there is no zone."""
    word = str(text).strip()
    try:
        # Python 3.9 and 3.10 do not read the Z.
        return datetime.fromisoformat(re.sub(r"[zZ]\Z", "+00:00", word)).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{text!r} is not a time (such as 2026-12-24T18:00)") from None


def port(text: object) -> int:
    """Return a port."""
    value = _whole(text)
    if not 1 <= value <= 65535:
        raise ValueError(f"{text} is not a port (1 to 65535)")
    return value


def port_or_none(text: object) -> int:
    """Return a port, or 0 for none."""
    value = _whole(text)
    return port(value) if value else 0


def count(text: object) -> int:
    """Return a whole number that is not negative."""
    value = _whole(text)
    if value < 0:
        raise ValueError(f"{text} is negative")
    return value


def positive(text: object) -> int:
    """Return a whole number above 0."""
    value = count(text)
    if not value:
        raise ValueError(f"{text} is not above 0")
    return value


def size(text: object) -> int:
    """Return bytes from ``500``, ``64K``, ``20M``, ``2G`` or ``1T``, in powers of 1024."""
    word = str(text).strip().upper()
    word = word[:-1] if word.endswith("B") else word
    scale = {"K": 1, "M": 2, "G": 3, "T": 4}.get(word[-1:], 0)
    try:
        value = float(word[:-1] if scale else word)
    except ValueError:
        raise ValueError(f"{text!r} is not a number of bytes (such as 500, 64K, 20M, 2G)") from None
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{text} is not a number of bytes")
    return int(value * 1024**scale)


def switch(value: object) -> bool:
    """Return a value that is true or false."""
    if not isinstance(value, bool):
        raise ValueError("true or false is expected")
    return value


def encoding(text: object) -> str:
    """Return the name of an encoding that extends ASCII."""
    plain = "/ aZ09"
    try:
        if isinstance(text, str) and plain.encode(text) == plain.encode("ascii"):
            return text
    except (LookupError, ValueError):
        pass
    raise ValueError(f"{text} is no encoding of file names; try gbk, latin-1 or utf-8")
