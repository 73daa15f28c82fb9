"""Every refusal of harness, producer, engine and docker/ says what to do.

``test_monitor_errors`` asks the same of the monitor. ``Failed`` is left out, because it says what
broke in a run, with the end of that part's log.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from harness.support.paths import repository_root

_REFUSALS = ("BadInput", "MissingPart", "NothingUp", "CannotServe", "Refused", "MessagesMissing")
# `harness.serving.choice` adds to each of their sentences what to do.
_ENDED_BY_THE_CALLER = ("harness/serving/download.py", "harness/serving/official.py")
# Passes on the sentence of another error.
_HANDED_ON = "{error}"


def _fixed(node: ast.expr) -> str:
    """Return the literal text of a sentence, with {} for each value."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_fixed(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return _fixed(node.left) + _fixed(node.right)
    error = isinstance(node, ast.FormattedValue) and ast.unparse(node.value) == "error"
    return _HANDED_ON if error else "{}"


def refusals() -> Iterator[tuple[str, str]]:
    """Yield place and text of each refusal that has a text of its own."""
    root = repository_root()
    for package in ("harness", "producer", "engine", "docker"):
        for path in sorted((root / package).rglob("*.py")):
            place = str(path.relative_to(root))
            calls = (
                node
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                if isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in _REFUSALS
                and node.args
            )
            for call in calls:
                text = _fixed(call.args[0])
                if place not in _ENDED_BY_THE_CALLER and text != "{}":
                    yield f"{place}:{call.lineno}", text


REFUSALS = list(refusals())


def test_the_walk_finds_the_refusals() -> None:
    assert len(REFUSALS) > 200


@pytest.mark.parametrize(
    "text", [text for _, text in REFUSALS], ids=[place for place, _ in REFUSALS]
)
def test_a_refusal_says_what_to_do(text: str) -> None:
    if not text.endswith(_HANDED_ON):
        assert "; " in text, f"nothing behind a ';' says what to do: {text!r}"
