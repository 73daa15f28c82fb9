"""The check of the language finds long sentences and banned words, and nothing in code."""

from __future__ import annotations

from pathlib import Path

from tests.language import MAX_WORDS, findings, texts

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
