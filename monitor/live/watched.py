"""Finds the file of the live directory that a Paddle Serving server watches.

``paddle_serving_server`` writes ``workdir_PORT/ENGINE/model_toolkit.prototxt`` into the folder in
which it starts. ``reloadable_meta`` in that file names the time file, relative to that folder.
"""

from __future__ import annotations

import glob
import os
import re

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
    for folder in dict.fromkeys((os.path.dirname(live) or ".", ".")):
        pattern = os.path.join(glob.escape(folder), "workdir_*", "*", "model_toolkit.prototxt")
        for path in sorted(glob.glob(pattern)):
            for meta in _META.findall(_text(path)):
                directory, name = os.path.split(os.path.join(folder, meta))
                if os.path.realpath(directory) == os.path.realpath(live):
                    found.setdefault(name, path)
    return found


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_MAX_SIZE)
    except OSError:
        return ""
