"""Archives made by hand, member by member, and what the strict reader makes of them."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any, Optional

import pytest

from monitor.errors import ReleaseError
from monitor.release.archive import Limits, Member, Skipped, unpack
from monitor.release.tar import BLOCK

TOP = "model"
LIMITS = Limits(members=100, size=10_000_000, expansion=200)


def member(name: str, content: bytes = b"", **fields: Any) -> bytes:
    """One member as ustar, with any field of its header set."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    header = info.tobuf(tarfile.USTAR_FORMAT)
    return header + content + bytes(-len(content) % BLOCK)


def extension(kind: bytes, content: bytes) -> bytes:
    return member("extension", content, type=kind)


def pax(**records: str) -> bytes:
    out = b""
    for key, value in records.items():
        rest = f" {key}={value}\n".encode()
        length = len(rest) + 1
        while len(str(length)) + len(rest) != length:
            length += 1
        out += str(length).encode() + rest
    return out


END = bytes(2 * BLOCK)


def patched(header: bytes, place: int, field: bytes) -> bytes:
    """A member with other bytes in its header, and the sum that fits them."""
    out = bytearray(header)
    out[place : place + len(field)] = field
    out[148:156] = b"%06o\0 " % (sum(out[:148]) + 8 * 32 + sum(out[156:512]))
    return bytes(out)


def read(
    path: Path,
    content: bytes,
    limits: Limits = LIMITS,
    seen: Optional[list[Member]] = None,
    *,
    top: str = TOP,
    proven: bool = False,
    skipped: Skipped = Skipped(outside=0, macos=0),  # noqa: B008 - a value that does not change
) -> dict[str, bytes]:
    """Unpacks ``content`` and gives what lies in the folder then (folders as ``name/``).

    ``skipped`` is what has to be left out.
    """
    archive, target = path / "archive", path / "target"
    archive.write_bytes(content)
    target.mkdir()
    members: list[Member] = [] if seen is None else seen
    left_out = unpack(
        str(archive),
        str(target),
        top=top,
        limits=limits,
        proven=proven,
        before_file=members.append,
        alive=lambda: None,
    )
    assert left_out == skipped
    found = {}
    for entry in target.rglob("*"):
        name = str(entry.relative_to(target))
        found[name + "/" * entry.is_dir()] = b"" if entry.is_dir() else entry.read_bytes()
    return found


def refused(path: Path, content: bytes, limits: Limits = LIMITS, **given: Any) -> str:
    """Why ``content`` is refused."""
    with pytest.raises(ReleaseError) as caught:
        read(path, content, limits, **given)
    assert caught.value.path == str(path / "archive")
    assert caught.value.operation == "unpack"
    return caught.value.cause


PLAIN = member("model/a", b"12345") + END
WHOLE = {"a": b"12345"}
