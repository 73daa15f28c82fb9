"""The check of the language finds long sentences and banned words, and nothing in code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.language import MAX_WORDS, ROOT, findings, texts, tracked

LONG = " ".join(["word"] * (MAX_WORDS + 1)) + "."


def kinds(path: Path, source: str) -> list[str]:
    path.write_text(source)
    return [kind for text in texts(path) for kind, _ in findings(text)]


def test_a_page_with_a_long_sentence_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    assert kinds(page, f"# Title\n\n{LONG}\n") == ["long"]
    assert kinds(page, f"| a | b |\n| --- | --- |\n| {LONG} | x |\n") == ["long"]
    assert kinds(page, f"```\n{LONG}\n```\n\nWith `{LONG}` in it.\n") == []
    assert kinds(page, "Two words. " * MAX_WORDS) == []


def test_a_module_with_a_long_comment_or_docstring_is_found(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    half = " ".join(["word"] * 20)
    assert kinds(module, f'"""{LONG}"""\n') == ["long"]
    assert kinds(module, f"# {half}\n# {half}\n") == ["long"]
    assert kinds(module, f"x = 1  # {half}\ny = 2  # {half}\n") == []
    entries = (
        f"def f():\n    '''Do it.\n\n    Args:\n        a: {half}\n        b: {half}\n    '''\n"
    )
    assert kinds(module, entries) == []


def test_a_banned_word_is_found_with_a_plainer_one(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("# Whoever holds the lock is alone.\n")
    ((kind, said),) = [found for text in texts(module) for found in findings(text)]
    assert kind == "word"
    assert "name the person or the part" in said


def unexplained(path: Path) -> Iterator[str]:
    """Yield the fields of dataclasses that neither a comment nor the docstring explains."""
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ClassDef):
            continue
        if not any("dataclass" in ast.unparse(one) for one in node.decorator_list):
            continue
        docstring = ast.get_docstring(node) or ""
        for one in node.body:
            if not isinstance(one, ast.AnnAssign) or "ClassVar" in ast.unparse(one.annotation):
                continue
            name = ast.unparse(one.target)
            commented = lines[one.lineno - 2].lstrip().startswith("#")
            # Options and parameters of faults have their text in the call.
            told = isinstance(one.value, ast.Call) and "field" not in ast.unparse(one.value.func)
            if not (commented or told or re.search(rf"\b{name}\b", docstring)):
                yield f"{path.relative_to(ROOT)}:{one.lineno}: {node.name}.{name}"


def test_each_field_of_a_dataclass_is_explained() -> None:
    missing = [line for path in tracked((".py",)) for line in unexplained(path)]
    assert not missing, "write a comment above:\n" + "\n".join(missing)
