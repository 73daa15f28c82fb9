"""Brings a release to this machine: streamed, hashed on the way, resumed where a transfer broke.

Memory is bounded by one chunk. What was pulled of a release is kept over a break as long as the
same release is announced and the remote's file is still the same; bytes that turn out wrong are
thrown away with their offset.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from dataclasses import dataclass, field
from typing import Any, Optional

from ._folder import check_space, remove
from ._machine import Identity
from ._remotes.base import Remote, Stop
from .errors import MachineError, Mismatch, ReleaseError, RemoteError
from .manifest import Manifest


class Throttle:
    """Lets at most ``rate`` bytes a second pass (0: any number)."""

    def __init__(self, rate: int, stop: Stop) -> None:
        self._rate = rate
        self._stop = stop
        self._free_at = time.monotonic()

    def pay(self, count: int) -> None:
        """Waits until ``count`` more bytes are allowed."""
        if not self._rate:
            return
        now = time.monotonic()
        self._free_at = max(now, self._free_at) + count / self._rate
        self._stop.wait(self._free_at - now)


@dataclass
class _Partial:
    identity: Identity
    mark: str
    size: int = 0
    digest: Any = field(default_factory=hashlib.sha256)


class Puller:
    """Pulls into one file (or, for a release that is not packed, one folder)."""

    def __init__(self, remote: Remote, part: str, rate_limit: int, stop: Stop) -> None:
        self._remote = remote
        self.part = part
        self.tree_part = part + ".tree"
        self._throttle = Throttle(rate_limit, stop)
        self._stop = stop
        self._partial: Optional[_Partial] = None
        self.bytes_pulled = 0

    def forget(self) -> None:
        """Throws away what was pulled."""
        self._partial = None
        for path in (self.part, self.tree_part):
            with contextlib.suppress(OSError):
                remove(path)

    def pull_file(self, name: str, identity: Identity, manifest: Optional[Manifest]) -> None:
        """Brings the file ``name`` to ``part``, whole.

        Raises ``RemoteError`` (what came is kept for the next try), ``Mismatch`` (it is not),
        ``MachineError``.
        """
        partial = self._partial
        if partial is None or partial.identity != identity or not self._can_resume(partial):
            self.forget()
            partial = None
        download = (
            self._remote.open(name)
            if partial is None
            else self._remote.open(name, partial.size, partial.mark)
        )
        # Closes the connection's generator too, whatever happens.
        with contextlib.closing(download.chunks):  # type: ignore[type-var]
            if partial is None or download.offset != partial.size or download.offset == 0:
                partial = _Partial(identity, download.mark)
                if download.offset:
                    raise RemoteError("pull", name, "the remote began at an offset of its own")
            self._partial = partial
            expected = manifest.size if manifest is not None else download.size
            self._check_announced(name, download.size, manifest)
            self._store(name, partial, expected, manifest, download.chunks)
        if download.size is not None and partial.size != download.size:
            raise RemoteError(
                "pull", name, f"{partial.size} bytes came, the remote says {download.size}"
            )
        if manifest is not None:
            self._compare(name, partial, manifest)
        # Nothing is left to go on with: a resume would ask for bytes behind the end.
        self._partial = None

    def pull_tree(self, name: str) -> None:
        """Brings the folder ``name`` to ``tree_part``, whole."""
        self.forget()
        with self._here():
            os.makedirs(os.path.dirname(self.tree_part), exist_ok=True)
        if self._remote.fetch_tree(name, self.tree_part):
            return
        entries = self._remote.tree(name)
        if not entries:
            raise RemoteError(
                "pull", name, "it is empty, or no folder", "check --remote_model_name"
            )
        with self._here():
            os.makedirs(self.tree_part)
            for entry in entries:
                parts = entry.path.split("/")
                if any(part in ("", ".", "..") or "\0" in part for part in parts):
                    raise ReleaseError("pull", name, f"{entry.path!r} is no sane name")
                target = os.path.join(self.tree_part, *parts)
                os.makedirs(os.path.dirname(target), exist_ok=True)
                download = self._remote.open(f"{name}/{entry.path}")
                with open(target, "xb") as out:
                    size = 0
                    for chunk in download.chunks:
                        out.write(chunk)
                        size += len(chunk)
                        self.bytes_pulled += len(chunk)
                        self._throttle.pay(len(chunk))
                if download.size is not None and size != download.size:
                    raise RemoteError("pull", f"{name}/{entry.path}", "it came only in part")

    def _can_resume(self, partial: _Partial) -> bool:
        """Whether the remote promises it and the file is still here (a cleaner may have come)."""
        try:
            return bool(partial.mark) and os.path.getsize(self.part) >= partial.size
        except OSError:
            return False

    def _store(
        self,
        name: str,
        partial: _Partial,
        expected: Optional[int],
        manifest: Optional[Manifest],
        chunks: Any,
    ) -> None:
        with self._here():
            os.makedirs(os.path.dirname(self.part), exist_ok=True)
            missing = max(0, (expected or 0) - partial.size)
            check_space(os.path.dirname(self.part), missing, "pull into")
            with open(self.part, "r+b" if partial.size else "wb") as out:
                out.seek(partial.size)
                out.truncate()
                for chunk in chunks:
                    self._stop.check()
                    out.write(chunk)
                    partial.digest.update(chunk)
                    partial.size += len(chunk)
                    self.bytes_pulled += len(chunk)
                    if manifest is not None and partial.size > manifest.size:
                        self._wrong(name, f"more than the manifest's {manifest.size} bytes came")
                    self._throttle.pay(len(chunk))

    def _check_announced(
        self, name: str, size: Optional[int], manifest: Optional[Manifest]
    ) -> None:
        if manifest is not None and size is not None and size != manifest.size:
            self._wrong(name, f"the remote has {size} bytes, the manifest says {manifest.size}")

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
        """An OSError of this machine's files, which no remote lets out, is a MachineError."""
        try:
            yield
        except OSError as error:
            raise MachineError(
                "write", self.part, error, "check space and permissions of --local_tmp_path"
            ) from error
