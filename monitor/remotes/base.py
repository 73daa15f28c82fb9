"""What the monitor needs of a remote, whatever it is: to look at the donefile, and to pull.

``Remote`` is the interface. Each kind of remote has its own module beside this one. Every failure
of a remote is a ``RemoteError``: the library's own exceptions stay inside. A donefile that is not
there is None, because absence is an answer.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Callable, Optional

from ..errors import ReleaseError
from ..manifest import MAX_ENCODED

CHUNK = 256 * 1024
# One byte more than a manifest may have: enough to know that it is none.
DONEFILE_LIMIT = MAX_ENCODED + 1
_HOST = re.compile(r"[A-Za-z][\w+.-]*://[^/]*")


@dataclass(frozen=True)
class Sighting:
    """A donefile as the remote shows it.

    ``content`` has at most ``DONEFILE_LIMIT`` bytes. ``mark`` is everything else that the remote
    tells about the donefile (times, length, tags). ``validators`` are the parts of ``mark`` by
    name, for a remote that may send wrong ones (HTTP).
    """

    content: bytes
    mark: str
    validators: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Download:
    """A transfer under way.

    Attributes:
        offset: Where the first byte belongs; 0 if the remote did not resume.
        size: The whole file's length in bytes, if the remote told it.
        mark: What must be the same for a later transfer to resume this one; "" if the remote cannot
            promise that.
        chunks: The bytes.
        release: Closes what ``open`` opened, also if ``chunks`` was never begun.
        file: A file on this machine that already holds the bytes of ``chunks``, or "". After the
            last chunk the caller may move this file instead of writing the bytes again.
    """

    offset: int
    size: Optional[int]
    mark: str
    chunks: Generator[bytes, None, None]
    # Lets go of what ``open`` opened already: a generator that was never begun closes nothing.
    release: Callable[[], None] = lambda: None
    file: str = ""

    def close(self) -> None:
        """End the transfer, whether or not a byte of it was asked for. Safe to repeat."""
        self.chunks.close()
        self.release()


@dataclass(frozen=True)
class Entry:
    """One member of a remote folder: its path relative to the folder, length if known."""

    # The path, without a leading slash.
    path: str
    # The length in bytes; None if the remote does not tell it.
    size: Optional[int]


class Remote(ABC):
    """One remote with one base path. Not shared between threads, except ``interrupt``."""

    def describe(self) -> list[tuple[str, str]]:
        """Return option lines for the start of the log, in upstream's order, secrets masked."""
        return []

    @abstractmethod
    def look(self, name: str) -> Optional[Sighting]:
        """Return the donefile, or None if the remote is there and the file is not."""

    @abstractmethod
    def open(self, name: str, offset: int = 0, mark: str = "") -> Download:
        """Begin to pull a file, at ``offset`` if ``mark`` still holds, else at 0."""

    @abstractmethod
    def tree(self, name: str, most: int) -> list[Entry]:
        """Return the files below a remote folder, for a release that is a folder.

        Raises:
            ReleaseError: There are more than ``most`` (``too_many``).
        """

    def peek(self, name: str) -> dict[str, str]:
        """Return validators and size of a file without its bytes.

        Called only if ``look`` gives validators.
        """
        return {}

    def fetch_tree(self, name: str, target: str) -> bool:
        """Bring a remote folder to ``target`` in one go. Return False if that is impossible."""
        return False

    @abstractmethod
    def close(self) -> None:
        """Close connections and end processes. Safe to repeat; the next use opens them again."""

    def interrupt(self) -> None:  # noqa: B027 - most have nothing to end
        """End processes that a blocked call waits for. Called from another thread."""

    def __enter__(self) -> Remote:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()


def too_many(name: str, most: int) -> ReleaseError:
    """Return the error for a folder of more than ``most`` files, which is the release's fault."""
    return ReleaseError(
        "pull",
        name,
        f"it has more than {most} files and folders (--max_members)",
        "raise that if it is meant",
    )


def join(base: str, name: str) -> str:
    """Return ``name`` below ``base`` without doubled slashes. An absolute path stays absolute.

    ``base`` may begin with ``SCHEME://HOST``.
    """
    host, path = split_host(f"{base}/{name}" if base else name)
    lead = "/" if path.startswith("/") else ""
    return host + lead + "/".join(part for part in path.split("/") if part)


def split_host(path: str) -> tuple[str, str]:
    """Return the leading ``SCHEME://HOST`` of a path, "" without one, and the rest."""
    match = _HOST.match(path)
    host = match[0] if match else ""
    return host, path[len(host) :]
