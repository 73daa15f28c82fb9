"""Takes secrets out of the text of a run before the text leaves this machine.

``monitor.mask`` replaces user and password before the ``@`` of an address. The rules here also
replace the value of an option, a field or a variable whose name means a secret.

A known secret is replaced everywhere, however it is written, also if it has several words or is a
number. The known secrets are those in this process's environment, and those that the run was given.
The run keeps the latter in its folder, in a file that only its owner may read. No bundle has this
file.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from monitor.mask import STARS, mask, remember

_WORD = (
    r"(?:pass(?:word|wd|phrase)|(?<![a-z])pass(?![a-z])|secret|token(?!iz)|api_?key|access_?key"
    r"|private_?key|credential|signature|delegation)"
)
_NAME = rf"[\w-]*{_WORD}[\w-]*"
_VALUE = r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^\s'"&]+)"""
# Most lines have no such word, and the other patterns are slow.
_HAS_WORD = re.compile(f"{_WORD}|authorization", re.IGNORECASE)
_IS_NAME = re.compile(rf"{_NAME}|[\w-]*authorization", re.IGNORECASE)
_IS_OPTION = re.compile(f"--{_NAME}", re.IGNORECASE)
# ``name: value``, ``name=value``, ``"name": "value"``.
_ASSIGNED = re.compile(rf"""({_NAME}['"]?\s*[:=]\s*)({_VALUE})""", re.IGNORECASE)
# ``Authorization: SCHEME secret``; the secret may have several words.
_AUTHORIZATION = re.compile(
    r"""(authorization['"]?\s*[:=]\s*['"]?(?:[a-z]+\s+)?)([^'"\r\n]+)""", re.IGNORECASE
)
# ``--name value``, ``'--name', 'value'``. The next option is no value.
_OPTION = re.compile(rf"""(--{_NAME}['"]?[,\s]+)(?!['"]?--)({_VALUE})""", re.IGNORECASE)


_SECRETS = ".secrets"
# Known secrets, to compare with numbers of JSON. A part of a number is no secret.
_known: set[str] = set()


def remember_environment() -> None:
    """Make the value of each variable that is called a secret a secret of this process."""
    _remember(_of_environment())


def keep_secrets(run: Path, given: Iterable[str], command: str = "") -> None:
    """Add secrets to the run's file.

    Args:
        run: The run's folder.
        given: Secrets.
        command: A command line. Passwords in its addresses and options are secrets, too.
    """
    found = {*_kept(run), *given, *_of_environment(), *_of_command(command)} - {""}
    descriptor = os.open(run / _SECRETS, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump(sorted(found), file)


def remember_secrets(run: Path) -> None:
    """Make the secrets that a run was given secrets of this process."""
    _remember(_kept(run))


def _remember(values: Iterable[str]) -> None:
    for value in values:
        remember(value)
        _known.add(value)


def _kept(run: Path) -> list[str]:
    try:
        return [str(one) for one in json.loads((run / _SECRETS).read_text(encoding="utf-8"))]
    except (OSError, ValueError):
        return []


def _of_environment() -> Iterator[str]:
    return (value for name, value in os.environ.items() if _IS_NAME.fullmatch(name))


def _of_command(command: str) -> Iterator[str]:
    before = ""
    for word in shlex.split(command):
        name, given, value = word.partition("=")
        if given and _IS_NAME.fullmatch(name):
            yield value
        if _IS_OPTION.fullmatch(before) and not word.startswith("--"):
            yield word
        if "://" in word:
            yield unquote(urlsplit(word).password or "")
        before = word


def masked_text(text: str) -> str:
    """Return the text with ``***`` in place of each secret. A quoted secret stays quoted."""

    def stars(found: re.Match[str]) -> str:
        quote = found[2][0] if found[2][0] in "'\"" else ""
        return f"{found[1]}{quote}{STARS}{quote}"

    text = mask(text)
    if not _HAS_WORD.search(text):
        return text
    text = _AUTHORIZATION.sub(rf"\g<1>{STARS}", text)
    return _OPTION.sub(stars, _ASSIGNED.sub(stars, text))


def masked_line(line: str) -> str:
    """Return a line, or a whole JSON file, with its secrets masked; JSON stays JSON."""
    text = masked_text(line)
    if text == line:
        return line
    try:
        value = json.loads(line)
    except ValueError:
        return text
    end = "\n" if line.endswith("\n") else ""
    return json.dumps(masked(value), separators=(",", ":"), ensure_ascii=False) + end


def masked(value: Any) -> Any:
    """Return a value of JSON with its secrets masked: strings, and all below a secret's name.

    A number is masked only if it is a known secret.
    """
    if isinstance(value, str):
        return masked_text(value)
    if isinstance(value, (int, float)):
        return STARS if json.dumps(value) in _known else value
    if isinstance(value, dict):
        return {
            key: STARS
            if isinstance(one, (str, list, dict)) and _IS_NAME.fullmatch(key)
            else masked(one)
            for key, one in value.items()
        }
    if isinstance(value, list):
        before = [None, *value]
        return [
            STARS
            if isinstance(one, str) and isinstance(last, str) and _IS_OPTION.fullmatch(last)
            else masked(one)
            for last, one in zip(before, value)
        ]
    return value
