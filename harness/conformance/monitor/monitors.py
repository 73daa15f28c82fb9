"""Monitors that the suite knows: how each is run, and which failures are expected of it.

One JSON file a monitor (``monitors/ours.json`` and its neighbours):

    {"name": "what to call it", "command": "{python} -m monitor", "interval": 0.3,
     "remotes": ["http", "ftp"], "knows": ["http_token"],
     "controls": {"look": ["SIGHUP"], "hold": ["{python} -m monitor hold"]}, "failures": [
        {"scenario": "happy-path", "remotes": ["http"], "reason": "Why.",
         "evidence": "a pattern", "also": ["patterns of what follows"], "sometimes": false}]}

``{python}`` is this interpreter, ``{here}`` the file's folder. Further keys are ``scenarios``,
``patience``, ``recovery``, ``silence``, ``count`` and ``every_kill``; without a key, the value of
the command line applies. ``results`` says what the failures' keys mean.
"""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional

from harness.support.errors import BadInput

from .command import BESIDE
from .results import Expected

_SETTINGS: Mapping[str, Callable[[Any], Any]] = {
    "interval": float,
    "patience": float,
    "recovery": float,
    "silence": float,
    "count": int,
}
_KEYS = {
    *("name", "command", "remotes", "scenarios", "knows", "controls", "every_kill", "failures"),
    *_SETTINGS,
}


@dataclass(frozen=True)
class Monitor:
    """One monitor to run.

    ``settings`` has the fields of ``Settings`` that the monitor sets itself. ``said`` is its
    command as a person would type it.
    """

    # The heading of its column.
    name: str
    command: str
    said: str
    # The remotes that it can use; None: all.
    remotes: Optional[tuple[str, ...]] = None
    # A pattern for the scenarios that it runs.
    scenarios: str = "*"
    settings: Mapping[str, Any] = field(default_factory=dict)
    # The failures that are known.
    expected: tuple[Expected, ...] = ()


def read_monitor(path: Path, scenarios: Iterable[str]) -> Monitor:
    """Return the monitor of a file. Raise ``BadInput`` with the file's name if it is wrong."""
    content = _content(path)
    unknown = sorted(set(content) - _KEYS)
    if unknown:
        raise BadInput(
            f"{path} has {unknown[0]!r}, which is no key; use {', '.join(sorted(_KEYS))}"
        )
    try:
        said = str(content["command"])
        settings: dict[str, Any] = {
            key: kind(content[key]) for key, kind in _SETTINGS.items() if key in content
        }
        if "every_kill" in content:
            settings["every_kill_on"] = frozenset(map(str, content["every_kill"]))
        settings["knows"] = known(content.get("knows", ()), str(path))
        ways = {name: map(str, ways) for name, ways in content.get("controls", {}).items()}
        python, here = (shlex.quote(str(one)) for one in (sys.executable, path.parent.resolve()))
        settings["controls"] = {
            name: tuple(w.replace("{python}", python).replace("{here}", here) for w in mine)
            for name, mine in ways.items()
        }
        return Monitor(
            str(content["name"]),
            said.replace("{python}", sys.executable).replace("{here}", str(path.parent.resolve())),
            said.replace("{python}", "python").replace("{here}/", f"{_shown(path.parent)}/"),
            tuple(content["remotes"]) if "remotes" in content else None,
            str(content.get("scenarios", "*")),
            settings,
            tuple(failures(content["failures"], scenarios, str(path))),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{path} is no file of a monitor ({type(error).__name__}: {error}); give it a name, a "
            "command and failures"
        ) from None


def known(words: Iterable[Any], source: str) -> frozenset[str]:
    """Return the options of ``knows``. Raise ``BadInput``, which names ``source``, if unknown."""
    found = frozenset(map(str, words))
    unknown = sorted(found - {*BESIDE})
    if unknown:
        raise BadInput(
            f"{source} has {unknown[0]!r}, which no scenario uses; use {', '.join(BESIDE)}"
        )
    return found


def read_failures(path: Path, scenarios: Iterable[str]) -> list[Expected]:
    """Return only the expected failures of a file. Raise ``BadInput`` with the file's name."""
    return failures(_content(path).get("failures"), scenarios, str(path))


def failures(rows: Any, scenarios: Iterable[str], source: str) -> list[Expected]:
    """Return the expected failures in JSON. Raise ``BadInput``, which names ``source``."""
    known = set(scenarios)
    try:
        expected = [
            Expected(
                str(row["scenario"]),
                tuple(row["remotes"]) if "remotes" in row else None,
                str(row["reason"]),
                str(row["evidence"]),
                tuple(map(str, row.get("also", ()))),
                bool(row.get("sometimes", False)),
            )
            for row in rows
        ]
        for one in expected:
            for pattern in (one.evidence, *one.also):
                re.compile(pattern)
    except (re.error, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{source} has no list of expected failures ({type(error).__name__}: {error}); "
            'write {"failures": [{"scenario": …, "reason": …, "evidence": …}]}'
        ) from None
    for one in expected:
        if not one.evidence.strip():
            raise BadInput(
                f"{source} expects a failure of {one.scenario!r} without evidence: any failure "
                "would do; give a pattern that only this one matches"
            )
        if not fnmatch.filter(known, one.scenario):
            raise BadInput(
                f"{source} expects a failure of {one.scenario!r}, which is no scenario; see --list"
            )
    return expected


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}; name another file") from None
    except ValueError as error:
        raise BadInput(f"{path} is no JSON: {error}; correct it, or name another file") from None
    if not isinstance(content, dict):
        raise BadInput(
            f"{path} is no JSON object, but a {type(content).__name__}; name a monitor's file"
        )
    return content


def _shown(folder: Path) -> str:
    """Return the folder as a person would type it in the current folder."""
    try:
        return str(folder.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(folder)
