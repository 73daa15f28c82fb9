"""Judges every broken part: ``python -m tests.broken`` (``make proof``).

Each judge also gets the good part, built in the same way without a patch. Prints a table. The exit
code is 1 if a broken part was not caught, or broke something that its patch does not list. It is 1
as well if a judge found something wrong with a good part.

``--good N`` runs good parts only, N times each, and counts the false alarms. ``--good M-N`` makes
the runs M to N alone. The exit code is 1 if there is a false alarm, and 3 if a claim had no answer.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness.support.errors import Failed

from . import good, judges
from .good import Runs
from .judges import CONFORMANCE, SERVING, SLOW, Found
from .parts import PACKAGES, ROOT, Part, parts

_PAGE = """
# Broken parts that are caught

For readers who ask what a verdict is worth. Each row is the good monitor or the good server with
one small patch, from `tests/broken/`. The row names the judge that found it, and what the judge
found broken.
[testing.md](testing.md#broken-parts-that-must-be-caught) explains the judges, and how to add a row.

`python -m tests.broken --page docs/broken-parts.md` makes this page; do not edit it. With
`--good 100` the command makes the section about good parts. The command judges each
good part 100 times, and each claim found broken is a false alarm. With `--only NAMES` the command
makes the rows of these parts and of the good part, and keeps the other rows. With `--good 51-100`
it makes the rows of these runs, and keeps the rows of other runs. The column *judged* has the day
and the commit. A dash in the column *seconds* means that the run recorded no time.
"""
_GOOD_TITLE = "Good parts"
_TITLES = {kind: f"{kind.capitalize()}s" for kind in PACKAGES}
_SECTIONS = (*_TITLES.values(), _GOOD_TITLE)


@dataclass(frozen=True)
class Row:
    """One part: what its judge found, and how that differs from what its patch says."""

    # The part.
    part: Part
    # What its judge found.
    found: Found
    # What differs from what the patch says; empty if nothing does.
    wrong: str
    # The day and the commit.
    judged: str

    @property
    def seconds(self) -> str:
        """How long the judge took; a dash if its folder does not say."""
        return "–" if math.isnan(self.found.seconds) else f"{self.found.seconds:.0f}"

    @property
    def verdict(self) -> str:
        unbroken = self.part.patch is None
        return ("passed" if unbroken else "caught") if not self.wrong else "WRONG"


def _monitors(wanted: Sequence[Part], folder: Path, *, whole: bool, jobs: int) -> list[Row]:
    stamp = _stamp(folder)
    # In the short form, `make test` has run the good monitor in each of these cases.
    judged = [*([good.good("monitor", CONFORMANCE)] if whole else []), *wanted]
    # Their cases mostly wait.
    found = judges.monitors(judged, folder, jobs=4 * jobs, whole=whole)
    return [
        Row(part, one, one.against(part, whole=whole), stamp) for part, one in zip(judged, found)
    ]


def _one_for_each_break(wanted: Sequence[Part]) -> list[Part]:
    """Return the first part that breaks each claim or case; none for the judge that is slow."""
    chosen: dict[str, Part] = {}
    for part in wanted:
        for one in part.breaks if part.judge != SLOW else ():
            chosen.setdefault(one.name, part)
    return [part for part in wanted if part in chosen.values()]


def _good(kind: str, wanted: Sequence[Part]) -> list[Part]:
    """Return the good part of a kind, once for each judge of ``wanted``."""
    return [good.good(kind, judge) for judge in sorted({part.judge for part in wanted})]


def _servers(wanted: Sequence[Part], folder: Path, *, whole: bool, jobs: int) -> list[Row]:
    stamp = _stamp(folder)
    # In the short form, `make e2e` has judged the good server by the scenario ``page``.
    goods = [one for one in _good("server", wanted) if whole or one.judge == SERVING]
    judged = [*goods, *wanted]

    def row(part: Part) -> Row:
        mine = parts("server") if whole else [part] if part.patch else judged
        breaks = [p.breaks if whole else p.breaks[:1] for p in mine if p.judge == SERVING]
        only = list(dict.fromkeys(one.name for some in breaks for one in some))
        found = judges.server(part, part.judge, only, folder / part.name)
        return Row(part, found, found.against(part, whole=whole or part.judge != SERVING), stamp)

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        return list(pool.map(row, judged))


def _table(rows: Sequence[Row]) -> Table:
    table = Table(title="Broken parts")
    for column in ("part", "what is wrong with it", "judge", "it broke", "s", "verdict"):
        table.add_column(column, justify="right" if column == "s" else "left", overflow="fold")
    for row in rows:
        broken = "\n".join(row.found.broken) or "nothing"
        part = row.part
        table.add_row(part.name, part.wrong, part.judge, broken, row.seconds, row.verdict)
    return table


def _stamp(folder: Path) -> str:
    """Return the day and the commit of the first judgement in a folder of runs."""
    kept = folder / "judged.txt"
    if not kept.exists():
        asked = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        day = time.strftime("%Y-%m-%d", time.gmtime())
        folder.mkdir(parents=True, exist_ok=True)
        kept.write_text(f"{day}, commit {done.stdout.strip() or 'unknown'}\n")
    return kept.read_text().strip()


_HEAD = (
    "| part | what is wrong with it | judge | what it broke | seconds | verdict | judged |",
    "| --- | --- | --- | --- | --- | --- | --- |",
)


def _rows(kind: str, rows: Sequence[Row], before: str) -> list[str]:
    """Return the table of the broken parts of a kind, as lines of the page.

    Args:
        kind: ``monitor`` or ``server``.
        rows: The parts that were judged.
        before: The section as it is. Its row of a part stays if ``rows`` has none.
    """
    lines = {line.split("`")[1]: line for line in before.splitlines() if line.startswith("| `")}
    for row in rows:
        part, broken = row.part, ", ".join(row.found.broken) or "nothing"
        cells = (f"`{part.name}`", part.wrong, part.judge, broken, row.seconds, row.verdict)
        lines[part.name] = _line((*cells, row.judged))
    every = parts(kind)
    names = [part.name for part in (*_good(kind, every), *every)]
    return [*_HEAD, *(lines[name] for name in names if name in lines)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


_GOOD = ("pair", "judge", "runs", "false alarms", "unknown", "median s", "judged")


def _good_rows(runs: Sequence[Runs], stamp: str) -> list[tuple[str, ...]]:
    """Return the cells of the table of the good pairs."""
    return [
        (
            one.pair.name,
            one.pair.judge,
            f"{one.numbers[0]} to {one.numbers[-1]}",
            str(len(one.false_alarms)),
            str(len(one.unknown)),
            f"{one.median_s:.0f}",
            stamp,
        )
        for one in runs
    ]


def good_lines(rows: Sequence[Sequence[str]], before: str) -> list[str]:
    """Return the table of the good pairs, as lines of the page.

    Args:
        rows: The cells of the table's new rows.
        before: The section as it is. A row stays unless a new row has one of its runs.
    """

    def runs(row: Sequence[str]) -> tuple[int, int]:
        first, _, last = row[2].partition(" to ")
        return int(first), int(last)

    def overlap(one: Sequence[str], other: Sequence[str]) -> bool:
        (begin, end), (other_begin, other_end) = runs(one), runs(other)
        return one[:2] == other[:2] and begin <= other_end and other_begin <= end

    old = [line.strip("| ").split(" | ") for line in before.splitlines()[2:]]
    new = [list(row) for row in rows]
    kept = [row for row in old if not any(overlap(row, one) for one in new)]
    every = sorted([*kept, *new], key=lambda row: (row[:2], runs(row)))
    return [_line(_GOOD), _line(["---"] * len(_GOOD)), *map(_line, every)]


def _section(page: str, title: str) -> str:
    return page.partition(f"## {title}\n")[2].partition("\n## ")[0].strip()


def _page(tables: Mapping[str, Sequence[str]], before: str) -> str:
    """Return the page of the docs.

    Args:
        tables: The lines of each section, by its title.
        before: The page as it is. Its section stays if ``tables`` has none of this title.
    """
    sections = [_PAGE.strip()]
    for title in _SECTIONS:
        text = "\n".join(tables[title]) if title in tables else _section(before, title)
        sections += [f"## {title}\n\n{text}"] if text else []
    return "\n\n".join(sections) + "\n"


def write_rows(page: Path, rows: Sequence[Row]) -> None:
    """Write the rows of the broken parts into the page of the docs."""
    before = page.read_text() if page.exists() else ""
    tables = {}
    for kind in dict.fromkeys(row.part.kind for row in rows):
        mine = [row for row in rows if row.part.kind == kind]
        tables[_TITLES[kind]] = _rows(kind, mine, _section(before, _TITLES[kind]))
    page.write_text(_page(tables, before))


def _judge_good(options: argparse.Namespace, folder: Path, console: Console) -> int:
    """Judge the good parts again and again, and return the exit code."""
    stamp = _stamp(folder / "good")
    runs = good.run_all(options.good, folder / "good", jobs=options.jobs, say=console.print)
    table = Table(title="Good parts")
    for column in _GOOD:
        table.add_column(column)
    rows = _good_rows(runs, stamp)
    for cells in rows:
        table.add_row(*cells)
    console.print(table)
    alarms = [line for one in runs for line in one.false_alarms]
    unknown = [line for one in runs for line in one.unknown]
    for line in [*alarms, *unknown]:
        console.print(line, markup=False, soft_wrap=True)
    if options.page:
        before = options.page.read_text() if options.page.exists() else ""
        lines = good_lines(rows, _section(before, _GOOD_TITLE))
        options.page.write_text(_page({_GOOD_TITLE: lines}, before))
    return 1 if alarms else 3 if unknown else 0


def _numbers(text: str) -> range:
    """Return the numbers of the runs that ``N`` or ``M-N`` asks for."""
    first, dash, last = text.partition("-")
    with contextlib.suppress(ValueError):
        numbers = range(int(first), int(last) + 1) if dash else range(1, int(first) + 1)
        if numbers and numbers[0] > 0:
            return numbers
    raise argparse.ArgumentTypeError(f"{text!r} names no runs; use N, or M-N with M from 1 to N")


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
    parser.add_argument(
        "--good",
        type=_numbers,
        metavar="N",
        help="judge good parts only, N times each, or the runs M-N; runs that are in --run count",
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
            if options.good:
                return _judge_good(options, folder, console)
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
        write_rows(options.page, rows)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
