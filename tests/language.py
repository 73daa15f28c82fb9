"""Checks the language of pages, docstrings and comments: ``python -m tests.language [PATH …]``.

A sentence has at most 25 words, and some words have a plainer one. Prints one line for each
finding and ends with exit code 1 when there is one.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import io
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]
MAX_WORDS = 25
KINDS = ("long", "word")
#: A pattern that no text may contain, and what to write in its place.
BANNED = {
    r"\bcured?\b|\bcuring\b": "patched, patch or remedy",
    r"\blikeness\b": "conformance",
    r"\bgently\b": "at low priority",
    r"\bnursery\b": "fork server",
    r"\bsecond opinion\b": "cross-check",
    r"\bwhoever\b|\bwhosever\b": "name the person or the part",
    r"\bnobody\b|\bno one\b": "name who does not",
    r"\bthe one (?:that|who|which|of)\b": "name the thing",
    r"\blet go of\b": "release",
    r"\bfree of charge\b|\bcosts nothing\b": "say what it costs",
    r"\ban hour (?:earlier|later|ago)\b|\byesterday\b|\bthese days\b": "no diary",
    r"\bso to speak\b|\bas it were\b|\bneedless to say\b|\bof course\b": "leave it out",
    r"\bin order to\b": "to",
    r"\butili[sz]e": "use",
}
SECTION = re.compile(r"(Args|Attributes|Returns|Yields|Raises):$")
DIRECTIVE = re.compile(r"#\s*(type:|noqa|fmt:|pragma|!/|mypy:|ruff:)")


@dataclass(frozen=True)
class Text:
    """One paragraph, with the file and the line where it starts."""

    # The file.
    path: Path
    # The line where it starts.
    line: int
    # The paragraph.
    words: str


def _plain(inline: Token) -> str:
    """Return the words of a paragraph; a piece of code counts as one word."""
    return "".join(
        {"code_inline": "CODE", "softbreak": " ", "hardbreak": " "}.get(part.type, part.content)
        for part in inline.children or ()
        if part.type != "html_inline"
    )


def _paragraphs(path: Path, text: str, first_line: int) -> Iterator[Text]:
    line = first_line
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.map is not None:
            line = first_line + token.map[0]
        if token.type == "inline":
            yield Text(path, line, _plain(token))


def _flat(text: str) -> str:
    """Return a docstring in which each entry of a Google section is a paragraph of its own."""
    lines: list[str] = []
    inside = False
    # A table's cells are no sentences.
    text = re.sub(r"^=+ +=+$.*^=+ +=+$", "", text, flags=re.M | re.S)
    for line in text.splitlines():
        if SECTION.match(line):
            inside = True
            lines.append("")
        elif inside and line.startswith("    "):
            entry = line[4:]
            lines.append(entry.lstrip() if entry.startswith(" ") else f"\n{entry}")
        else:
            inside = inside and not line
            lines.append(line)
    return "\n".join(lines).replace("``", "`")


def _docstrings(path: Path, source: str) -> Iterator[Text]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            value = node.body[0]
            assert isinstance(value, ast.Expr)
            assert isinstance(value.value, ast.Constant)
            text = str(value.value.value)
            # A module's docstring has no margin, so all of its indented lines are code.
            text = text if isinstance(node, ast.Module) else inspect.cleandoc(text)
            yield from _paragraphs(path, _flat(text), value.lineno)


def _comments(path: Path, source: str) -> Iterator[Text]:
    block: list[str] = []
    begin = last = column = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or DIRECTIVE.match(token.string):
            continue
        line, indent = token.start
        alone = not token.line[:indent].strip()
        if block and not (alone and line == last + 1 and indent == column):
            yield Text(path, begin, " ".join(block))
            block = []
        if not block:
            begin, column = line, indent
        block.append(token.string.lstrip("#:").strip())
        last = line
    if block:
        yield Text(path, begin, " ".join(block))


def texts(path: Path) -> Iterator[Text]:
    """Yield the paragraphs of a Markdown page, or the docstrings and comments of a module."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield from _paragraphs(path, source, 1)
    else:
        yield from _docstrings(path, source)
        yield from _comments(path, source)


def sentences(words: str) -> list[str]:
    """Split a paragraph into sentences."""
    words = re.sub(r"``?[^`]+``?", "CODE", words)
    return re.split(r"(?<=[.!?])[)\"”]?\s+(?=[A-Z\"“(])", words)


def length(sentence: str) -> int:
    """Count the words of a sentence; a sign alone is none."""
    return sum(any(c.isalnum() for c in word) for word in sentence.split())


def findings(text: Text) -> Iterator[tuple[str, str]]:
    """Yield the kind of each finding in a paragraph, and its sentence."""
    for sentence in sentences(text.words):
        if length(sentence) > MAX_WORDS:
            yield "long", f"{length(sentence)} words: {sentence}"
        for pattern, instead in BANNED.items():
            found = re.search(pattern, sentence, re.I)
            if found:
                yield "word", f"{found.group()!r}, better: {instead}: {sentence}"


def tracked(suffixes: tuple[str, ...]) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    names = set(listed.stdout.decode().split("\0"))
    return [
        ROOT / name for name in sorted(names) if name.endswith(suffixes) and (ROOT / name).is_file()
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="checks the language of pages and comments")
    parser.add_argument("paths", nargs="*", type=Path, help="files (default: all that git knows)")
    parser.add_argument("--count", action="store_true", help="print only how many, for each folder")
    options = parser.parse_args()
    counted: Counter[tuple[str, str]] = Counter()
    for path in options.paths or tracked((".py", ".md")):
        name = path.resolve().relative_to(ROOT)
        for text in texts(path):
            for kind, said in findings(text):
                counted[name.parts[0], kind] += 1
                if not options.count:
                    print(f"{name}:{text.line}: {said}")
    if options.count:
        for (folder, kind), number in sorted(counted.items()):
            print(f"{folder:12} {kind:5} {number}")
    long, words = (sum(n for (_, k), n in counted.items() if k == kind) for kind in KINDS)
    print(f"language: {long} sentences over {MAX_WORDS} words, {words} words to replace")
    return 1 if counted else 0


if __name__ == "__main__":
    sys.exit(main())
