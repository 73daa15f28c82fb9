"""The command line in gflags' syntax, as the launcher writes it.

In go the words of the command line, out comes ``Flags`` or one of the ends that gflags knows:
a text to print and an exit code. Reads the files that ``-flagfile`` names, and no others.

The syntax, as gflags 2.2 reads it; the names behind the rules are functions of its gflags.cc:

=================  ===============================================================================
``-name``          one dash or two; dashes in a name may stand for underscores (FindFlagLocked)
``-name=value``    or ``-name value``, where the next word is taken whatever it is; but a boolean
                   takes none (ParseNewCommandLineFlags)
``-noname``        false for a boolean, whatever follows behind ``=`` (SplitArgumentLocked)
``--``             ends the flags; other words without a dash, and ``-``, are passed over
numbers            decimal, or hexadecimal when they begin with 0x (FlagValue::ParseFrom)
``-flagfile``      files with a flag a line, ``-fromenv`` flags from FLAGS_NAME; both are read
                   where they stand (ProcessSingleOptionLocked)
errors             one for each name, its last, sorted and printed together (ReportErrors); but
                   a flag without its value ends the reading, and a wrong list of names or a file
                   that cannot be read ends it at once (ParseFlagList, ReadFileIntoString)
=================  ===============================================================================
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Optional

from ._flags import FLAGS, Value
from ._gflags_reports import report

_TRUE = ("1", "t", "true", "y", "yes")
_FALSE = ("0", "f", "false", "n", "no")
_RANGES = {
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
# What strtoll takes to its end, without the digits that no range has: base 10, or 16 when 0x are
# the first two characters.
_DECIMAL = re.compile(r"[ \t\n\v\f\r]*([+-]?)0*([0-9]{1,20})")
_HEXADECIMAL = re.compile(r"0[xX]0*([0-9a-fA-F]{1,16})")
_BLANKS = " \t\n\v\f\r"


class CommandLineEnd(Exception):
    """The command line asks for a text instead of a server, or is wrong.

    ``stdout`` and ``stderr`` are what to print, ``exit_code`` is the process's.
    """

    def __init__(self, exit_code: int, *, stdout: str = "", stderr: str = "") -> None:
        super().__init__(stderr or stdout)
        self.exit_code = exit_code
        self.stdout = stdout
        self.stderr = stderr


class Flags:
    """The values of all flags."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = values

    def text(self, name: str) -> str:
        return str(self._values[name])

    def number(self, name: str) -> int:
        value = self._values[name]
        assert isinstance(value, int)
        return value

    def on(self, name: str) -> bool:
        return bool(self._values[name])

    def items(self) -> list[tuple[str, Value, Value]]:
        """Name, value and default of every flag, sorted by name."""
        return [(name, self._values[name], FLAGS[name].default) for name in sorted(self._values)]


def parse(
    words: Sequence[str], program: str = "serving", environ: Optional[Mapping[str, str]] = None
) -> Flags:
    """Reads the words after the program's name.

    ``environ`` is where ``-fromenv`` looks, without it the process's. Raises ``CommandLineEnd`` for
    ``-V``, ``-version`` and the kinds of ``-help``, and for all that is wrong, with gflags' texts
    and exit codes. A report comes before the errors. (ParseCommandLineFlagsInternal)
    """
    parser = _Parser(program, os.environ if environ is None else environ)
    try:
        parser.read_words(words)
    except RecursionError:
        # Where gflags runs out of its stack.
        text = "embedded-serving: -flagfile, -fromenv or -tryfromenv name themselves\n"
        raise CommandLineEnd(1, stderr=text) from None
    asked = report(parser.values, parser.given, program)
    if asked is not None:
        raise CommandLineEnd(asked.exit_code, stdout=asked.stdout, stderr=asked.stderr)
    errors = parser.errors_left()
    if errors:
        raise CommandLineEnd(1, stderr=errors)
    if parser.values["V"]:
        raise CommandLineEnd(0, stdout="undefined\n")
    return Flags(parser.values)


