"""Takes secrets out of this process's own command line, as ``ps`` shows it.

Linux keeps the words in the process's memory, between the two addresses in ``/proc/self/stat``
(proc(5): arg_start and arg_end), and shows what stands there now. ``ps`` can show the secrets until
the monitor has read its options, a fraction of a second. A file or the environment is safer.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterable

from ..mask import SHORTEST


def hide(secrets: Iterable[str]) -> None:
    """Overwrite each secret with stars, where this system allows it."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open("/proc/self/stat", "rb") as file:
            # After the name in brackets, which may hold anything, comes field 3.
            fields = file.read().rpartition(b")")[2].split()
        start, end = int(fields[48 - 3]), int(fields[49 - 3])
        with open("/proc/self/cmdline", "rb") as file:
            words = file.read()
        if not start or len(words) != end - start:
            return
        hidden = starred(words, [os.fsencode(secret) for secret in secrets])
        if hidden != words:
            ctypes.memmove(start, hidden, len(hidden))


def starred(words: bytes, secrets: Iterable[bytes]) -> bytes:
    """Return ``words`` (each with a zero byte behind it) with stars in place of each secret."""
    # Longest first: one secret may be part of another.
    for secret in sorted(set(secrets), key=len, reverse=True):
        stars = b"*" * len(secret)
        if len(secret) >= SHORTEST:
            words = words.replace(secret, stars)
        elif secret:
            # A short one would make stars of parts of other words.
            for before in (b"=", b"\0"):
                words = words.replace(before + secret + b"\0", before + stars + b"\0")
    return words
