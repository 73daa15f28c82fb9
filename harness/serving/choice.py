"""Chooses the serving binary, tries it, and says why.

``SERVING_BIN``, if set, names the binary. Otherwise ``auto`` takes the official binary if it can be
downloaded and passes its trial, else the embedded engine. ``official`` and ``embedded`` allow no
other binary. A run's first lines and its report print the choice and the reason.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Callable, Optional

from harness.support.errors import BadInput, MissingPart

from . import download, official, trial
from .binary import ServingBinary

CHOICES = ("auto", "embedded", "official")
_SKIPPED = "not tried (SERVING_TRIAL=skip)"
# `auto` does not wait longer: the host may be unreachable.
_AUTO = download.Limits(answer_s=4.0)

Say = Callable[[str], None]


def choose(
    serving: str,
    device: str = "cpu",
    say: Say = lambda _: None,
    tried: str = "run",
    *,
    trial_limits: Optional[trial.Limits] = None,
    given: Optional[Path] = None,
) -> ServingBinary:
    """Return the binary for ``--serving``; download and try the official one if needed.

    Args:
        serving: One of ``CHOICES``.
        device: ``cpu`` or ``gpu``: selects the build, and where its trial runs.
        say: Called with a line before each long step.
        tried: ``run``, ``skip``, or ``again`` to run the trial even if a result is remembered.
        trial_limits: How long each step of a trial may take; default ``trial.Limits()``.
        given: A binary to use instead of what ``SERVING_BIN`` names.

    Raises:
        BadInput: The requested binary cannot be downloaded, or failed its trial.
    """
    if serving not in CHOICES:
        raise BadInput(f"SERVING={serving} is not known; use one of {', '.join(CHOICES)}")
    gpu = " DEVICE=gpu" if device == "gpu" else ""

    def prove(path: Path, name: str, why: str) -> str:
        if tried == "skip":
            return f"{why}, {_SKIPPED}"
        again = tried == "again"
        limits = trial_limits or trial.Limits()
        result = trial.prove(path, name, device, say, again=again, limits=limits)
        if not result.passed:
            raise BadInput(result.sentence)
        return f"{why}, passed its trial ({result.utc})"

    named = str(given) if given else os.environ.get("SERVING_BIN")
    if named:
        path = _given(named)
        name = f"SERVING_BIN={named}"
        try:
            why = prove(path, name, "SERVING_BIN names it")
        except BadInput as error:
            command = f"make serving-trial SERVING_BIN={shlex.quote(named)}{gpu}"
            raise BadInput(
                f"{error}; try again with `{command}`, or use it all the same with "
                "SERVING_TRIAL=skip"
            ) from error
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        return ServingBinary("given", path, f"sha256 {digest}…", why)
    if serving == "embedded":
        embedded = _embedded("asked for")
        if tried == "again":
            prove(embedded.path, "the embedded engine", embedded.why)
        return embedded
    limits = _AUTO if serving == "auto" else download.Limits()
    try:
        path, how = official.obtain(device, say, limits, again=tried == "again")
        why = prove(path, "the official serving binary", how)
    except BadInput as error:
        sentence = f"{error}; try again with `make serving-trial{gpu}`"
        if serving == "auto":
            return _embedded(sentence)
        raise BadInput(
            f"{sentence}; or use SERVING=embedded, or name your own binary in SERVING_BIN"
        ) from error
    version = f"{official.VERSION}, {official.build_name(device)}"
    return ServingBinary("official", path, version, why)


def _given(value: str) -> Path:
    path = Path(shutil.which(value) or value).absolute()
    if not path.is_file() or not os.access(path, os.X_OK):
        raise BadInput(f"SERVING_BIN={value} is not an executable file; unset it or mend the path")
    return path


def _embedded(why: str) -> ServingBinary:
    path = Path(sys.prefix) / "bin" / "embedded-serving"
    if not path.exists():
        raise MissingPart(f"{path} is missing: the environment is not whole; run `make setup`")
    try:
        engine = metadata.version("paddlepaddle")
    except metadata.PackageNotFoundError:
        engine = metadata.version("paddlepaddle-gpu")
    return ServingBinary("embedded", path, f"Paddle Inference {engine}", why)
