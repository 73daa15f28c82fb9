"""Packs a model folder into a tarball whose bytes depend on the files alone.

The clock, the user, the umask and the order of a directory do not change them. Names are sorted.
Owners and times are fixed, modes are 0644 and 0755. gzip's header has neither name nor time.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from pathlib import Path
from typing import NamedTuple

from .files import replace

# 1980-01-01 00:00:00 UTC: GNU tar warns about the epoch, zip tools about times before 1980.
_MTIME = 315532800


class Packed(NamedTuple):
    """A written tarball: its path, size in bytes and SHA-256 (hexadecimal)."""

    path: Path
    size: int
    sha256: str


def pack(folder: Path, top: str, tarball: Path) -> Packed:
    """Write ``tarball`` (replaced in one step) with the files of ``folder`` under ``top/``."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(_entry(top, tarfile.DIRTYPE, 0o755, 0))
        for path in sorted(folder.iterdir(), key=lambda path: path.name):
            if path.name.startswith("."):
                continue
            content = path.read_bytes()
            entry = _entry(f"{top}/{path.name}", tarfile.REGTYPE, 0o644, len(content))
            archive.addfile(entry, io.BytesIO(content))
    packed = gzip.compress(plain.getvalue(), compresslevel=6, mtime=0)
    replace(tarball, packed)
    return Packed(tarball, len(packed), hashlib.sha256(packed).hexdigest())


def _entry(name: str, kind: bytes, mode: int, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.size, entry.mtime = kind, mode, size, _MTIME
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry
