"""The command line in gflags' syntax, as the launcher writes it.

In go the words of the command line, out comes ``Flags`` or one of the ends that gflags knows:
a text to print and an exit code. Nothing here reads a file or the environment.

The syntax (gflags' documentation, "How to set flags on the command line"): one or two dashes,
``-name value`` or ``-name=value``; booleans ``-name`` and ``-noname`` or ``-name=true``; ``--``
ends the flags; other words are left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Union

Value = Union[bool, int, float, str]

_TRUE = ("1", "t", "true", "y", "yes")
_FALSE = ("0", "f", "false", "n", "no")
_RANGES = {
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}


@dataclass(frozen=True)
class Flag:
    """One flag: gflags' name of its type, the default, and one line of meaning."""

    kind: str
    default: Value
    meaning: str


# The launcher of 0.9.0 passes the first group. The second is what people add by hand to the same
# binary (its own flags, and those of the libraries it is built on); they are read and checked.
FLAGS: dict[str, Flag] = {
    "enable_model_toolkit": Flag("bool", False, "read model_toolkit.prototxt"),
    "inferservice_path": Flag("string", "./conf", "folder of inferservice_file"),
    "inferservice_file": Flag("string", "service.prototxt", "port and services"),
    "max_concurrency": Flag("int32", 0, "requests at once, 0: no limit"),
    "num_threads": Flag("int32", 0, "worker threads"),
    "port": Flag("int32", 8010, "read, but the port in inferservice_file counts"),
    "precision": Flag("string", "fp32", "fp32, fp16, bf16 or int8"),
    "use_calib": Flag("bool", False, "TensorRT calibration"),
    "reload_interval_s": Flag("int32", 10, "seconds between two looks at the time file"),
    "resource_path": Flag("string", "./conf", "folder of resource_file"),
    "resource_file": Flag("string", "resource.prototxt", "where the model's files are named"),
    "workflow_path": Flag("string", "./conf", "folder of workflow_file"),
    "workflow_file": Flag("string", "workflow.prototxt", "the steps of a request"),
    "bthread_concurrency": Flag("int32", 9, "threads under the workers"),
    "max_body_size": Flag("uint64", 64 * 1024 * 1024, "bytes of one message"),
    "enable_prometheus": Flag("bool", False, "serve metrics on prometheus_port"),
    "prometheus_port": Flag("int32", 19393, "port of the metrics"),
    "request_cache_size": Flag("int64", 0, "bytes of answers kept for equal requests"),
    # by hand
    "V": Flag("bool", False, "print the version and end"),
    "logger_path": Flag("string", "./conf", "read, without effect"),
    "logger_file": Flag("string", "log.conf", "read, without effect"),
    "enable_protocol_list": Flag("string", "baidu_std nshead", "read, without effect"),
    "enable_cube": Flag("bool", False, "read, without effect"),
    "idle_timeout_s": Flag("int32", 16, "connections on which nothing moves are closed"),
    "el_log_level": Flag("int32", 16, "read, without effect"),
    "g_max_concurrency": Flag("int32", 0, "read, without effect"),
    "log_dir": Flag("string", "", "folder of the log files, ./log when empty"),
    "logtostderr": Flag("bool", False, "log to standard error instead of files"),
    "alsologtostderr": Flag("bool", False, "log to standard error as well"),
    "stderrthreshold": Flag("int32", 2, "severity that is copied to standard error"),
    "minloglevel": Flag("int32", 0, "lowest severity that is logged"),
    "max_log_size": Flag("int32", 1800, "read, without effect"),
    "logbufsecs": Flag("int32", 0, "read, without effect: every line is flushed"),
    "v": Flag("int32", 0, "read, without effect"),
    "vmodule": Flag("string", "", "read, without effect"),
}


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
    """The values of all flags; ``given`` names those that stood on the command line."""

    def __init__(self, values: dict[str, Value], given: frozenset[str]) -> None:
        self._values = values
        self.given = given

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


def parse(words: Sequence[str], program: str = "serving") -> Flags:
    """Reads the words after the program's name.

    Raises ``CommandLineEnd`` for ``-V``, ``-version``, ``-help``, and for an unknown flag or a bad
    value, with gflags' texts and exit codes (all bad flags are named, as gflags does).
    """
    values: dict[str, Value] = {name: flag.default for name, flag in FLAGS.items()}
    given: set[str] = set()
    errors: list[str] = []
    undefined: list[str] = []
    forgiven: set[str] = set()
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word == "--":
            break
        if not word.startswith("-") or word == "-":
            continue
        body = word[2:] if word.startswith("--") else word[1:]
        name, equals, text = body.partition("=")
        if name in ("help", "helpfull", "helpshort"):
            raise CommandLineEnd(1, stdout=_help(program))
        if name == "version":
            raise CommandLineEnd(0, stdout=f"{program}\n")
        if name == "undefok":
            if not equals and at < len(words):
                text = words[at]
                at += 1
            forgiven.update(text.split(","))
            continue
        flag = FLAGS.get(name)
        negated = False
        if flag is None and name.startswith("no") and name[2:] in FLAGS:
            name, flag, negated = name[2:], FLAGS[name[2:]], True
            if flag.kind != "bool":
                errors.append(
                    f"ERROR: boolean value ({body}) specified for {flag.kind} "
                    f"command line flag '{name}'"
                )
                continue
        if flag is None:
            undefined.append(name)
            continue
        if flag.kind == "bool" and not equals:
            values[name] = not negated
            given.add(name)
            continue
        if not equals:
            if at >= len(words):
                errors.append(
                    f"ERROR: flag '{word}' is missing its argument; "
                    f"flag description: {flag.meaning}"
                )
                continue
            text = words[at]
            at += 1
        value = _value(flag.kind, text)
        if value is None:
            errors.append(f"ERROR: illegal value '{text}' specified for {flag.kind} flag '{name}'")
            continue
        values[name] = (not value) if negated else value
        given.add(name)
    errors += [
        f"ERROR: unknown command line flag '{name}'" for name in undefined if name not in forgiven
    ]
    if errors:
        raise CommandLineEnd(1, stderr="".join(f"{line}\n" for line in errors))
    if values["V"]:
        raise CommandLineEnd(0, stdout="undefined\n")
    return Flags(values, frozenset(given))


def _value(kind: str, text: str) -> Union[Value, None]:
    if kind == "string":
        return text
    if kind == "bool":
        lowered = text.lower()
        return True if lowered in _TRUE else False if lowered in _FALSE else None
    # strtoll's grammar: blanks before, a sign, 0x for hexadecimal; nothing behind, no underscores.
    digits = text.lstrip(" \t\n")
    bare = digits.lstrip("+-") if len(digits) - len(digits.lstrip("+-")) <= 1 else ""
    base = 16 if bare.lower().startswith("0x") else 10
    if not bare or not bare.isascii() or not bare.isalnum():
        return None
    try:
        number = int(digits, base)
    except ValueError:
        return None
    lowest, highest = _RANGES[kind]
    return number if lowest <= number <= highest else None


def _help(program: str) -> str:
    lines = [f"{program}: Warning: SetUsageMessage() never called", ""]
    for name, flag in sorted(FLAGS.items()):
        default = f'"{flag.default}"' if flag.kind == "string" else str(flag.default).lower()
        lines.append(f"    -{name} ({flag.meaning}) type: {flag.kind} default: {default}")
    return "\n".join(lines) + "\n"
