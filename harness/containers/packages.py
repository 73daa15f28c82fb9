"""Python packages for images: pins and hashes out of our own locks, installed on the host by uv.

An image needs a part of an environment. Its ``packages.txt`` names that part. Versions and hashes
stay in one place, the lock under ``requirements/``. Then uv installs the packages into a folder of
the build context, from its cache and with its certificates. So a build needs no package index.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.setup.sources import uv_environment
from harness.support.errors import BadInput, MissingPart
from harness.support.paths import repository_root

from . import engine

_DEADLINE_S = 900.0


@dataclass(frozen=True)
class Selection:
    """Which packages (named in ``docker/IMAGE/packages.txt``), from which lock, for which Python.

    ``python`` is ``3.9`` or ``3.11``: that of the image, not of this machine.
    """

    image: str
    lock: str
    python: str

    def requirements(self) -> str:
        """The chosen blocks of the lock, with their hashes. Raises ``BadInput``."""
        root = repository_root()
        names = root / "docker" / self.image / "packages.txt"
        lock = root / "requirements" / self.lock
        return select(lock.read_text(), parse_names(names.read_text()), lock.name)

    def recipe(self) -> list[str]:
        """Return the words that stand for the packages in an image's hash."""
        return [self.requirements(), *self._options()]

    def _options(self) -> list[str]:
        """What decides which files are installed."""
        return [
            *("--no-deps", "--require-hashes"),
            *("--python-version", self.python, "--python-platform", "x86_64-unknown-linux-gnu"),
        ]

    def stage(self, context: Path) -> None:
        """Installs the packages into ``context/site-packages``, and names them in ``python.txt``.

        Raises ``Failed``.
        """
        wanted = context / "requirements.txt"
        wanted.write_text(self.requirements())
        engine.command(
            [
                *(uv(), "pip", "install", "--quiet", *self._options()),
                *("--target", str(context / "site-packages"), "--link-mode", "hardlink"),
                *("--requirements", str(wanted)),
            ],
            _DEADLINE_S,
            environment={**uv_environment(), "UV_NO_PROGRESS": "1"},
        )
        wanted.unlink()
        # What uv did install: a pin with a marker for another Python is left out.
        found = importlib.metadata.distributions(path=[str(context / "site-packages")])
        names = sorted(f"{one.metadata['Name']}=={one.version}\n" for one in found)
        (context / "python.txt").write_text("".join(names))


def uv() -> str:
    """The uv that the set-up uses, brought when it is not there."""
    from harness.setup.bootstrap import find_uv

    try:
        return find_uv()
    except SystemExit:
        raise MissingPart("uv is needed to fetch an image's packages; run `make setup`") from None


def parse_names(text: str) -> list[str]:
    """One name a line; ``#`` begins a comment."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line.lower() for line in lines if line]


def select(lock: str, names: Iterable[str], title: str = "the lock") -> str:
    """The blocks of a lock (a pin and its hashes) whose package is in ``names``, in their order.

    Raises ``BadInput`` for a name that the lock does not have.
    """
    blocks: dict[str, list[str]] = {}
    # A block begins at the line's first column and goes on as long as lines are indented.
    for block in re.findall(r"^[A-Za-z0-9][^\n]*(?:\n[ \t][^\n]*)*", lock, re.MULTILINE):
        name = re.split(r"[=<>!~ ;\[]", block, maxsplit=1)[0].lower()
        blocks.setdefault(name, []).append(block)
    chosen = []
    for name in names:
        if name not in blocks:
            raise BadInput(
                f"packages.txt names {name}, which {title} does not pin; make the lock again"
            )
        chosen += blocks[name]
    return "\n".join(chosen) + "\n"
