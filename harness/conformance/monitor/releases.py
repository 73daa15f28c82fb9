"""The releases that the suite publishes: real ones of the producer, and made-up archives of them.

The producer trains and publishes a handful into a folder once
(``.cache/conformance/releases``); a run reads them from there. Everything else is made from
their files: with one more file beside, with a big one, or packed wrongly on purpose
(``damage.py``).
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import importlib.util
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

from harness.support.errors import BadInput

from .observed import Known

MODEL_NAME = "uci_housing.tar.gz"
DONEFILE_NAME = "donefile"
TRAINED = 6
_NAME = "uci_housing"


@dataclass(frozen=True)
class Release:
    """One release: ``members`` (relative path → bytes) under the folder ``top``, and its bytes.

    ``manifest`` is what the producer wrote for the release it was made from; ``good`` says
    whether a monitor may install it.
    """

    # The name in verdicts.
    label: str
    # The number in its manifest.
    number: int
    top: str
    members: Mapping[str, bytes]
    # The packed bytes.
    tarball: bytes
    manifest: Mapping[str, Any]
    good: bool = True

    def donefile(self, **changes: Any) -> bytes:
        """The manifest that announces exactly these bytes; ``changes`` replace its keys."""
        digest = hashlib.sha256(self.tarball).hexdigest()
        content = dict(self.manifest, release=self.number, size=len(self.tarball), sha256=digest)
        content.update(tarball=MODEL_NAME, **changes)
        return json.dumps(content).encode() + b"\n"

    @property
    def known(self) -> Known:
        """What the judge gets to know of it."""
        digests = {path: hashlib.sha256(data).hexdigest() for path, data in self.members.items()}
        return Known(self.label, digests, self.good, hashlib.sha256(self.tarball).hexdigest())

    def numbered(self, number: int, label: Optional[str] = None) -> Release:
        """The same model announced under another number."""
        return replace(self, number=number, label=label or f"release {number}")

    def with_files(self, extra: Mapping[str, bytes]) -> Release:
        """The same model with more files beside it, as models with a vocabulary have."""
        members = {**self.members, **extra}
        return replace(self, members=members, tarball=pack(members, self.top))

    def padded(self, size: int, seed: int) -> Release:
        """The same model with ``size`` bytes that do not compress, so that a pull takes long."""
        noise = random.Random(f"{seed} {self.number}").randbytes(size)
        return self.with_files({"embedding.bin": noise})

    def stored(self) -> Release:
        """Return the same model, packed but not compressed.

        A tarball of the same model with other weights then has as many bytes.
        """
        return replace(self, tarball=pack(self.members, self.top, compresslevel=0))

    def write_to(self, folder: Path) -> None:
        """Writes the members below ``folder``, as a person does who unpacks a first model."""
        for path, data in self.members.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)


def pack(members: Mapping[str, bytes], top: str, compresslevel: int = 6) -> bytes:
    """A deterministic .tar.gz with one top folder."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(folder_entry(top))
        for folder in sorted({os.path.dirname(path) for path in members} - {""}):
            archive.addfile(folder_entry(f"{top}/{folder}"))
        for path in sorted(members):
            archive.addfile(
                file_entry(f"{top}/{path}", len(members[path])), io.BytesIO(members[path])
            )
    return gzip.compress(plain.getvalue(), compresslevel=compresslevel, mtime=0)


def folder_entry(name: str) -> tarfile.TarInfo:
    """A folder in an archive."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, 315532800
    return entry


def file_entry(name: str, size: int) -> tarfile.TarInfo:
    """A regular file in an archive; its bytes follow it."""
    entry = tarfile.TarInfo(name)
    entry.mode, entry.size, entry.mtime = 0o644, size, 315532800
    return entry


def trained_releases(cache: Path, count: int = TRAINED) -> list[Release]:
    """Releases 0 to ``count`` - 1 as the producer made them; trained now when not cached yet.

    Takes about 15 s the first time. Raises ``BadInput`` when the producer fails.
    """
    cache.parent.mkdir(parents=True, exist_ok=True)
    with (cache.parent / f"{cache.name}.lock").open("w") as lock:
        # Test workers ask at the same time; one trains, the others wait for it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not all((cache / str(number + 1) / DONEFILE_NAME).exists() for number in range(count)):
            _train(cache, count)
    # The producer counts from 1; the suite's release 0 is the model a server starts with.
    return [read(cache / str(number + 1)).numbered(number) for number in range(count)]


def _train(cache: Path, count: int) -> None:
    """``count`` releases by the producer's command line, moved into the cache in one step."""
    with tempfile.TemporaryDirectory(prefix=".training-", dir=cache.parent.resolve()) as scratch:
        remote, work = Path(scratch) / "remote", Path(scratch) / "work"
        remote.mkdir()
        command = [_python_with_paddle(), "-m", "producer", "--remote", f"file://{remote}"]
        command += ["--name", _NAME, "--work", str(work), "--passes", str(count)]
        command += ["--interval", "0"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        made = work / "releases"
        if done.returncode != 0 or not (made / str(count) / DONEFILE_NAME).exists():
            raise BadInput(
                f"the producer made no releases to publish (exit code {done.returncode}): "
                f"{(done.stderr or done.stdout).strip()[-300:]}; try: {' '.join(command)}"
            )
        if cache.exists():
            shutil.rmtree(cache)
        os.rename(made, cache)


def _python_with_paddle() -> str:
    """Return an interpreter that can train: this one, or that of ``make setup``.

    The suite and a monitor need no Paddle, so they may run on another interpreter.
    """
    made = Path(__file__).resolve().parents[3] / ".venv" / "bin" / "python"
    if importlib.util.find_spec("paddle") is None and made.exists():
        return str(made)
    return sys.executable


def read(folder: Path) -> Release:
    """Return the release in a folder as the producer leaves it: a tarball and its donefile."""
    packed = (folder / MODEL_NAME).read_bytes()
    top, members = unpacked(packed)
    manifest = json.loads((folder / DONEFILE_NAME).read_bytes())
    number = manifest["release"]
    return Release(f"release {number}", number, top, members, packed, manifest)


def unpacked(packed: bytes) -> tuple[str, dict[str, bytes]]:
    """Return the one top folder of a tarball, and what the files below it hold.

    Raises ``ValueError`` if there is another number of top folders, a name leads out of them, or
    a file has the name of a folder.
    """
    members: dict[str, bytes] = {}
    tops: set[str] = set()
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for entry in archive:
            top, _, path = entry.name.partition("/")
            tops.add(top)
            if entry.isreg():
                stream = archive.extractfile(entry)
                assert stream is not None
                members[path] = stream.read()
    if len(tops) != 1 or tops & {"", ".", ".."}:
        raise ValueError(f"it has the top folders {sorted(tops)}, and needs one")
    for path in members:
        if {"", "..", "."} & set(path.split("/")):
            raise ValueError(
                f"a file in it has the name {path!r}, which is no path below its top folder"
            )
    return tops.pop(), members
