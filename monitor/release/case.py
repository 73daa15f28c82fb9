"""Finds names of a release that differ only in case, on a filesystem that ignores case.

Case is ignored on vfat, exfat, NTFS in one mode, and in a casefold folder of ext4, f2fs or tmpfs.
There the second of two files would replace the first. Elsewhere such a release is good.
"""

from __future__ import annotations

import os
import tempfile
import unicodedata
from collections.abc import Iterable
from typing import Optional

from ..errors import ReleaseError
from ..live.layout import CASE_PROBE


class Names:
    """The paths of the release ``name`` so far, in a folder that may ignore case."""

    def __init__(self, name: str, folder: str) -> None:
        self._name = name
        self._folder = folder
        self._seen: dict[str, str] = {}

    def add(self, path: str) -> None:
        """Raise ``ReleaseError`` if the folder takes a part of ``path`` for another."""
        pair = self.alike(path)
        if pair is not None and ignores_case(self._folder):
            raise ReleaseError(
                "use",
                self._name,
                f"{pair[0]!r} and {pair[1]!r} are one name in {os.path.dirname(self._folder)}, "
                "which ignores case",
                "publish it with names that differ in more, or use a folder that tells them apart",
            )

    def alike(self, path: str) -> Optional[tuple[str, str]]:
        """Return a path so far and a part of ``path`` that differ only in case, or None."""
        end = 0
        while end < len(path):
            end = path.find("/", end + 1)
            end = len(path) if end < 0 else end
            part = path[:end]
            other = self._seen.setdefault(_folded(part), part)
            if other != part:
                return other, part
        return None


def check(name: str, paths: Iterable[str], folder: str) -> None:
    """Raise ``ReleaseError`` when two of ``paths`` would be one file in ``folder``."""
    names = Names(name, folder)
    for path in paths:
        names.add(path)


def ignores_case(folder: str) -> bool:
    """Return whether a file in ``folder`` is also found under its name in other case.

    Makes a folder in it for a moment. Raises ``OSError``.
    """
    probe = tempfile.mkdtemp(prefix=CASE_PROBE, dir=folder)
    try:
        return os.path.lexists(os.path.join(folder, os.path.basename(probe).swapcase()))
    finally:
        os.rmdir(probe)


def _folded(text: str) -> str:
    # As ext4 does it: Unicode's full case folding of the decomposed form.
    plain = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFD", plain.casefold())
