"""Which serving binary serves: asked for, found, and said out loud.

``SERVING_BIN``, when set, is used as it is. Otherwise ``auto`` takes the official binary when it
is in the cache or its host answers within a few seconds, and else the embedded engine;
``official`` and ``embedded`` insist. Nothing is ever swapped for another silently: what was
chosen, and why, is a value that the first line of a run and its report print.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Callable

from ..errors import BadInput
from . import official

CHOICES = ("auto", "embedded", "official")


@dataclass(frozen=True)
class ServingBinary:
    """A binary for the launcher.

    ``kind`` is ``given`` (SERVING_BIN), ``official`` or ``embedded``; ``why`` says how it came to
    be chosen, in words.
    """

    kind: str
    path: Path
    version: str
    why: str

    def __str__(self) -> str:
        return f"{self.kind} ({self.version}) at {self.path}: {self.why}"

    @property
    def environment_value(self) -> str:
        """For ``SERVING_BIN``: quoted, because the launcher pastes it into a shell command."""
        return shlex.quote(str(self.path))


def choose(
    serving: str, device: str = "cpu", say: Callable[[str], None] = lambda _: None
) -> ServingBinary:
    """The binary for ``--serving``; downloads the official one when that is what it comes to.

    Raises ``BadInput`` when what was insisted on cannot be had.
    """
    if serving not in CHOICES:
        raise BadInput(f"SERVING={serving} is not known: use one of {', '.join(CHOICES)}")
    given = os.environ.get("SERVING_BIN")
    if given:
        return _given(given)
    if serving == "embedded":
        return _embedded("asked for")
    in_cache = official.cached(device)
    if in_cache is not None:
        return _official(in_cache, device, "found in the cache")
    reason = official.unreachable_because(device)
    if reason is None:
        return _official(official.download(device, say), device, "downloaded")
    if serving == "official":
        raise BadInput(
            f"the official serving binary cannot be had: {reason}; use SERVING=embedded, "
            "or name a binary of yours in SERVING_BIN"
        )
    return _embedded(f"the official binary is not in the cache and {reason}")


def _given(value: str) -> ServingBinary:
    path = Path(shutil.which(value) or value).absolute()
    if not path.is_file() or not os.access(path, os.X_OK):
        raise BadInput(f"SERVING_BIN={value} is not an executable file; unset it or mend the path")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    return ServingBinary("given", path, f"sha256 {digest}…", "SERVING_BIN names it")


def _official(path: Path, device: str, why: str) -> ServingBinary:
    version = f"{official.VERSION}, {official.build_name(device)}"
    return ServingBinary("official", path, version, why)


def _embedded(why: str) -> ServingBinary:
    path = Path(sys.prefix) / "bin" / "embedded-serving"
    if not path.exists():
        raise BadInput(f"{path} is missing: the environment is not whole; run `make setup`")
    try:
        engine = metadata.version("paddlepaddle")
    except metadata.PackageNotFoundError:
        engine = metadata.version("paddlepaddle-gpu")
    return ServingBinary("embedded", path, f"Paddle Inference {engine}", why)
