"""Takes secrets out of the text of a run before the text leaves this machine.

``monitor.mask`` replaces user and password before the ``@`` of an address. The rules here also
replace the value of an option, a field or a variable whose name means a secret. If this process's
environment has such a variable, its value is replaced everywhere in the text.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

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


def remember_environment() -> None:
    """Make the value of each variable that is called a secret a secret of this process."""
    for name, value in os.environ.items():
        if _IS_NAME.fullmatch(name):
            remember(value)


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
    """Return a value of JSON with its secrets masked: strings, and all below a secret's name."""
    if isinstance(value, str):
        return masked_text(value)
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
