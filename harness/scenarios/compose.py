"""Makes random scenarios, and makes a failing scenario smaller.

Hypothesis makes the steps and shrinks them. A candidate fails if two of three runs are not valid.
After a first run that is valid there is no second run. The same seed gives the same scenarios.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Optional

from harness.faults.base import parameters
from harness.faults.registry import FAULTS, make
from harness.support.errors import BadInput

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

# A step as the table of a scenario file.
Table = Mapping[str, Any]

PROMISE = "Drawn at random: two runs of this scenario were not valid."
# Steps of a random scenario. One more step takes seconds, one more run more than a minute.
_STEPS = 6
_PARTS = ("monitor", "server", "producer", "remote")
_FOR_S = (3.0, 1.0, 0.2)
# A parameter is its default times one of these factors.
_FACTORS = (1, 0.1, 10)


@dataclasses.dataclass
class Budget:
    """The limits: how many ``runs``, and how many ``seconds`` from now on."""

    runs: int = 40
    seconds: float = 1800.0
    # How many runs there were.
    used: int = 0
    # When the first one began (CLOCK_MONOTONIC, in seconds).
    since: float = dataclasses.field(default_factory=time.monotonic)

    @property
    def left_s(self) -> float:
        """How many seconds are left; 0 or less: none."""
        return self.since + self.seconds - time.monotonic()

    @property
    def over(self) -> bool:
        """Whether no further run may begin."""
        return self.used >= self.runs or self.left_s <= 0


class _Broken(Exception):
    """A candidate counts as failing."""


def compose(
    breaks: Callable[[str], bool], seed: int, budget: Budget, say: Callable[[str], None]
) -> Optional[str]:
    """Return the smallest scenario found that fails; None if none was found.

    Args:
        breaks: Runs the text of a scenario file once, and returns whether the run was not valid.
        seed: Determines the random scenarios.
        budget: The limits.
        say: Called with a line for each candidate.
    """
    import hypothesis
    from hypothesis.database import InMemoryExampleDatabase

    known: dict[str, bool] = {}
    smallest: Optional[str] = None

    def counts(text: str) -> bool:
        if text not in known and not budget.over:
            known[text] = _fails_twice(lambda: breaks(text), budget)
            say(f"{'BROKEN' if known[text] else 'fine'}: {_in_short(text)}")
        # A candidate without time for a run counts as fine.
        return known.get(text, False)

    @hypothesis.seed(seed)
    @hypothesis.settings(
        # A repeated candidate is not run again, so only new candidates use the budget.
        max_examples=10 * budget.runs,
        database=InMemoryExampleDatabase(),
        deadline=None,
        phases=(
            hypothesis.Phase.reuse,
            hypothesis.Phase.generate,
            hypothesis.Phase.shrink,
        ),
        suppress_health_check=list(hypothesis.HealthCheck),
        verbosity=hypothesis.Verbosity.quiet,
        report_multiple_bugs=False,
    )
    @hypothesis.given(_steps())
    def attempt(steps: list[Table]) -> None:
        nonlocal smallest
        text = file_text(steps)
        if counts(text):
            # Hypothesis ends with the smallest candidate.
            smallest = text
            raise _Broken

    while not budget.over:
        before = smallest
        try:
            attempt()
        except _Broken:
            # Hypothesis shrinks for five minutes at most. The next call continues with its result.
            if smallest == before:
                break
        else:
            break
    return smallest


def _fails_twice(once: Callable[[], bool], budget: Budget) -> bool:
    failed = 0
    for _ in range(3):
        if budget.over:
            return False
        budget.used += 1
        failed += once()
        if failed in (0, 2):
            break
    return failed == 2


def _steps() -> SearchStrategy[list[Table]]:
    from hypothesis import strategies as st

    publish = st.fixed_dictionaries(
        {
            "do": st.just("publish"),
            "count": st.sampled_from((1, 2, 3)),
            "wait": st.sampled_from(("served", "announced")),
        }
    )
    wait = st.just({"do": "wait"})
    # None comes first, because Hypothesis shrinks to the first: a smaller scenario lacks a step.
    drawn = st.one_of([st.none(), publish, *_faults(), wait])
    steps = st.lists(drawn, min_size=_STEPS, max_size=_STEPS)
    return steps.map(lambda found: [step for step in found if step is not None])


def _faults() -> Iterator[SearchStrategy[Table]]:
    """Yield a strategy for each fault that this machine can cause."""
    from hypothesis import strategies as st

    for name, kind in FAULTS.items():
        try:
            make(name, {}).require()
        except BadInput:
            continue
        target = st.sampled_from(_PARTS) if not kind.needs else st.just("")
        given = {
            one.name: st.sampled_from(_values(one))
            for one in parameters(kind)
            if one.name != "target" and len(_values(one)) > 1
        }
        yield st.fixed_dictionaries(
            {
                "do": st.just("fault"),
                "fault": st.just(name),
                "target": target,
                "parameters": st.fixed_dictionaries(given),
                "for_s": st.sampled_from(_FOR_S),
            }
        )


def _values(field: Any) -> tuple[Any, ...]:
    if field.metadata["choices"]:
        return (field.default, *(one for one in field.metadata["choices"] if one != field.default))
    if isinstance(field.default, str):
        return (field.default,)
    kind = type(field.default)
    drawn = [kind(field.default * factor) for factor in _FACTORS]
    return tuple(dict.fromkeys(one for one in drawn if one >= field.metadata["least"]))


def file_text(steps: list[Table]) -> str:
    """Return a scenario file with these steps. A release is published and served at the end."""
    last = {"do": "publish", "count": 1}
    lines = [f"promise = {_toml(PROMISE)}"]
    for step in [*steps, {"do": "wait"}, last]:
        lines += ["", "[[step]]"]
        lines += [f"{key} = {_toml(value)}" for key, value in step.items() if value not in ("", {})]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key} = {_toml(one)}" for key, one in value.items())
        return f"{{ {inside} }}"
    # A number, a text or a list looks the same in TOML.
    return json.dumps(value)


def _in_short(text: str) -> str:
    words = []
    for line in text.splitlines():
        key, _, value = line.partition(" = ")
        if key == "do":
            words.append(value.strip('"'))
        elif key in ("fault", "target"):
            words[-1] += " " + value.strip('"')
    return ", ".join(words)
