"""What ``-help`` and its like print: gflags' reports, as gflags_reporting.cc writes them.

In go the values of all flags, out comes the one report that they ask for. No I/O.
"""

from __future__ import annotations

import os.path
import textwrap
from collections.abc import Mapping, Set
from typing import NamedTuple, Optional

from ._flags import FLAGS, Flag, Value

# gflags has a program set a usage message; the real one does not.
_USAGE = "Warning: SetUsageMessage() never called"
_WIDTH = 79
_INDENT = " " * 6


class Report(NamedTuple):
    """What to print before the end, and the process's exit code."""

    exit_code: int
    stdout: str
    stderr: str = ""


def report(values: Mapping[str, Value], given: Set[str], program: str) -> Optional[Report]:
    """The report that the flags ask for; when they ask for several, gflags' first.

    ``given`` are the flags whose value did not stay the default, ``program`` is the name that is
    printed. (HandleCommandLineHelpFlags)
    """
    helpon, helpmatch = str(values["helpon"]), str(values["helpmatch"])
    # No file of the real binary is named as the program is, so that two of the reports are empty.
    main = [f"/{program}{end}." for end in ("", "-main", "_main")]
    if values["helpshort"]:
        return Report(1, _flags(values, given, program, main))
    if values["help"] or values["helpfull"]:
        return Report(1, _flags(values, given, program, []))
    if helpon:
        return Report(1, _flags(values, given, program, [f"/{helpon}."]))
    if helpmatch:
        return Report(1, _flags(values, given, program, [helpmatch]))
    if values["helppackage"]:
        return Report(1, "", f"Unable to find a package for file={program}")
    if values["helpxml"]:
        return Report(1, _xml(values, program))
    if values["version"]:
        return Report(0, f"{program}\n")
    return None


def _sorted_flags() -> list[tuple[str, Flag]]:
    """By file, then by name. (GetAllFlags)"""
    return sorted(FLAGS.items(), key=lambda item: (item[1].file, item[0]))


def _flags(values: Mapping[str, Value], given: Set[str], program: str, parts: list[str]) -> str:
    """The flags of the files that contain one of ``parts``, all without one.

    (ShowUsageWithFlagsMatching)
    """
    # The path gets a slash before it, so that a first folder matches as well.
    # (FileMatchesSubstring)
    shown = [
        (name, flag)
        for name, flag in _sorted_flags()
        if not parts or any(part in f"/{flag.file}" for part in parts)
    ]
    text = f"{program}: {_USAGE}\n"
    last = None
    for name, flag in shown:
        if flag.file != last:
            if last is not None and os.path.dirname(flag.file) != os.path.dirname(last):
                text += "\n\n"
            text += f"\n  Flags from {flag.file}:\n"
            last = flag.file
        text += _described(name, flag, values[name], name in given)
    return text if shown else text + "\n  No modules matched: use -help\n"


def _described(name: str, flag: Flag, value: Value, given: bool) -> str:
    """One flag in lines of fewer than 80 characters. (DescribeOneFlag)"""
    quote = '"' if flag.kind == "string" else ""
    fields = [f"type: {flag.kind}", f"default: {quote}{_text(flag.default)}{quote}"]
    if given:
        fields.append(f"currently: {quote}{_text(value)}{quote}")
    lines = textwrap.wrap(
        f"    -{name} ({flag.meaning})", _WIDTH, subsequent_indent=_INDENT, break_on_hyphens=False
    )
    for field in fields:
        if len(lines[-1]) + 1 + len(field) <= _WIDTH:
            lines[-1] += f" {field}"
        else:
            lines.append(_INDENT + field)
    return "\n".join(lines) + "\n"


def _xml(values: Mapping[str, Value], program: str) -> str:
    """All flags as XML, which gflags has no schema for. (ShowXMLOfFlags)"""
    flags = "".join(
        "<flag>"
        + _tag("file", flag.file)
        + _tag("name", name)
        + _tag("meaning", flag.meaning)
        + _tag("default", _text(flag.default))
        + _tag("current", _text(values[name]))
        + _tag("type", flag.kind)
        + "</flag>\n"
        for name, flag in _sorted_flags()
    )
    return (
        '<?xml version="1.0"?>\n<AllFlags>\n'
        f"{_tag('program', program)}\n{_tag('usage', _USAGE)}\n{flags}</AllFlags>\n"
    )


def _tag(name: str, text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    return f"<{name}>{escaped}</{name}>"


def _text(value: Value) -> str:
    """As gflags writes a value. (FlagValue::ToString)"""
    return str(value).lower() if isinstance(value, bool) else str(value)
