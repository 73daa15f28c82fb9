"""Decides which names a file of a release may have."""

from __future__ import annotations

import unicodedata

_MAX_PART = 255
_MAX_PATH = 1024
_MAX_DEPTH = 32
# Control characters, halves of surrogate pairs (bytes that are not UTF-8), ends of lines.
_UNWANTED = ("Cc", "Cs", "Zl", "Zp")


def is_sane(path: str) -> bool:
    """Return whether every filesystem and every log can hold the relative path ``path``."""
    if len(path) > _MAX_PATH or "\\" in path:
        return False
    if any(unicodedata.category(character) in _UNWANTED for character in path):
        return False
    parts = path.split("/")
    return len(parts) <= _MAX_DEPTH and not any(map(_is_odd, parts))


def _is_odd(part: str) -> bool:
    return part in ("", ".", "..") or len(part.encode()) > _MAX_PART
