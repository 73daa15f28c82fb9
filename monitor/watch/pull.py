"""Brings a release to this machine: streamed, hashed on the way, resumed where a transfer broke.

A tarball is unpacked while it arrives. It becomes a file if a check command needs the file, or the
remote writes one, or its length is not known. Memory is bounded by a few chunks.

After a break, what was pulled is kept as long as the same release is announced and the remote's
file is the same. A complete release is kept until ``forget``, so that no failure of a swap costs
another pull. Bytes that turn out wrong are thrown away with their offset.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from ..decisions.identity import Identity
from ..disk import check_space, machine_error, remove
from ..errors import Mismatch, NeedsFile, ReleaseError, RemoteError
from ..live.layout import TREE
from ..log import logger
from ..manifest import Manifest
from ..release import case
from ..release.model import added_by_macos, sizes
from ..release.names import is_sane
from ..remotes.base import Download, Remote, too_many
from ..stop import Stop
from .unpacking import Unpacking

# How long ``abandon`` waits for the thread that unpacks.
_ABANDON_S = 0.2


def check_tree(name: str, count: int, size: int, most: int, largest: int) -> None:
    """Raise ``ReleaseError`` for a folder of more than ``most`` files or ``largest`` bytes."""
    if count > most:
        raise too_many(name, most)
    if size > largest:
        raise too_large(name)


def too_large(name: str) -> ReleaseError:
    """Return the error for a release of more bytes than are allowed."""
    return ReleaseError(
        "pull", name, "it has more bytes than --max_unpacked allows", "raise that if it is meant"
    )


def _check_name(name: str, path: str) -> None:
    """Raise ``ReleaseError`` for a path that no file of a release has."""
    if not is_sane(path):
        raise ReleaseError(
            "pull", name, f"{path!r} is no sane name", "publish it under another name"
        )


def _in_part(path: str) -> RemoteError:
    return RemoteError("pull", path, "it came only in part", "check that the remote is up")


class Throttle:
    """Lets at most ``rate`` bytes a second pass (0: any number)."""

    def __init__(self, rate: int, stop: Stop) -> None:
        self._rate = rate
        self._stop = stop
        self._free_at = time.monotonic()

    def pay(self, count: int) -> None:
        """Wait until ``count`` more bytes are allowed."""
        if not self._rate:
            return
        now = time.monotonic()
        self._free_at = max(now, self._free_at) + count / self._rate
        self._stop.wait(self._free_at - now)


@dataclass
class _Partial:
    # The release.
    identity: Identity
    # The remote's mark; the pull goes on only while it stays the same.
    mark: str
    # How many bytes are here.
    size: int = 0
    # Their digest so far.
    digest: Any = field(default_factory=hashlib.sha256)
    # Whether all bytes are here.
    whole: bool = False
    # Takes the bytes; None if they go into a file.
    unpacking: Optional[Unpacking] = None


class Puller:
    """Pulls into one file (or, for a release that is not packed, one folder)."""

    def __init__(
        self,
        remote: Remote,
        part: str,
        rate_limit: int,
        stop: Stop,
        *,
        received: Callable[[int], None] = lambda count: None,
        largest: int = sys.maxsize,
        unpack: Optional[Callable[[int, bool], Unpacking]] = None,
    ) -> None:
        """Make a puller.

        Args:
            remote: Where releases are.
            part: The file to pull to.
            rate_limit: The most bytes a second; 0 for any number.
            stop: The request to end.
            received: Told of each piece that came, in bytes.
            largest: The most bytes that a file may have.
            unpack: Begins to unpack a tarball. Gets its length, and whether a manifest's digest
                will prove its bytes. None to pull every tarball to ``part``.
        """
        self._received = received
        self._unpack = unpack
        # A tarball that cannot be unpacked while it arrives.
        self._needs_file: Optional[Identity] = None
        self.largest = largest
        self._remote = remote
        self.part = part
        self.tree_part = part + TREE
        self._throttle = Throttle(rate_limit, stop)
        self._stop = stop
        self._partial: Optional[_Partial] = None
        self.bytes_pulled = 0

    @property
    def digest(self) -> Optional[str]:
        """The SHA-256 of the file that came whole; None for a folder."""
        whole = self._partial is not None and self._partial.whole
        return str(self._partial.digest.hexdigest()) if self._partial and whole else None

    @property
    def unpacking(self) -> Optional[Unpacking]:
        """The staging folder of the tarball that came; None if there is a file or a folder."""
        return self._partial.unpacking if self._partial else None

    def forget_unpacked(self) -> None:
        """Throw away a staging folder, and leave a file alone."""
        if self.unpacking is not None:
            self.forget()

    def forget(self) -> None:
        """Throw away what was pulled."""
        partial, self._partial = self._partial, None
        if partial is not None and partial.unpacking is not None:
            partial.unpacking.discard()
        for path in (self.part, self.tree_part):
            with contextlib.suppress(OSError):
                remove(path)

    def pull_file(self, name: str, identity: Identity, manifest: Optional[Manifest]) -> None:
        """Bring the file ``name``, whole, to ``part`` or ``unpacking``.

        Raises:
            RemoteError: The remote failed. What came is kept for the next try.
            Mismatch: The bytes are not those of the manifest. They are thrown away.
            ReleaseError: There are more than ``largest`` bytes.
            MachineError, BadOption: This machine failed.
        """
        try:
            self._pull_file(name, identity, manifest)
        except NeedsFile:
            self.forget()
            self._needs_file = identity
            self._pull_file(name, identity, manifest)

    def _pull_file(self, name: str, identity: Identity, manifest: Optional[Manifest]) -> None:
        partial = self._partial
        if partial is not None and partial.whole and partial.identity == identity:
            if self._is_here(partial):
                return
            partial = None
        if partial is None or partial.identity != identity or not self._can_resume(partial):
            self.forget()
            partial = None
        download = (
            self._remote.open(name)
            if partial is None
            else self._remote.open(name, partial.size, partial.mark)
        )
        with contextlib.closing(download):
            if partial is None or download.offset != partial.size or download.offset == 0:
                self.forget()
                partial = _Partial(identity, download.mark)
                if download.offset:
                    raise RemoteError(
                        "pull",
                        name,
                        "the remote began at an offset of its own",
                        "check what stands between here and the remote",
                    )
            self._partial = partial
            expected = manifest.size if manifest is not None else download.size
            self._check_announced(name, download.size, manifest)
            fresh = partial.size == 0 and identity != self._needs_file and not download.file
            if self._unpack is not None and fresh and expected is not None:
                partial.unpacking = self._unpack(expected, manifest is not None)
            self._store(name, partial, expected, manifest, download)
        if download.size is not None and partial.size != download.size:
            raise RemoteError(
                "pull",
                name,
                f"{partial.size} bytes came, the remote says {download.size}",
                "check that the remote is up",
            )
        if manifest is not None:
            self._compare(name, partial, manifest)
        if partial.unpacking is not None:
            partial.unpacking.finish()
        partial.whole = True

    def abandon(self) -> None:
        """Do what ``forget`` does while another thread may still be in the middle of a pull.

        A complete staging folder is left alone: that thread may be in the swap.
        """
        partial = self._partial
        if partial is not None and partial.unpacking is not None and not partial.whole:
            partial.unpacking.discard(_ABANDON_S)
        for path in (self.part, self.tree_part):
            with contextlib.suppress(OSError):
                remove(path)

    def pull_tree(self, name: str, most: int, largest: int) -> None:
        """Bring the folder ``name`` to ``tree_part``, whole.

        Raises:
            ReleaseError: There are more than ``most`` files or ``largest`` bytes.
            RemoteError: The remote failed.
            MachineError: This machine failed.
        """
        self.forget()
        with self._here():
            os.makedirs(os.path.dirname(self.tree_part), exist_ok=True)
        listed = self._remote.tree(name, most)
        entries = [entry for entry in listed if not added_by_macos(entry.path)]
        if not entries:
            raise RemoteError(
                "pull", name, "it is empty, or no folder", "check --remote_model_name"
            )
        check_tree(name, len(entries), sum(entry.size or 0 for entry in entries), most, largest)
        with self._here():
            for entry in entries:
                _check_name(name, entry.path)
            os.mkdir(self.tree_part)
            case.check(name, [entry.path for entry in entries], self.tree_part)
            os.rmdir(self.tree_part)
            need = sum(entry.size or 0 for entry in entries)
            check_space(os.path.dirname(self.tree_part), need, "pull into")
            if self._remote.fetch_tree(name, self.tree_part):
                # It may have grown since it was listed.
                seen = sizes(self.tree_part)
                self._count(sum(seen.values()))
                check_tree(name, len(seen), sum(seen.values()), most, largest)
                for entry in entries:
                    if entry.size not in (None, seen.get(entry.path)):
                        raise _in_part(f"{name}/{entry.path}")
                for path in filter(added_by_macos, seen):
                    remove(os.path.join(self.tree_part, path))
            else:
                os.makedirs(self.tree_part)
                left = largest
                for entry in entries:
                    left -= self._pull_one(name, entry.path, left)
        if len(listed) > len(entries):
            count = len(listed) - len(entries)
            logger.info("skipped in %s: %d files that macOS added.", name, count)

    def _pull_one(self, name: str, path: str, most: int) -> int:
        """Bring one file of a folder, of at most ``most`` bytes, and return its length."""
        target = os.path.join(self.tree_part, *path.split("/"))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        download = self._remote.open(f"{name}/{path}")
        with contextlib.closing(download), open(target, "xb") as out:
            check_space(os.path.dirname(target), download.size or 0, "pull into")
            size = 0
            for chunk in download.chunks:
                self._stop.check()
                out.write(chunk)
                size += len(chunk)
                self._count(len(chunk))
                if size > most:
                    raise too_large(name)
                self._throttle.pay(len(chunk))
        if download.size is not None and size != download.size:
            raise _in_part(f"{name}/{path}")
        return size

    def _count(self, count: int) -> None:
        self.bytes_pulled += count
        self._received(count)

    def _can_resume(self, partial: _Partial) -> bool:
        return bool(partial.mark) and self._is_here(partial)

    def _is_here(self, partial: _Partial) -> bool:
        """Return whether what came is still here: a cleaner of old files may have removed it."""
        if partial.unpacking is not None:
            return partial.unpacking.usable
        try:
            size = os.path.getsize(self.part)
        except OSError:
            return False
        return size == partial.size if partial.whole else size >= partial.size

    def _store(
        self,
        name: str,
        partial: _Partial,
        expected: Optional[int],
        manifest: Optional[Manifest],
        download: Download,
    ) -> None:
        missing = max(0, (expected or 0) - partial.size)
        if partial.unpacking is not None:
            check_space(os.path.dirname(partial.unpacking.folder) or ".", missing, "unpack into")
            self._take(name, partial, manifest, download, partial.unpacking.feed)
            return
        with self._here():
            os.makedirs(os.path.dirname(self.part), exist_ok=True)
            check_space(os.path.dirname(self.part), missing, "pull into")
            with open(self.part, "r+b" if partial.size else "wb") as out:
                out.seek(partial.size)
                out.truncate()
                write = out.write if not download.file else len
                self._take(name, partial, manifest, download, write)
            if download.file:
                os.replace(download.file, self.part)

    def _take(
        self,
        name: str,
        partial: _Partial,
        manifest: Optional[Manifest],
        download: Download,
        write: Callable[[bytes], object],
    ) -> None:
        for chunk in download.chunks:
            self._stop.check()
            if partial.size + len(chunk) > self.largest:
                self.forget()
                raise too_large(name)
            write(chunk)
            partial.digest.update(chunk)
            partial.size += len(chunk)
            self._count(len(chunk))
            if manifest is not None and partial.size > manifest.size:
                self._wrong(name, f"more than the manifest's {manifest.size} bytes came")
            self._throttle.pay(len(chunk))

    def _check_announced(
        self, name: str, size: Optional[int], manifest: Optional[Manifest]
    ) -> None:
        if manifest is not None and size is not None and size != manifest.size:
            self._wrong(name, f"the remote has {size} bytes, the manifest says {manifest.size}")
        if size is not None and size > self.largest:
            self.forget()
            raise too_large(name)

    def _compare(self, name: str, partial: _Partial, manifest: Manifest) -> None:
        if partial.size != manifest.size:
            self._wrong(name, f"{partial.size} bytes came, the manifest says {manifest.size}")
        if partial.digest.hexdigest() != manifest.sha256:
            self._wrong(name, "its sha256 is not the manifest's")

    def _wrong(self, name: str, cause: str) -> None:
        self.forget()
        raise Mismatch("pull", name, cause, "the tarball and the donefile do not belong together")

    @contextlib.contextmanager
    def _here(self) -> Any:
        """Turn an ``OSError`` into a ``MachineError``: remotes raise it only for a local file."""
        try:
            yield
        except OSError as error:
            hint = "check space and permissions of --local_tmp_path"
            wrong = machine_error("write", self.part, error, hint)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                # Free the space: others need it, and the next try needs all of it.
                self.forget()
            raise wrong from error
