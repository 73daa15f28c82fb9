"""The manifest that a donefile may carry: bytes in, a checked value out.

A donefile is empty, as upstream writes it, or holds a UTF-8 JSON object of at most 64 KiB:

    {"format": 1, "release": N, "tarball": NAME, "size": BYTES, "sha256": HEX, "created": …,
     "feeds": [{"name", "alias", "dtype", "shape"}], "fetches": […],
     "probe": {"feed": …, "expected": …}}

Unknown keys are ignored. Anything else (text, a number, somebody else's JSON, another format) is
a legal donefile without a manifest: ``parse`` gives None and never raises.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Optional

FORMAT = 1
MAX_BYTES = 64 * 1024
# What 64 bits hold: no release and no byte is counted farther, and a gauge's float has room for it.
_MOST = 2**64 - 1
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class Manifest:
    """What a release promises. ``size`` is in bytes, ``sha256`` in lower-case hexadecimal.

    ``content`` is the whole JSON object as published (feeds, fetches, probe and the rest).
    """

    release: int
    tarball: str
    size: int
    sha256: str
    content: dict[str, Any] = field(compare=False, repr=False)


def parse(donefile: bytes) -> Optional[Manifest]:
    """The manifest in the bytes of a donefile, or None when they hold none of ours."""
    if len(donefile) > MAX_BYTES:
        return None
    try:
        content = json.loads(donefile.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or not _whole(content.get("format")):
        return None
    if content["format"] != FORMAT:
        return None
    release, size = content.get("release"), content.get("size")
    tarball, sha256 = content.get("tarball"), content.get("sha256")
    if not (isinstance(release, int) and _whole(release) and 0 <= release <= _MOST):
        return None
    if not (isinstance(size, int) and _whole(size) and 0 <= size <= _MOST):
        return None
    if not (isinstance(tarball, str) and tarball and isinstance(sha256, str)):
        return None
    if not _SHA256.match(sha256.lower()):
        return None
    return Manifest(release, tarball, size, sha256.lower(), content)


def _whole(value: object) -> bool:
    # JSON's true is an int for Python.
    return isinstance(value, int) and not isinstance(value, bool)
