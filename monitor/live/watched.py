"""Finds the file of the live directory that a Paddle Serving server watches.

``paddle_serving_server`` writes ``workdir_PORT/ENGINE/model_toolkit.prototxt`` into the folder in
which it starts. ``reloadable_meta`` in that file names the time file, relative to that folder.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from typing import Optional

_META = re.compile(r'^\s*reloadable_meta:\s*"([^"]+)"', re.MULTILINE)
_MAX_SIZE = 1024 * 1024


def watched_time_files(live: str) -> dict[str, str]:
    """Find the time files that servers watch in a live directory.

    Looks for servers in the folder that holds the live directory and in the current folder.

    Args:
        live: The live directory's path.

    Returns:
        The name of each time file, with the path of the prototxt that names it. Empty when no
        server started in either folder.
    """
    found: dict[str, str] = {}
    for directory, name, path in _metas(live):
        if os.path.realpath(directory) == os.path.realpath(live):
            found.setdefault(name, path)
    return found


def watched_elsewhere(live: str) -> Optional[str]:
    """Return a directory other than ``live`` that a server loads; None if there is none."""
    for directory, _, _ in _metas(live):
        if os.path.realpath(directory) != os.path.realpath(live):
            return os.path.normpath(directory)
    return None


def _metas(live: str) -> Iterator[tuple[str, str, str]]:
    """Give directory and name of each watched time file, and the prototxt that names it."""
    for folder in dict.fromkeys((os.path.dirname(live) or ".", ".")):
        pattern = os.path.join(glob.escape(folder), "workdir_*", "*", "model_toolkit.prototxt")
        for path in sorted(glob.glob(pattern)):
            for meta in _META.findall(_text(path)):
                directory, name = os.path.split(os.path.join(folder, meta))
                yield directory, name, path


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_MAX_SIZE)
    except OSError:
        return ""
