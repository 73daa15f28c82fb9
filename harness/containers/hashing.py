"""Content hashes: an image's tag is the hash of what it is made from.

So an image is built once and found again as long as its inputs are the same. A changed line gives
another tag instead of a stale image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

# What building and testing leave in a source folder; neither hashed nor copied into an image.
IGNORED = ("__pycache__", ".*_cache", "build", "dist", "*.egg-info", "*.pyc")


def files_under(path: Path) -> list[Path]:
    """The files of a folder, without caches; of a file, the file."""
    if path.is_file():
        return [path]
    return [
        file
        for file in path.rglob("*")
        if file.is_file()
        and not any(
            fnmatch(part, pattern)
            # Only below the folder: the checkout itself may lie in one called "build".
            for part in file.relative_to(path).parts
            for pattern in IGNORED
        )
    ]


def content_hash(inputs: Iterable[tuple[str, Path]], words: Iterable[str]) -> str:
    """12 hexadecimal digits over files (path inside, executable bit, bytes) and plain words.

    ``inputs`` are pairs: a path inside the build context (``.`` for its root), and the file or
    folder that goes there. So the hash does not depend on the checkout's path. A context filled
    from the checkout has the same hash.
    """
    lines = set()
    for name, path in inputs:
        for file in files_under(path):
            inside = Path(name) if file == path else Path(name) / file.relative_to(path)
            executable = "x" if file.stat().st_mode & 0o100 else "-"
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            lines.add(f"{inside.as_posix()}\0{executable}\0{digest}\n".encode())
    total = hashlib.sha256(b"".join(sorted(lines)))
    for word in words:
        total.update(f"{word}\0".encode())
    return total.hexdigest()[:12]
