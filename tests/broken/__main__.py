"""Judges every broken part: ``python -m tests.broken`` (``make proof``).

Each judge also gets the good part, built in the same way without a patch. Prints a table. The exit
code is 1 if a broken part was not caught, or broke something that its patch does not list. It is 1
as well if a judge found something wrong with a good part.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness.support.errors import Failed

from . import judges
from .judges import CONFORMANCE, SERVING, SLOW, Found
from .parts import PACKAGES, Part, parts

_PAGE = """
# Broken parts that are caught

For readers who ask what a verdict is worth. Each row is the good monitor or the good server with
one small patch, from `tests/broken/`. The row names the judge that found it, and what the judge
found broken.
[testing.md](testing.md#broken-parts-that-must-be-caught) explains the judges, and how to add a row.

`python -m tests.broken --page docs/broken-parts.md` makes this page; do not edit it.
"""


@dataclass(frozen=True)
class Row:
    """One part: what was found, and what differs from its patch's word."""

    part: Part
    found: Found
    wrong: str

    @property
    def verdict(self) -> str:
        good = self.part.patch is None
        return ("passed" if good else "caught") if not self.wrong else "WRONG"


def _good(kind: str, judge: str) -> Part:
    return Part(kind, f"good-{kind}-{judge}", f"nothing: the good {kind}", judge)


def _monitors(wanted: Sequence[Part], folder: Path, *, whole: bool, jobs: int) -> list[Row]:
    judged = [_good("monitor", CONFORMANCE), *wanted]
    # Their cases mostly wait.
    found = judges.monitors(judged, folder, jobs=4 * jobs, whole=whole)
    return [Row(part, one, one.against(part, whole=whole)) for part, one in zip(judged, found)]


def _one_for_each_break(wanted: Sequence[Part]) -> list[Part]:
    """Return the first part that breaks each claim or case; none for the judge that is slow."""
    chosen: dict[str, Part] = {}
    for part in wanted:
        for one in part.breaks if part.judge != SLOW else ():
            chosen.setdefault(one.name, part)
    return [part for part in wanted if part in chosen.values()]


def _servers(wanted: Sequence[Part], folder: Path, *, whole: bool, jobs: int) -> list[Row]:
    judged = [_good("server", judge) for judge in sorted({part.judge for part in wanted})]
    judged += wanted

    def row(part: Part) -> Row:
        mine = [part] if part.patch and not whole else [p for p in judged if p.judge == SERVING]
        cases = [one.name for p in mine for one in (p.breaks if whole else p.breaks[:1])]
        only = list(dict.fromkeys(cases))
        found = judges.server(part, part.judge, only, folder / part.name)
        return Row(part, found, found.against(part, whole=whole or part.judge != SERVING))

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        return list(pool.map(row, judged))


def _table(rows: Sequence[Row]) -> Table:
    table = Table(title="Broken parts")
    for column in ("part", "what is wrong with it", "judge", "it broke", "s", "verdict"):
        table.add_column(column, justify="right" if column == "s" else "left", overflow="fold")
    for row in rows:
        broken = "\n".join(row.found.broken) or "nothing"
        seconds = f"{row.found.seconds:.0f}"
        part = row.part
        table.add_row(part.name, part.wrong, part.judge, broken, seconds, row.verdict)
    return table


def _page(rows: Sequence[Row], before: str) -> str:
    """Return the page of the docs. A kind of parts without rows keeps its section of ``before``."""
    sections = [_PAGE.strip()]
    for kind in PACKAGES:
        mine = [row for row in rows if row.part.kind == kind]
        title = f"## {kind.capitalize()}s\n"
        if not mine:
            kept = before.partition(title)[2].partition("\n## ")[0].strip()
            sections += [f"{title}\n{kept}"] if kept else []
            continue
        made = time.strftime("%Y-%m-%d", time.gmtime())
        lines = [title, f"Judged on {made}.", ""]
        lines += ["| part | what is wrong with it | judge | what it broke | seconds | verdict |"]
        lines += ["| --- | --- | --- | --- | --- | --- |"]
        for row in mine:
            broken = ", ".join(row.found.broken) or "nothing"
            lines.append(
                f"| `{row.part.name}` | {row.part.wrong} | {row.part.judge} | {broken} | "
                f"{row.found.seconds:.0f} | {row.verdict} |"
            )
        sections.append("\n".join(lines))
    return "\n\n".join(sections) + "\n"


def main() -> int:
    """Judge the parts, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.broken",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only", default="", metavar="NAMES", help="parts, separated by commas; or monitor, server"
    )
    parser.add_argument(
        "--short",
        action="store_true",
        help="each monitor by its first case alone, and one server for each claim",
    )
    parser.add_argument("--jobs", type=int, default=2, help="servers at a time (%(default)s)")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the page of the docs")
    parser.add_argument(
        "--run",
        type=Path,
        metavar="FOLDER",
        help="keep copies and runs there; a run that is there is judged again, and not run again",
    )
    options = parser.parse_args()
    words = [word.strip() for word in options.only.split(",") if word.strip()]
    every = [*parts("monitor"), *parts("server")]
    unknown = set(words) - {part.name for part in every} - {"monitor", "server"}
    if unknown:
        parser.error(f"--only has {', '.join(sorted(unknown))}, which is no broken part")
    wanted = [part for part in every if not words or {part.name, part.kind} & set(words)]
    began = time.monotonic()
    rows: list[Row] = []
    console = Console(width=None if sys.stdout.isatty() else 160)
    with tempfile.TemporaryDirectory(prefix="broken-") as temporary:
        folder = options.run.resolve() if options.run else Path(temporary)
        try:
            for kind, judge in (("server", _servers), ("monitor", _monitors)):
                mine = [part for part in wanted if part.kind == kind]
                if kind == "server" and options.short and not words:
                    mine = _one_for_each_break(mine)
                if mine:
                    rows += judge(mine, folder / kind, whole=not options.short, jobs=options.jobs)
        except (Failed, OSError, ValueError) as error:
            print(f"tests.broken: {error}", file=sys.stderr)
            return 2
    console.print(_table(rows))
    for row in rows:
        if row.wrong:
            console.print(f"{row.part.name}: {row.wrong}", markup=False, soft_wrap=True)
    seconds = time.monotonic() - began
    wrong = sum(1 for row in rows if row.wrong)
    console.print(f"{len(rows)} parts, {wrong} wrong, in {seconds:.0f} s")
    if options.page:
        before = options.page.read_text() if options.page.exists() else ""
        options.page.write_text(_page(rows, before))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
