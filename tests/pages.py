"""Makes the generated pages and parts of pages: ``python -m tests.pages [--check]``.

With ``--check`` it changes nothing. The exit code is then 1 if a page differs from the code.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, Union

from harness.__main__ import main as harness_main
from harness.checker.claims import CLAIMS
from harness.checker.events import EVENTS
from harness.checker.verdict import Verdict
from harness.support.errors import HarnessError, interrupted
from monitor.__main__ import main as monitor_main
from monitor.errors import MonitorError
from producer import manifest as producer_manifest
from producer.cli import main as producer_main

ROOT = Path(__file__).parents[1]
_MADE = "Made by `python -m tests.pages`; do not edit."
_COMMANDS = (
    *("harness", "harness e2e", "harness run", "harness check", "harness report", "harness merge"),
    *("harness up", "harness publish", "harness predict", "harness break", "harness mend"),
    *("harness rollback", "harness status", "harness down", "harness demo"),
    *("harness bundle", "harness scenarios", "harness compose", "harness serving-trial"),
    *("harness setup", "harness doctor", "harness conformance", "harness conformance serving"),
    *("harness containers", "monitor", "monitor status", "monitor rollback", "monitor hold"),
    *("monitor resume", "monitor pin", "monitor unpin", "producer"),
)
_MAINS: dict[str, Callable[[list[str]], int]] = {
    "harness": harness_main,
    "monitor": monitor_main,
    "producer": producer_main,
}


def main() -> int:
    """Write the pages, or compare them. Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.pages")
    parser.add_argument("--check", action="store_true", help="change nothing, exit code 1 if wrong")
    check = parser.parse_args().check
    made = list(pages())
    wrong = [path for path, text in made if path.read_text(encoding="utf-8") != text]
    for path, text in made if wrong and not check else ():
        path.write_text(text, encoding="utf-8")
    for path in wrong:
        print(f"{path.relative_to(ROOT)}: {'differs from the code' if check else 'made again'}")
    return 1 if wrong and check else 0


def pages() -> Iterator[tuple[Path, str]]:
    """Yield the path and the text of each page."""
    for name, make in PAGES.items():
        path = ROOT / name
        if not path.exists():
            path.touch()
        yield path, make()


def commands() -> str:
    """Return the page of all options."""
    parts = [
        "# Commands",
        "For engineers who look for an option. After this page you know every option of every "
        "command. `--help` prints the common options, and `--help-all` prints all.",
        _MADE,
        "To complete commands and options in bash or zsh, type once:\n\n"
        "```shell\nactivate-global-python-argcomplete --user\n```\n\n"
        "The program comes with the package argcomplete in `.venv/bin`. The completion works for "
        "`python -m harness`, `python -m monitor` and `python -m producer`.",
    ]
    os.environ["COLUMNS"] = "80"
    for command in _COMMANDS:
        program, *words = command.split()
        long = "--help-all" in _printed(program, [*words, "--help"])
        printed = _printed(program, [*words, "--help-all" if long else "--help"])
        parts.append(f"## python -m {command}\n\n```text\n{printed.rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def _printed(program: str, words: list[str]) -> str:
    written = io.StringIO()
    with contextlib.redirect_stdout(written), contextlib.suppress(SystemExit):
        _MAINS[program](words)
    return written.getvalue()


def claims() -> str:
    """Return the page of the claims."""
    lines = [
        "# Claims",
        "",
        "For engineers who read a verdict. After this page you know what each claim says and what "
        "it looks at.",
        "",
        _MADE,
        "",
        "A claim is *invalid* if a record breaks it, and *valid* if no record breaks it and the "
        "records are complete. Otherwise it is *unknown*. "
        "[What the verdict proves](../explanation/verdict.md) explains the limits.",
        "",
        "| claim | what it says | what it looks at | needs many samples |",
        "| --- | --- | --- | --- |",
    ]
    for name, rule in CLAIMS.items():
        many = "yes" if rule.statistical else ""
        lines.append(f"| {name} | {rule.says} | {', '.join(rule.looks_at)} | {many} |")
    return "\n".join(lines) + "\n"


def messages() -> str:
    """Return the page of the monitor's log."""
    lines = [
        "# Messages of the monitor",
        "",
        "For engineers who read the monitor's log, or write alerts for it. After this page you "
        "know every line that the monitor can log.",
        "",
        _MADE,
        "",
        "`%s`, `%d` and `%.1f` stand for a value. An ERROR says that a release is bad, or that "
        "this machine or the monitor failed. A WARNING says that the remote failed, or that "
        "something needs your attention. The monitor continues after both, except with `--once`. "
        "[Exit codes](../monitor.md#exit-codes) and [metrics](../monitor.md#metrics) are on the "
        "monitor's page. [Questions and error messages](../troubleshooting.md) has remedies.",
        "",
        "| level | file | message |",
        "| --- | --- | --- |",
    ]
    rows = sorted({*_logged()}, key=lambda row: (_LEVELS.index(row[0]), row))
    lines += [f"| {level} | `{file}` | `{text}` |" for level, file, text in rows]
    return "\n".join(lines) + "\n"


_LOGGERS = ("log", "logger", "_log", "self._log")
_LEVELS = ("ERROR", "WARNING", "INFO", "DEBUG")


def _logged() -> Iterator[tuple[str, str, str]]:
    for path in (ROOT / "monitor").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr.upper() in _LEVELS
                and node.args
                and isinstance(node.args[0], ast.Constant)
                and isinstance(node.args[0].value, str)
                and ast.unparse(node.func.value) in _LOGGERS
            ):
                text = node.args[0].value.replace("|", "\\|")
                yield node.func.attr.upper(), str(path.relative_to(ROOT)), text


