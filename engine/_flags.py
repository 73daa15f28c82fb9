"""The launcher's command line, in the syntax of gflags.

``-name value``, ``--name value`` and ``-name=value`` set a flag. ``-name`` and ``-noname`` set a
boolean, which never takes the next word. A dash in a name may stand for an underscore. ``--`` ends
the flags. Other words are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Optional, Union

Value = Union[bool, int, str]

# Type and default. The launcher passes most of these; people add the others by hand.
FLAGS: dict[str, tuple[str, Value]] = {
    "V": ("bool", False),
    "version": ("bool", False),
    "inferservice_path": ("string", "./conf"),
    "inferservice_file": ("string", "infer_service.prototxt"),
    "resource_path": ("string", "./conf"),
    "resource_file": ("string", "resource.prototxt"),
    "workflow_path": ("string", "./conf"),
    "workflow_file": ("string", "workflow.prototxt"),
    "num_threads": ("int32", 0),
    "reload_interval_s": ("int32", 10),
    "max_body_size": ("uint64", 64 * 1024 * 1024),
    "precision": ("string", "fp32"),
    "log_dir": ("string", ""),
    "enable_prometheus": ("bool", False),
    # These have no effect here.
    "port": ("int32", 8010),
    "enable_model_toolkit": ("bool", True),
    "enable_cube": ("bool", False),
    "enable_protocol_list": ("string", "baidu_std"),
    "max_concurrency": ("int32", 0),
    "g_max_concurrency": ("int32", 0),
    "bthread_concurrency": ("int32", 9),
    "prometheus_port": ("int32", 19393),
    "request_cache_size": ("int64", 0),
    "idle_timeout_s": ("int32", 80),
    "use_calib": ("bool", False),
    "logger_path": ("string", "./conf"),
    "logger_file": ("string", "log.conf"),
}
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "true", "y", "yes"), True),
    **dict.fromkeys(("0", "f", "false", "n", "no"), False),
}
_RANGES = {
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
_NUMBER = re.compile(r"[+-]?[0-9]+")


class CommandLineEnd(Exception):
    """The command line asks for a text instead of a server, or is wrong.

    Attributes:
        exit_code: The exit code of the process.
        stdout: The text to print on standard output.
        stderr: The text to print on standard error.
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
        return int(self._values[name])

    def on(self, name: str) -> bool:
        return bool(self._values[name])


def parse(words: Sequence[str]) -> Flags:
    """Read the words after the program's name.

    Raises:
        CommandLineEnd: For ``-version`` and ``-V``, and for wrong flags, with gflags' texts.
    """
    values: dict[str, Value] = {name: default for name, (_, default) in FLAGS.items()}
    errors: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        if word == "--":
            break
        if not word.startswith("-") or word == "-":
            continue
        key, equals, given = word[2 if word.startswith("--") else 1 :].partition("=")
        text: Optional[str] = given if equals else None
        name = key.replace("-", "_")
        if name.startswith("no") and FLAGS.get(name[2:], ("",))[0] == "bool":
            name, text = name[2:], "false"
        if name not in FLAGS:
            errors[key] = f"ERROR: unknown command line flag '{key}'\n"
            continue
        kind = FLAGS[name][0]
        if text is None:
            text = "true" if kind == "bool" else next(rest, None)
        if text is None:
            errors[key] = f"ERROR: flag '{word}' is missing its argument\n"
            break
        value = _value(kind, text)
        if value is None:
            errors[key] = f"ERROR: illegal value '{text}' specified for {kind} flag '{name}'\n"
        else:
            values[name] = value
    if values["version"]:
        raise CommandLineEnd(0, stdout="serving\n")
    if errors:
        raise CommandLineEnd(1, stderr="".join(errors[key] for key in sorted(errors)))
    if values["V"]:
        raise CommandLineEnd(0, stdout="undefined\n")
    return Flags(values)


def _value(kind: str, text: str) -> Optional[Value]:
    """Return the value that a text means, or ``None`` when it is no value of that type."""
    if kind == "string":
        return text
    if kind == "bool":
        return _BOOLEANS.get(text.lower())
    if not _NUMBER.fullmatch(text):
        return None
    number = int(text)
    lowest, highest = _RANGES[kind]
    return number if lowest <= number <= highest else None
