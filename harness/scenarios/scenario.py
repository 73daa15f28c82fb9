"""Reads scenario files: TOML with the keys ``promise``, ``claims``, ``leg`` and ``step``.

``[leg]`` has fields of ``harness.run.leg_settings.LegSettings``, and each ``[[step]]`` is one of
``harness.run.steps``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

import tomli

from harness.checker.claims import claims_named
from harness.run.leg_settings import LegSettings
from harness.run.steps import STEPS, Cause, Publish, Step, Wait, counted
from harness.support.errors import BadInput

FOLDER = Path(__file__).parent
# The types that a file may have for a field's type, and their name in an error.
_FORMS: Mapping[Any, tuple[tuple[type, ...], str]] = {
    float: ((int, float), "a number"),
    int: ((int,), "a whole number"),
    str: ((str,), "a text"),
    bool: ((bool,), "true or false"),
    Mapping[str, Any]: ((dict,), "a table"),
}
# The form of all other types.
_TEXTS = ((list,), "a list of texts")
_KEYS = ("promise", "claims", "leg", "step")
# How long remote, server and monitor may take to start, in seconds.
_START_S = 180.0
# The least values of numbers in [leg]; all other numbers are at least 0.
_LEAST = {"clients": 1, "tick_s": 1}
# Fields of LegSettings that the run or the steps set.
_NOT_IN_A_FILE = (
    "seed",
    "device",
    "monitor",
    "monitor_kind",
    "monitor_cmd",
    "producer_cmd",
    "servers",
    "server_runs",
    "unseen",
    "ready",
    "paced",
    "claims",
)


@dataclass(frozen=True)
class Scenario:
    """One scenario.

    Attributes:
        name: The file's name without its suffix.
        promise: What the scenario shows, in one sentence.
        leg: The settings of each leg.
        steps: The steps after release 1 is served, in order.
        open_count: Whether ``releases`` may be changed: a step publishes all that are left.
    """

    name: str
    promise: str
    leg: LegSettings
    steps: tuple[Step, ...]
    open_count: bool

    @property
    def longest_s(self) -> float:
        """Return how many seconds a leg may take if each of its waits lasts to its end."""
        leg = self.leg
        release_s = leg.train_deadline_s + leg.bound_s + leg.calm_s
        # Each step may start parts again and wait until a release is served.
        step_s = _START_S + leg.bound_s
        given = sum(step.for_s for step in self.steps if isinstance(step, (Cause, Wait)))
        paced = [step for step in self.steps if isinstance(step, Publish)]
        given += sum(step.every_s * (step.count or leg.releases) for step in paced)
        start_s = _START_S + leg.client_start_s
        return start_s + leg.releases * release_s + len(self.steps) * step_s + given


def listed() -> list[Scenario]:
    """Return the scenarios of the harness, sorted by name."""
    return [_parse(path) for path in sorted(FOLDER.glob("*.toml"))]


def read(name: str) -> Scenario:
    """Return the scenario with this name, or in this file.

    Raises:
        BadInput: There is no such scenario, or its file is wrong.
    """
    path = Path(name)
    if path.suffix != ".toml":
        path = FOLDER / f"{name}.toml"
        if not path.is_file():
            known = ", ".join(file.stem for file in sorted(FOLDER.glob("*.toml")))
            raise BadInput(f"there is no scenario {name!r}; use a file, or one of {known}")
    return _parse(path)


def _parse(path: Path) -> Scenario:
    try:
        content = tomli.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(
            f"the scenario {path} cannot be read: {error.strerror}; see `harness scenarios`"
        ) from None
    except ValueError as error:
        raise BadInput(
            f"the scenario {path} is no TOML file: {error}; correct it (docs/scenarios.md)"
        ) from None
    _only(path, "the file", content, _KEYS)
    promise = content.get("promise")
    if not isinstance(promise, str) or not promise.strip():
        raise BadInput(f"{path}: promise is missing; say in one sentence what the scenario shows")
    steps = _steps(path, content.get("step", []))
    return Scenario(
        path.stem,
        promise,
        _leg(path, content, steps),
        steps,
        any(isinstance(step, Publish) and not step.count for step in steps),
    )


def _steps(path: Path, tables: Any) -> tuple[Step, ...]:
    if not isinstance(tables, list) or not tables:
        raise BadInput(f"{path} has no step; write [[step]] tables")
    found = []
    for number, table in enumerate(tables, 1):
        what = f"step {number}"
        _require_table(path, what, table)
        do = table.get("do")
        if not isinstance(do, str) or do not in STEPS:
            raise BadInput(f"{path}: {what}: do = {do!r} is not known; use {', '.join(STEPS)}")
        given = {key: value for key, value in table.items() if key != "do"}
        step: Step = _filled(path, what, STEPS[do], given)
        try:
            step.check()
        except ValueError as error:
            raise BadInput(f"{path}: {what}: {error}") from None
        found.append(step)
    return tuple(found)


def _leg(path: Path, content: Mapping[str, Any], steps: tuple[Step, ...]) -> LegSettings:
    table = content.get("leg", {})
    _only(path, "[leg]", table, [key for key in _types(LegSettings) if key not in _NOT_IN_A_FILE])
    given = dict(table)
    publishing = [step for step in steps if isinstance(step, Publish)]
    if all(step.count for step in publishing):
        if "releases" in given:
            raise BadInput(f"{path}: [leg] releases: every publish step has a count; leave it out")
        given["releases"] = counted(steps)
    elif not all(step.count for step in publishing[:-1]):
        raise BadInput(f"{path}: a publish step before the last has no count; give it one")
    elif counted(steps[steps.index(publishing[-1]) :]) > 1:
        raise BadInput(
            f"{path}: a fault publishes releases after the publish step without a count; give that "
            "step a count, or the fault count = 0"
        )
    claims = content.get("claims")
    if claims is not None:
        _require_form(path, "the file", "claims", claims, tuple[str, ...])
        try:
            given["claims"] = claims_named(claims)
        except BadInput as error:
            raise BadInput(f"{path}: claims: {error}") from None
    given["paced"] = all(step.wait == "served" or step.bad for step in publishing) and all(
        # A fault announces its releases without a wait between them.
        step.count <= 1
        for step in steps
        if isinstance(step, Cause)
    )
    if given.get("prepared") and any(step.bad for step in publishing):
        raise BadInput(f"{path}: [leg] prepared: a step publishes a bad release; leave it out")
    leg: LegSettings = _filled(path, "[leg]", LegSettings, given)
    for key, value in given.items():
        least = _LEAST.get(key, 0)
        if isinstance(value, (int, float)) and value < least:
            raise BadInput(f"{path}: [leg]: {key} = {value!r} is wrong; use {least} or more")
    return leg


def _types(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _filled(path: Path, where: str, kind: Any, given: Mapping[str, Any]) -> Any:
    """Make a ``kind`` from a table, whose keys are the fields of the dataclass."""
    types = _types(kind)
    _only(path, where, given, list(types))
    values = {}
    for key, value in given.items():
        _require_form(path, where, key, value, types[key])
        values[key] = tuple(value) if isinstance(value, list) else value
    try:
        return kind(**values)
    except TypeError:
        lacking = [field.name for field in fields(kind) if field.name not in given]
        raise BadInput(f"{path}: {where} lacks {', '.join(lacking)}; add that") from None


def _require_form(path: Path, where: str, key: str, value: Any, kind: Any) -> None:
    """Raise ``BadInput`` unless a value of the file fits the type of its field."""
    plain, name = _FORMS.get(kind, _TEXTS)
    fits = isinstance(value, plain) and (bool in plain or not isinstance(value, bool))
    if isinstance(value, float):
        fits = fits and math.isfinite(value)
    elif isinstance(value, list):
        fits = fits and all(isinstance(one, str) for one in value)
    if not fits:
        raise BadInput(f"{path}: {where}: {key} = {value!r} is wrong; use {name}")


def _require_table(path: Path, where: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise BadInput(f"{path}: {where} is no table; see docs/scenarios.md")


def _only(path: Path, where: str, table: Any, known: Any) -> None:
    _require_table(path, where, table)
    for key in table:
        if key not in known:
            raise BadInput(f"{path}: {where}: {key!r} is not known; use {', '.join(known)}")
