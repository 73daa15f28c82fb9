"""Archives as other producers make them: all legal, all of the same model.

Values in, values out: members and the top folder's name go in, a tarball's bytes come out.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import time
from collections.abc import Mapping

from .releases import file_entry, folder_entry


def as_upstream(members: Mapping[str, bytes], top: str) -> bytes:
    """``tarfile.open(name, "w:gz").add(folder)``: pax format, times of now with fractions, the
    producer's user and group."""
    return gzip.compress(_packed(members, top, tarfile.PAX_FORMAT))


def as_gnu_tar(members: Mapping[str, bytes], top: str) -> bytes:
    """``tar -czf NAME ./MODEL``: GNU format, names that begin with ``./``."""
    return gzip.compress(_packed(members, f"./{top}", tarfile.GNU_FORMAT))


def without_folders(members: Mapping[str, bytes], top: str) -> bytes:
    """Files only: the folder is in their names."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, data in members.items():
            archive.addfile(file_entry(f"{top}/{path}", len(data)), io.BytesIO(data))
    return gzip.compress(packed.getvalue())


def plain(members: Mapping[str, bytes], top: str) -> bytes:
    """Not compressed at all, whatever the name says."""
    return _packed(members, top, tarfile.USTAR_FORMAT)


def _packed(members: Mapping[str, bytes], top: str, form: int) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
        archive.addfile(_dressed(folder_entry(top)))
        for path, data in members.items():
            entry = _dressed(file_entry(f"{top}/{path}", len(data)))
            archive.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def _dressed(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mtime = time.time()  # the pax format keeps the fraction
    entry.uid, entry.gid, entry.uname, entry.gname = 1000, 1000, "producer", "producers"
    return entry
