"""Archives that no monitor may install, each made from a real release.

Each function turns a real release into a bad one. Unless a function says otherwise, the bad
release's manifest fits its bytes.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

from .releases import Release, file_entry, folder_entry, pack

Member = tuple[tarfile.TarInfo, Optional[bytes]]
# Packed zeros take a thousandth of their size. The bomb has many files, because the size of a
# single large file would show that the file does not fit on the disk.
_BOMB_FILES = 16
_BOMB_FILE = 16 << 20


def _bad(release: Release, tarball: bytes, label: str) -> Release:
    return replace(release, label=label, tarball=tarball, good=False, members={})


def _repacked(release: Release, label: str, extra: Sequence[Member]) -> Release:
    """The release's own members, and ``extra`` ones after them."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(folder_entry(release.top))
        for path, data in release.members.items():
            archive.addfile(file_entry(f"{release.top}/{path}", len(data)), io.BytesIO(data))
        for entry, content in extra:
            archive.addfile(entry, None if content is None else io.BytesIO(content))
    return _bad(release, gzip.compress(plain.getvalue(), mtime=0), label)


def _entry(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    entry = file_entry(name, 0)
    entry.type, entry.linkname = kind, link
    return entry


def corrupt(release: Release) -> Release:
    """One bit flipped in the middle of the compressed stream."""
    flipped = bytearray(release.tarball)
    flipped[len(flipped) // 2] ^= 0x10
    return _bad(release, bytes(flipped), "the corrupt release")


def truncated(release: Release) -> Release:
    """Without the last third."""
    cut = release.tarball[: len(release.tarball) * 2 // 3]
    return _bad(release, cut, "the truncated release")


def without_trailer(release: Release) -> Release:
    """Without gzip's last 8 bytes: everything unpacks, nothing proves that it is right."""
    return _bad(release, release.tarball[:-8], "the release without a trailer")


def empty(release: Release) -> Release:
    """No bytes at all."""
    return _bad(release, b"", "the empty release")


def html(release: Release) -> Release:
    """What a captive portal or a proxy sends instead of a file, with status 200."""
    page = b"<!doctype html><title>Sign in</title><p>Please sign in to continue.</p>\n" * 20
    return _bad(release, page, "the HTML page")


def bomb(release: Release) -> Release:
    """A few hundred kilobytes that unpack to 256 MiB."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(folder_entry(release.top))
        for path, data in release.members.items():
            archive.addfile(file_entry(f"{release.top}/{path}", len(data)), io.BytesIO(data))
        for number in range(_BOMB_FILES):
            entry = file_entry(f"{release.top}/zeros-{number:02}.bin", _BOMB_FILE)
            archive.addfile(entry, io.BytesIO(bytes(_BOMB_FILE)))
    return _bad(release, gzip.compress(plain.getvalue(), mtime=0), "the bomb")


def traversal(release: Release) -> Release:
    """A member whose name leads out of the folder."""
    data = b"written outside\n"
    member = file_entry(f"{release.top}/../../../escaped.txt", len(data))
    return _repacked(release, "the release with ../", [(member, data)])


def beside(release: Release) -> Release:
    """A member beside the top folder, one level up."""
    data = b"written outside\n"
    return _repacked(
        release, "the release with ../", [(file_entry("../escaped.txt", len(data)), data)]
    )


def symlink_out(release: Release) -> Release:
    """A symbolic link out of the folder, and a file written through it."""
    data = b"written through a link\n"
    link = _entry(f"{release.top}/out", tarfile.SYMTYPE, "../../..")
    through = file_entry(f"{release.top}/out/escaped.txt", len(data))
    return _repacked(release, "the release with a symlink", [(link, None), (through, data)])


def hard_link(release: Release) -> Release:
    """A hard link to a file of the host."""
    link = _entry(f"{release.top}/passwords", tarfile.LNKTYPE, "/etc/passwd")
    return _repacked(release, "the release with a hard link", [(link, None)])


def device(release: Release) -> Release:
    """A character device."""
    entry = _entry(f"{release.top}/null", tarfile.CHRTYPE)
    entry.devmajor, entry.devminor = 1, 3
    return _repacked(release, "the release with a device", [(entry, None)])


def fifo(release: Release) -> Release:
    """A named pipe, on which a server that opens it hangs."""
    entry = _entry(f"{release.top}/pipe", tarfile.FIFOTYPE)
    return _repacked(release, "the release with a pipe", [(entry, None)])


def wrong_top(release: Release) -> Release:
    """Packed under another top folder than the monitor was told."""
    return _bad(release, pack(release.members, "another_model"), "the release of another model")


def two_graphs(release: Release) -> Release:
    """Add a vocabulary whose name ends like that of a graph.

    The server loads the file that the filesystem lists first.
    """
    members = {**release.members, "sentencepiece.bpe.model": b"a vocabulary\n"}
    return _bad(release, pack(members, release.top), "the release with two graphs")


def no_parameters(release: Release) -> Release:
    """The weights' file is missing."""
    members = {path: data for path, data in release.members.items() if "params" not in path}
    return _bad(release, pack(members, release.top), "the release without parameters")


def empty_parameters(release: Release) -> Release:
    """The weights' file is there and empty."""
    members = {path: b"" if "params" in path else d for path, d in release.members.items()}
    return _bad(release, pack(members, release.top), "the release with empty parameters")