class _Parser:
    """The values so far, and what was wrong on the way. (CommandLineFlagParser)"""

    def __init__(self, program: str, environ: Mapping[str, str]) -> None:
        self.values: dict[str, Value] = {name: flag.default for name, flag in FLAGS.items()}
        self.given: set[str] = set()
        self._program = program
        self._environ = environ
        self._errors: dict[str, str] = {}
        self._undefined: set[str] = set()

    def read_words(self, words: Sequence[str]) -> None:
        """(ParseNewCommandLineFlags)"""
        rest = iter(words)
        for word in rest:
            if not word.startswith("-") or word == "-":
                continue
            body = word[2:] if word.startswith("--") else word[1:]
            if not body:
                break
            key, name, value, error = _split(body)
            if name is None:
                self._errors[key] = error
                self._undefined.add(key)
                continue
            if value is None:
                value = next(rest, None)
            if value is None:
                self._errors[key] = (
                    f"ERROR: flag '{word}' is missing its argument; "
                    f"flag description: {FLAGS[name].meaning}\n"
                )
                break
            self._set(name, value)

    def errors_left(self) -> str:
        """All errors but those of unknown names that ``-undefok`` forgives. (ReportErrors)"""
        for name in _names(str(self.values["undefok"])):
            for key in (name, f"no{name}"):
                if key in self._undefined:
                    self._errors.pop(key, None)
                    break
        return "".join(self._errors[key] for key in sorted(self._errors))

    def _set(self, name: str, text: str) -> None:
        """(ProcessSingleOptionLocked)"""
        kind = FLAGS[name].kind
        value = _value(kind, text)
        if value is None:
            self._errors[name] = (
                f"ERROR: illegal value '{text}' specified for {kind} flag '{name}'\n"
            )
            return
        self.values[name] = value
        self.given.add(name)
        if name == "flagfile":
            for file in _names(text):
                self._read_lines(_content(file))
        elif name in ("fromenv", "tryfromenv"):
            self._read_environment(text, required=name == "fromenv")

    def _read_lines(self, text: str) -> None:
        """A flagfile's flags; what is no flag or lacks its value is passed over.

        Lines without a dash are patterns of program names, and the flags behind them are for those.
        (ProcessOptionsFromStringLocked)
        """
        for_us = True
        among_patterns = False
        for line in _lines(text):
            if not line or line.startswith("#"):
                continue
            if line.startswith("-"):
                among_patterns = False
                if for_us:
                    _, name, value, _ = _split(line[2:] if line.startswith("--") else line[1:])
                    if name is not None and value is not None:
                        self._set(name, value)
                continue
            matches = any(fnmatch.fnmatchcase(self._program, one) for one in line.split(" "))
            for_us = matches or (among_patterns and for_us)
            among_patterns = True

    def _read_environment(self, listed: str, *, required: bool) -> None:
        """(ProcessFromenvLocked)"""
        for key in _names(listed):
            name = _found(key)
            text = self._environ.get(f"FLAGS_{key}")
            if name is None:
                self._errors[key] = (
                    f"ERROR: unknown command line flag '{key}' (via --fromenv or --tryfromenv)\n"
                )
                self._undefined.add(key)
            elif text is None:
                if required:
                    self._errors[key] = f"ERROR: FLAGS_{key} not found in environment\n"
            elif text in ("fromenv", "tryfromenv"):
                self._errors[key] = f"ERROR: infinite recursion on environment flag '{text}'\n"
            else:
                self._set(name, text)


def _found(key: str) -> Optional[str]:
    """The name of the flag that is written ``key``. (FindFlagLocked)"""
    return next((name for name in (key, key.replace("-", "_")) if name in FLAGS), None)


def _split(body: str) -> tuple[str, Optional[str], Optional[str], str]:
    """A word without its dashes, as its key, the flag, the value if there is one, or the error.

    (SplitArgumentLocked)
    """
    key, equals, text = body.partition("=")
    value = text if equals else None
    name = _found(key)
    if name is None:
        name = _found(key[2:]) if key.startswith("no") else None
        if name is None:
            return key, None, None, f"ERROR: unknown command line flag '{key}'\n"
        kind = FLAGS[name].kind
        if kind != "bool":
            error = f"ERROR: boolean value ({key}) specified for {kind} command line flag\n"
            return key, None, None, error
        value = "0"
    elif value is None and FLAGS[name].kind == "bool":
        value = "1"
    return key, name, value, ""


def _value(kind: str, text: str) -> Optional[Value]:
    """``None`` for what is no value of that kind. (FlagValue::ParseFrom)

    Two slips of gflags are not followed: a uint64 of blanks alone is 0 to it, and one with a tab
    before its minus is counted down from 2**64.
    """
    if kind == "string":
        return text
    if kind == "bool":
        lowered = text.lower()
        return True if lowered in _TRUE else False if lowered in _FALSE else None
    hexadecimal = _HEXADECIMAL.fullmatch(text)
    decimal = _DECIMAL.fullmatch(text)
    if hexadecimal:
        number = int(hexadecimal[1], 16)
    elif decimal and not (kind == "uint64" and decimal[1] == "-"):
        number = int(decimal[1] + decimal[2])
    else:
        return None
    lowest, highest = _RANGES[kind]
    return number if lowest <= number <= highest else None


def _names(listed: str) -> list[str]:
    """The entries of a comma-separated list; one comma at the end is none. (ParseFlagList)"""
    names = []
    while listed:
        name, _, rest = listed.partition(",")
        if not name:
            raise CommandLineEnd(1, stderr="ERROR: empty flaglist entry\n")
        if name.startswith("-"):
            raise CommandLineEnd(1, stderr=f"ERROR: flag \"{listed}\" begins with '-'\n")
        names.append(name)
        listed = rest
    return names


def _content(file: str) -> str:
    """(ReadFileIntoString; a folder is an empty file to it)"""
    try:
        with open(file, "rb") as opened:
            # As far as a C string goes.
            return os.fsdecode(opened.read()).partition("\0")[0]
    except IsADirectoryError:
        return ""
    except OSError as error:
        raise CommandLineEnd(1, stderr=f"{file}: {error.strerror}\n") from None


def _lines(text: str) -> Iterator[str]:
    """A flagfile's lines without the blanks before them.

    They end with \\r as long as one follows, as gflags reads the files of Windows.
    """
    rest: Optional[str] = text
    while rest is not None:
        rest = rest.lstrip(_BLANKS)
        line, end, after = rest.partition("\r" if "\r" in rest else "\n")
        yield line
        rest = after if end else None