def readme() -> str:
    """Return README.md with the table of the page docs/conformance.md."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    page = (ROOT / "docs/conformance.md").read_text(encoding="utf-8")
    lines = ["| checks of | this project's monitor | stock monitor 0.9.0 |", "| --- | --- | --- |"]
    total = [0, 0, 0, 0]
    for group, counts in _counts(page).items():
        ours, stock = ("{} of {}".format(*pair) for pair in (counts[:2], counts[2:]))
        lines.append(f"| {group} | {ours} | {stock if counts[3] else '–'} |")
        total = [sum(pair) for pair in zip(total, counts)]
    lines.append("| **all** | **{} of {}** | **{} of {}** |".format(*total))
    part = re.compile(r"(<!-- conformance: generated -->\n).*?(<!-- end -->)", re.S)
    return part.sub(lambda found: found[1] + "\n".join(lines) + "\n" + found[2], text)


def _counts(page: str) -> dict[str, list[int]]:
    """Return the checks that each group of scenarios passed and had: ours, then the stock ones.

    A cell names the remotes of each outcome: ``passed: http, ftp; fails: hdfs``.
    """
    counts: dict[str, list[int]] = {}
    group = ""
    for line in page.splitlines():
        if line.startswith("## "):
            group = line[3:]
        cells = re.match(r"\| `[\w-]+` .*\| ([^|]*) \| ([^|]*) \| [^|]* \|$", line)
        if cells is None or group.startswith("Why"):
            continue
        row = counts.setdefault(group, [0, 0, 0, 0])
        for column, cell in enumerate(cells.groups()):
            for outcome, remotes in re.findall(r"(\w+): ([^;]+)", cell):
                number = len(remotes.split(","))
                row[2 * column] += number if outcome == "passed" else 0
                row[2 * column + 1] += number
    return counts


def history() -> str:
    """Return docs/history.md with the table of all events."""
    text = (ROOT / "docs/history.md").read_text(encoding="utf-8")
    lines = ["| event | fields besides `t` | who records the event, when |", "| --- | --- | --- |"]
    for name, event in EVENTS.items():
        lines.append(f"| `{name}` | {event.fields} | {event.recorded} |".replace("|  |", "| |"))
    part = re.compile(r"(<!-- events: generated -->\n).*?(<!-- end -->)", re.S)
    return part.sub(lambda found: found[1] + "\n".join(lines) + "\n" + found[2], text)


def exit_codes() -> str:
    """Return the page of the exit codes."""
    # ``0: all claims hold; 1: a claim is broken; 3: …``
    verdicts = str(Verdict.exit_code.__doc__).rstrip(".").split("; ")
    lines = [
        "# Exit codes",
        "",
        "For engineers who call a command from a script or a CI system. After this page you know "
        "what each exit code means.",
        "",
        _MADE,
        "",
        "## A verdict",
        "",
        "The commands that judge a run end with the exit code of the verdict: `make e2e`, "
        "`harness run`, `check` and `conformance`.",
        "",
        "| exit code | verdict |",
        "| --- | --- |",
        *(f"| {one.replace(': ', ' | ', 1)} |" for one in verdicts),
        "",
        "## Errors and signals of the harness and the producer",
        "",
        *_errors(HarnessError),
        f"| {interrupted()} | Ctrl-C ended the command. |",
        "| 143 | SIGTERM ended the command. |",
        "",
        "## The monitor",
        "",
        "This table has the errors that end the monitor. [The monitor's page]"
        "(../monitor.md#exit-codes) lists all cases, with `--once` and with signals. Without "
        "`--once` the monitor ends with an error only at its start.",
        "",
        *_errors(MonitorError),
    ]
    return "\n".join(lines) + "\n"


def _errors(base: type[Union[HarnessError, MonitorError]]) -> Iterator[str]:
    """Yield a table of all errors of a tree."""
    yield from ("| exit code | what happened |", "| --- | --- |")
    left, found = [*base.__subclasses__()], []
    while left:
        error = left.pop(0)
        left += error.__subclasses__()
        if error.__module__ in (HarnessError.__module__, MonitorError.__module__):
            found.append(
                (error.exit_code, str(error.__doc__).partition("\n")[0].replace("``", "`"))
            )
    yield from (f"| {code} | {text} |" for code, text in sorted(found))


def manifest() -> str:
    """Return the page of the manifest's schema."""
    schema = producer_manifest.schema()
    lines = [
        "# The manifest's schema",
        "",
        "For engineers who write a producer or a monitor of their own. After this page you know "
        "each key of the JSON in a donefile, and can validate a donefile.",
        "",
        _MADE,
        "",
        f"A manifest is UTF-8 JSON of at most {producer_manifest.MAX_BYTES // 1024} KiB. "
        "The monitor also accepts a donefile that does not fit the schema, as a donefile without "
        "a manifest. With `--require_manifest` the monitor refuses it. A "
        "[signed](../how-to/sign.md) manifest ends with one more key, `signature`. "
        "[The producer's page](../producer.md#what-is-published) says more about each key.",
        "",
        "| key | required | value |",
        "| --- | --- | --- |",
    ]
    for name, value in schema["properties"].items():
        needed = "yes" if name in schema["required"] else ""
        lines.append(f"| `{name}` | {needed} | {value.get('description', value.get('const'))} |")
    lines += ["", "```json", json.dumps(schema, indent=1), "```"]
    return "\n".join(lines) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "README.md": readme,
    "docs/history.md": history,
    "docs/reference/claims.md": claims,
    "docs/reference/commands.md": commands,
    "docs/reference/exit-codes.md": exit_codes,
    "docs/reference/manifest.md": manifest,
    "docs/reference/messages.md": messages,
}

if __name__ == "__main__":
    sys.exit(main())
