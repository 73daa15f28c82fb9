"""A bundle: the evidence of one run in one file, for a bug report or a review.

``pack`` takes histories, logs and reports of a run's folder and leaves models and data out. It
masks secrets. The same folder always gives the same bytes. ``history_of`` reads a bundle without
unpacking it.
"""

from __future__ import annotations

import contextlib
import fnmatch
import io
import json
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from backports import zstd

from harness.checker.history import Event, events_of
from harness.support.errors import BadInput

from .masking import masked_line, remember_environment, remember_secrets

SUFFIX = ".tar.zst"
_FORMAT = 1
_HEAD = "bundle.json"
# The rest of a run's folder is models, and the remotes' data.
_EVIDENCE = (
    *("*.json", "*.jsonl", "*.hgrm", "*.log", "*.log.*", "*.txt", "*.out", "*.err"),
    *("*.md", "*.xml", "*.html", "*.toml", "*.prototxt"),
)
# Folders with a copy of each release, and with what a daemon of Hadoop unpacks for itself.
_NO_EVIDENCE = ("releases", "tmp")
_OPTIONS: dict[int, int] = {
    zstd.CompressionParameter.compression_level: 10,
    # So that every damage is found.
    zstd.CompressionParameter.checksum_flag: 1,
}


@dataclass(frozen=True)
class Packed:
    """The contents of a bundle."""

    # How many files.
    files: int
    # How many lines with a secret.
    masked_lines: int


def pack(run: Path, target: Path) -> Packed:
    """Write the bundle of a run's folder.

    Raises:
        BadInput: The folder holds no history, or the bundle cannot be written.
    """
    if not (run / "history.jsonl").is_file():
        raise BadInput(
            f"{run} holds no history.jsonl, so it is no run's folder; name one of runs/, such as "
            "runs/latest"
        )
    remember_environment()
    run = run.resolve()
    remember_secrets(run)
    names = sorted(_evidence(run))
    masked_lines = 0
    part = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with zstd.open(part, "wb", options=_OPTIONS) as file, _writing(file) as tar:
            head = {"format": _FORMAT, "run": run.name, "files": len(names)}
            _add(tar, _HEAD, io.BytesIO(json.dumps(head, indent=1).encode() + b"\n"), 0)
            for name in names:
                with tempfile.TemporaryFile(dir=target.parent) as content:
                    masked_lines += _mask_file(run / name, content)
                    mtime = int((run / name).stat().st_mtime)
                    _add(tar, f"{run.name}/{name}", content, mtime)
        part.replace(target)
    except OSError as error:
        raise BadInput(
            f"cannot write the bundle {target} ({error.strerror or error}); name another file "
            "with --output"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return Packed(len(names), masked_lines)


def history_of(bundle: Path) -> Iterator[Event]:
    """Return the events of a bundle's history.

    Raises:
        BadInput: The file is no bundle, or is damaged, or holds a name or a kind of file that
            ``pack`` does not write.
    """
    found = False
    with _explained(bundle):
        for name, file in _members(bundle):
            if PurePosixPath(name).parts[1:] == ("history.jsonl",):
                found = True
                yield from events_of(file, name)
    if not found:
        raise BadInput(f"{bundle} holds no history; make the bundle again")


@contextlib.contextmanager
def _explained(bundle: Path) -> Iterator[None]:
    """Turn errors of reading a bundle into sentences."""
    try:
        yield
    except OSError as error:
        raise BadInput(f"cannot read {bundle}: {error.strerror or error}; name a bundle") from error
    except (zstd.ZstdError, EOFError, tarfile.TarError) as error:
        raise BadInput(f"{bundle} is damaged or no bundle ({error}); get it again") from error


def _members(bundle: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Return names and contents, in the order of the bundle."""
    count = expected = 0
    with zstd.open(bundle, "rb") as file, tarfile.open(fileobj=file, mode="r|") as tar:
        for number, member in enumerate(tar):
            _require_harmless(bundle, member)
            content = tar.extractfile(member)
            assert content is not None
            if number == 0:
                expected = _files_of_head(bundle, member.name, content.read())
            else:
                count += 1
                yield member.name, content
        # The end of the stream has its checksum.
        while file.read(1 << 20):
            pass
    if count != expected:
        raise BadInput(f"{bundle} has {count} of its {expected} files; get it again")


def _files_of_head(bundle: Path, name: str, content: bytes) -> int:
    try:
        head = json.loads(content) if name == _HEAD else {}
        if head["format"] != _FORMAT:
            raise BadInput(
                f"{bundle} has format {head['format']}; this harness reads format {_FORMAT}; use "
                "the harness that made it"
            )
        return int(head["files"])
    except (ValueError, KeyError, TypeError):
        raise BadInput(
            f"{bundle} is no bundle of a run; make one with `.venv/bin/python -m harness bundle`"
        ) from None


def _require_harmless(bundle: Path, member: tarfile.TarInfo) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or not member.isreg():
        raise BadInput(
            f"{bundle} holds {member.name!r}, which no bundle of a run holds; do not trust it"
        )


def _evidence(run: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(run):
        folders[:] = [name for name in folders if name not in _NO_EVIDENCE]
        for name in files:
            path = Path(folder, name)
            wanted = any(fnmatch.fnmatch(name, pattern) for pattern in _EVIDENCE)
            # Logs of the server are also links to such files.
            if wanted and stat.S_ISREG(path.lstat().st_mode):
                yield path.relative_to(run).as_posix()


def _mask_file(path: Path, target: IO[bytes]) -> int:
    """Write the file without its secrets, and return how many of its lines had one.

    Logs and histories of a long run have gigabytes, so only JSON files are read as a whole.
    """
    count = 0
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        for line in [file.read()] if path.suffix == ".json" else file:
            after = masked_line(line)
            count += after != line
            target.write(after.encode("utf-8", "surrogateescape"))
    return count


@contextlib.contextmanager
def _writing(file: zstd.ZstdFile) -> Iterator[tarfile.TarFile]:
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        yield tar


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes], mtime: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime = content.seek(0, os.SEEK_END), mtime
    content.seek(0)
    tar.addfile(member, content)
