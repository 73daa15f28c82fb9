"""A remote whose secrets come from files: made again when a file has another secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Optional

from ..options.rotation import SecretFiles
from .base import Download, Entry, Remote, Sighting

if TYPE_CHECKING:
    from ..options.fields import Options


class RotatedRemote(Remote):
    """Delegates to the remote that ``make`` returns for the present secrets.

    Reads the files before each look at the donefile. Between two looks the secrets stay the same.
    """

    def __init__(self, files: SecretFiles, make: Callable[[Options], Remote], first: Options):
        self._files = files
        self._make = make
        self._remote = make(first)

    def describe(self) -> list[tuple[str, str]]:
        return self._remote.describe()

    def look(self, name: str) -> Optional[Sighting]:
        changed = self._files.read_again()
        if changed is not None:
            self._remote.close()
            self._remote = self._make(changed)
        return self._remote.look(name)

    def open(self, name: str, offset: int = 0, mark: str = "") -> Download:
        return self._remote.open(name, offset, mark)

    def tree(self, name: str, most: int) -> list[Entry]:
        return self._remote.tree(name, most)

    def peek(self, name: str) -> dict[str, str]:
        return self._remote.peek(name)

    def fetch_tree(self, name: str, target: str) -> bool:
        return self._remote.fetch_tree(name, target)

    def close(self) -> None:
        self._remote.close()

    def interrupt(self) -> None:
        self._remote.interrupt()
