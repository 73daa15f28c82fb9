"""Content hashes: an image's tag is the hash of what it is made from.

So that an image is built once and found again as long as nothing changed, and a changed line
gives another tag instead of a stale image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

# What building and testing leave in a source folder; neither hashed nor copied into an image.
IGNORED = ("__pycache__", ".*_cache", "build", "dist", "*.egg-info", "*.pyc")


def files_under(path: Path) -> list[Path]:
    """The files of a folder, sorted, without caches; of a file, the file."""
    if path.is_file():
        return [path]
    return sorted(
        file
        for file in path.rglob("*")
        if file.is_file()
        and not any(
            fnmatch(part, pattern)
            # Only below the folder: the checkout itself may lie in one called "build".
            for part in file.relative_to(path).parts
            for pattern in IGNORED
        )
    )


def content_hash(inputs: Iterable[tuple[str, Path]], words: Iterable[str]) -> str:
    """12 hexadecimal digits over files (name inside, executable bit, bytes) and plain words.

    ``inputs`` are pairs of a name and a file or folder; the name stands for it in the hash, so
    that it does not depend on where the checkout lies.
    """
    total = hashlib.sha256()
    for name, path in inputs:
        for file in files_under(path):
            inside = name if file == path else f"{name}/{file.relative_to(path).as_posix()}"
            executable = "x" if file.stat().st_mode & 0o100 else "-"
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            total.update(f"{inside}\0{executable}\0{digest}\n".encode())
    for word in words:
        total.update(f"{word}\0".encode())
    return total.hexdigest()[:12]
