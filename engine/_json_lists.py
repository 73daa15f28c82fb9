"""Long lists of numbers in a JSON body, read a piece at a time; and what all the rest may cost.

A parser makes an object of every number, 13 to 15 bytes of memory for each byte of the body. So a
long list is taken out of the body before that is parsed, a word nobody can guess stands in its
place, and the list is read later, piece by piece, straight into an array. What stays in the body
costs more (measured: up to 38 bytes for each of it), and is estimated before it is parsed.
"""

from __future__ import annotations

import re
import secrets
from typing import Any, Callable, NamedTuple

import numpy as np
import orjson

from ._query import ELEM_TYPES, Array, Unparsable

# A body of this many bytes is parsed as it is.
LARGE = 1 << 20
_PIECE = 64 * 1024
_DTYPES = {
    kind.field: kind.dtype
    for kind in ELEM_TYPES.values()
    if kind.field not in ("tensor_content", "data")
}
# Within a string the quotes of such a key would have backslashes before them.
_LIST = re.compile(
    rb'(?<!\\)"(?:%s)"[ \t\r\n]*:[ \t\r\n]*\[([^][{}]*)\]' % "|".join(_DTYPES).encode()
)
# Bytes of memory for each of these, measured with the worst bodies of each kind and rounded up.
_COST = {b",": 100, b":": 150, b"[": 50, b"{": 50}
# A large body that has an object or a list in every 16 bytes is no request.
_BYTES_EACH = 16
# With one character that needs it, each of a string takes so many bytes.
_WIDEST = 4


class LongList(NamedTuple):
    """Where in ``body`` the list stands, without its brackets."""

    body: bytes
    start: int
    end: int


def taken_out(body: bytes) -> tuple[bytes, dict[str, LongList]]:
    """The body without its long lists, and those, by the words in their places."""
    secret = secrets.token_hex(16)
    lists: dict[str, LongList] = {}
    rest = []
    at = 0
    for found in _LIST.finditer(body):
        start, end = found.span(1)
        if end - start > _PIECE and body.find(b",", start, end) >= 0:
            word = f"{secret}{len(lists)}"
            lists[word] = LongList(body, start, end)
            rest += [body[at : start - 1], f'"{word}"'.encode()]
            at = end + 1
    return b"".join([*rest, body[at:]]), lists


def afford(body: bytes, most: int) -> None:
    """Raises ``Unparsable`` for a large body that might take more than ``most`` bytes of memory.

    And for one of objects and lists above all: each is work for the garbage collector as well.
    """
    counts = {sign: body.count(sign) for sign in _COST}
    if (counts[b"["] + counts[b"{"]) * _BYTES_EACH > len(body):
        raise Unparsable("Too many objects and arrays")
    plain = body.isascii() and b"\\u" not in body
    cost = sum(count * _COST[sign] for sign, count in counts.items())
    if cost + (0 if plain else _WIDEST * len(body)) > most:
        raise Unparsable(f"Its values would take more than {most} bytes")


def read(field: str, given: LongList, checked: Callable[[str, Any], Any]) -> Array:
    """The numbers, each piece as ``checked`` returns it. Raises ``Unparsable``."""
    body, at, end = given
    dtype = _DTYPES[field]
    numbers = np.empty(body.count(b",", at, end) + 1, dtype)
    done = 0
    while at <= end:
        comma = body.find(b",", at + _PIECE, end)
        stop = end if comma < 0 else comma
        try:
            piece = orjson.loads(b"[%b]" % body[at:stop])
        except ValueError:
            raise Unparsable("Invalid json format") from None
        if not piece:
            # Behind a comma something has to stand.
            raise Unparsable("Invalid json format")
        numbers[done : done + len(piece)] = np.array(checked(field, piece), dtype)
        done += len(piece)
        at = stop + 1
    return numbers
