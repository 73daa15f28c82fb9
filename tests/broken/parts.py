"""The broken parts: patches of the good monitor and the good server, and how to run one.

A patch file is a message: header fields, an empty line, then a unified diff from the repository's
root. ``docs/testing.md`` lists the fields.
"""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
# The kind of a part: the package that its patch changes.
PACKAGES = {"monitor": "monitor", "server": "engine"}
_FIELDS = {"Wrong", "Judge", "Breaks", "Maybe"}
# Python puts the script's folder first on its path, so this starts the copy beside it.
_START = """\
#!{python}
import runpy
import sys
import {package}

assert {package}.__file__ == {init!r}, "another {package} runs: " + str({package}.__file__)
sys.argv[0] = {package}.__file__
runpy.run_module("{package}", run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class Break:
    """A claim or case that a part breaks. Each reason that the judge gives matches a pattern.

    The ``name`` of an item of ``Part.maybe`` can have a ``*``.
    """

    name: str
    # A reason must match one of them.
    patterns: tuple[str, ...]

    def explains(self, reasons: Sequence[str]) -> bool:
        return all(any(re.search(one, why) for one in self.patterns) for why in reasons)


@dataclass(frozen=True)
class Part:
    """A monitor or a server, with one fault or (``patch`` None) without.

    ``breaks`` has what it must break, ``maybe`` what it breaks only at an unlucky moment.
    ``judge`` is the judge that has to find it.
    """

    # ``monitor`` or ``server``.
    kind: str
    # The patch's name.
    name: str
    # What the part does wrong.
    wrong: str
    judge: str
    breaks: tuple[Break, ...] = ()
    maybe: tuple[Break, ...] = ()
    patch: Optional[Path] = None

    @property
    def package(self) -> str:
        return PACKAGES[self.kind]

    def build(self, folder: Path) -> Path:
        """Copy the package into ``folder``, patch the copy, and return a program that runs it."""
        package = folder / self.package
        skip = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(ROOT / self.package, package, ignore=skip)
        if self.patch is not None:
            # Without the ceiling git would take a folder inside a clone for a part of the clone.
            environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.resolve().parent)}
            command = ["git", "apply", "--whitespace=nowarn", str(self.patch)]
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise ValueError(f"{self.patch.name} does not apply: {done.stderr.strip()}")
        program = folder / f"broken-{self.kind}"
        init = str((package / "__init__.py").resolve())
        text = _START.format(python=sys.executable, package=self.package, init=init)
        program.write_text(text)
        program.chmod(0o755)
        return program


def read(path: Path) -> Part:
    """Return the part of a patch file. Raises ``ValueError`` if a field is missing or unknown."""
    message = email.message_from_string(path.read_text())
    unknown = sorted(set(message) - _FIELDS)
    missing = sorted({"Wrong", "Judge", "Breaks"} - set(message))
    if unknown or missing:
        raise ValueError(f"{path.name}: unknown fields {unknown}, missing fields {missing}")
    return Part(
        path.parent.name[:-1],
        path.stem,
        " ".join(message["Wrong"].split()),
        message["Judge"],
        tuple(map(_break, message.get_all("Breaks", []))),
        tuple(map(_break, message.get_all("Maybe", []))),
        path,
    )


def _break(field: str) -> Break:
    name, *patterns = (line.strip() for line in field.splitlines())
    if not patterns:
        raise ValueError(f"{name!r} has no pattern below it of what the judge says")
    for pattern in patterns:
        re.compile(pattern)
    return Break(name, tuple(patterns))


def parts(kind: str) -> list[Part]:
    """Return all broken parts of a kind, sorted by name."""
    return [read(path) for path in sorted((HERE / f"{kind}s").glob("*.patch"))]


def named(kind: str, name: str) -> Part:
    """Return one broken part."""
    return read(HERE / f"{kind}s" / f"{name}.patch")
