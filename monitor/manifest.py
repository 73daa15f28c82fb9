"""The manifest that a donefile may carry: bytes in, a checked value out.

A donefile is empty, as upstream writes it, or holds a JSON object of at most 64 KiB of UTF-8:

    {"format": 1, "release": N, "tarball": NAME, "size": BYTES, "sha256": HEX, "created": …,
     "feeds": [{"name", "alias", "dtype", "shape"}], "fetches": […],
     "probe": {"feed": …, "expected": …}}

Unknown keys are ignored. The text may begin with a byte order mark and may be UTF-16 or UTF-32. The
whole may be compressed with gzip. Editors, shells and web servers change a file in these ways.

Anything else (text, a number, somebody else's JSON, another format) is a legal donefile without a
manifest: ``parse`` gives None and never raises.
"""

from __future__ import annotations

import functools
import json
import re
import zlib
from dataclasses import dataclass, field
from typing import Any, Optional

FORMAT = 1
MAX_BYTES = 64 * 1024
# ``MAX_BYTES`` in UTF-32, the longest encoding, with its byte order mark.
MAX_ENCODED = 4 * MAX_BYTES + 4
# The largest number of 64 bits. No release or size is larger, and a gauge can show it.
_MOST = 2**64 - 1
GZIP = b"\x1f\x8b"
_GZIP_WINDOW = 31
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class Manifest:
    """What a release promises. ``size`` is in bytes, ``sha256`` in lower-case hexadecimal.

    ``content`` is the whole JSON object as published (feeds, fetches, probe and the rest),
    ``text`` the JSON itself, decoded.
    """

    # The release's number.
    release: int
    # The tarball's name, without a folder.
    tarball: str
    size: int
    sha256: str
    content: dict[str, Any] = field(compare=False, repr=False)
    text: str = field(default="", compare=False, repr=False)


# Polls read the same donefile again.
@functools.lru_cache(maxsize=4)
def parse(donefile: bytes) -> Optional[Manifest]:
    """Return the manifest in the bytes of a donefile, or None if they hold none of ours."""
    try:
        text = _decoded(donefile)
        content = json.loads(text)
    except (ValueError, RecursionError, zlib.error):
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
    return Manifest(release, tarball, size, sha256.lower(), content, text)


def unpacked(packed: bytes, window: int = _GZIP_WINDOW) -> bytes:
    """Return the content of a compressed donefile, cut off above the size of any manifest.

    Args:
        packed: The compressed bytes.
        window: zlib's ``wbits``; gzip by default.

    Raises:
        zlib.error: The bytes are no such stream, or the stream is cut short.
    """
    stream = zlib.decompressobj(window)
    content = stream.decompress(packed, MAX_ENCODED + 1)
    if not stream.eof and len(content) <= MAX_ENCODED:
        raise zlib.error("the stream is cut short")
    return content


def _decoded(donefile: bytes) -> str:
    """Return the text of a donefile. Raises ``ValueError`` and ``zlib.error``."""
    if donefile.startswith(GZIP):
        donefile = unpacked(donefile)
    text = donefile.decode(json.detect_encoding(donefile))
    if len(text.encode()) > MAX_BYTES:
        raise ValueError("it is too long for a manifest")
    return text


def _whole(value: object) -> bool:
    # JSON's true is an int for Python.
    return isinstance(value, int) and not isinstance(value, bool)
