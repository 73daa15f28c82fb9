"""The names of tests: long enough to be a sentence, short enough for one line of a report."""

from __future__ import annotations

import ast

from harness.support.paths import repository_root

MAX_LENGTH = 75


def test_no_test_has_a_name_of_more_than_75_characters() -> None:
    long = [
        f"{path.relative_to(repository_root())}:{node.lineno}: {len(node.name)} characters"
        for path in sorted((repository_root() / "tests").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.name.startswith("test_")
        and len(node.name) > MAX_LENGTH
    ]
    assert not long, "\n".join(long)
