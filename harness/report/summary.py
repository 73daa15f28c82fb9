"""The table and the verdict of a run, for a terminal.

One table has a row for each release of each remote. It says when the release was published, pulled,
swapped in, reloaded, and first served to each client. It also says how many requests were sent, and
how many failed, until the next release. Seconds count from the end of the release's publishing
("+1.3"), the publishing itself from the start of the run.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.checker.leg_history import LegHistory
from harness.checker.outcome import Claim, Outcome
from harness.checker.run_history import RunHistory
from harness.checker.verdict import Verdict

from . import rollout
from .moments import moments, pull_of


@dataclass(frozen=True)
class Row:
    """One release of one remote; every time is in seconds, or None if the event was not seen.

    ``at_start``: installed before the server started (``--once``), so never hot-loaded.
    """

    # The leg.
    remote: str
    # The release's number.
    release: int
    # When the upload had ended.
    published: float
    # When the monitor had pulled it.
    pulled: Optional[float]
    # When it became live.
    swapped: Optional[float]
    # When the server had loaded it.
    reloaded: Optional[float]
    # When each client first got it.
    first_served: dict[str, Optional[float]]
    # How many requests were sent while it was the newest.
    sent: int
    # How many of these requests failed.
    failed: int
    at_start: bool


def rows(run: RunHistory) -> list[Row]:
    """The table's rows, in the order in which the releases were published."""
    return [
        _row(leg, index, run.begin)
        for leg in run.legs.values()
        for index in range(len(leg.published))
    ]


def _row(leg: LegHistory, index: int, begin: float) -> Row:
    found = moments(leg, index)
    done = found.at["published"]
    following = leg.published[index + 1 :]
    until = float(following[0]["t_end"]) if following else float("inf")
    sent, failed = leg.predictions.sent_between(done, until)
    swap = found.at.get("swapped")
    pull = None if swap is None else pull_of(leg, index, swap)

    def after(t: Optional[float]) -> Optional[float]:
        return None if t is None else round(t - done, 3)

    return Row(
        remote=leg.remote,
        release=found.release,
        published=round(done - begin, 3),
        pulled=after(pull),
        swapped=after(swap),
        reloaded=after(found.at.get("tick")),
        first_served={client: after(t) for client, t in found.answered.items()},
        sent=sent,
        failed=failed,
        at_start=found.at_start,
    )


def _cells(row: Row, clients: Sequence[str]) -> list[str]:
    def cell(value: Optional[float]) -> str:
        return "–" if value is None else f"{value:+.2f}" if value < 10 else f"{value:+.1f}"

    return [
        row.remote,
        str(row.release),
        f"{row.published:.1f}",
        "--once" if row.at_start else cell(row.pulled),
        cell(row.swapped),
        "start" if row.at_start else cell(row.reloaded),
        *(cell(row.first_served.get(client)) for client in clients),
        str(row.sent),
        str(row.failed),
    ]


# The heads are short, so that the table fits 80 columns. The caption explains them.
_CAPTION = (
    "published: seconds from the start of the run; then seconds from there to the pull, the swap, "
    "the reload and the first answer to each client; requests sent until the next release, and "
    "how many of them failed"
)


# On a narrower terminal rich cuts the table's cells.
_TABLE_COLUMNS = 78


def _heads(clients: Sequence[str]) -> list[str]:
    return ["remote", "rel", "publ.", "pull", "swap", "reload", *clients, "sent", "failed"]


def _clients(table: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(client for row in table for client in row.first_served))


def verdict_line(verdict: Verdict) -> str:
    """Return the outcome, a line for each broken claim, and the claims that cannot be judged."""
    broken, unknown, left_out = verdict.broken, verdict.unknown, verdict.left_out
    total = len(verdict.claims) - len(left_out)
    without = _one_line_a_reason("not judged", left_out)
    if verdict.outcome is Outcome.VALID:
        return "\n  ".join([f"VALID: all {total} claims hold.", *without])
    counts = []
    if broken:
        counts.append(f"{len(broken)} of {total} claims do not hold")
    if unknown:
        counts.append(f"{len(unknown)} {'' if broken else f'of {total} claims '}cannot be judged")
    lines = [_short(f"{claim.remote}: {claim.name}: {claim.why}", 300) for claim in broken]
    lines += [*_one_line_a_reason("cannot be judged", unknown), *without]
    return f"{verdict.outcome.name}: {', '.join(counts)}:\n  " + "\n  ".join(lines)


def _one_line_a_reason(what: str, claims: Sequence[Claim]) -> list[str]:
    """Return one line for each reason: a leg that was cut short has one for many claims."""
    lines = []
    for remote, why in dict.fromkeys((claim.remote, claim.why) for claim in claims):
        names = [claim.name for claim in claims if (claim.remote, claim.why) == (remote, why)]
        lines.append(f"{remote}: {what}: {', '.join(names)} ({_short(why, 200)})")
    return lines


def _short(text: str, width: int) -> str:
    return textwrap.shorten(text, width, placeholder=" …")


def print_report(console: Console, table: Sequence[Row], verdict: Verdict, serving: str) -> None:
    """Print the table, the serving binary and the verdict to a terminal.

    On a narrow terminal each row becomes a short list.
    """
    if console.width < _TABLE_COLUMNS:
        _print_list(console, table, serving)
    else:
        _print_table(console, table, serving)
    for line in rollout.lines(rollout.rollouts(table)):
        console.print(line, markup=False, highlight=False)
    print_verdict(console, verdict)


def print_verdict(console: Console, verdict: Verdict) -> None:
    """Print the verdict to a terminal."""
    style = {Outcome.VALID: "bold green", Outcome.INVALID: "bold red"}.get(verdict.outcome, "bold")
    wide = console.width >= _TABLE_COLUMNS
    console.print(verdict_line(verdict), style=style, markup=False, soft_wrap=wide)


def _print_list(console: Console, table: Sequence[Row], serving: str) -> None:
    clients = _clients(table)
    lines = [f"served by {serving}", ""]
    for row in table:
        # The same words and figures as in the table.
        _, _, published, pull, swap, reload, *first, sent, failed = _cells(row, clients)
        served = ", ".join(f"{client} {t}" for client, t in zip(clients, first))
        lines += [f"{row.remote} release {row.release}", f"  publ. {published}"]
        lines += [f"  pull {pull}, swap {swap}", f"  reload {reload}", f"  {served}"]
        lines += [f"  sent {sent}, failed {failed}", ""]
    for line in (*lines, _CAPTION):
        console.print(line, markup=False, highlight=False)


def _print_table(console: Console, table: Sequence[Row], serving: str) -> None:
    clients = _clients(table)
    # Text: a path may hold what rich takes for markup.
    title = Text(f"served by {serving}", overflow="fold")
    sheet = Table(
        title=title, caption=_CAPTION, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False
    )
    sheet.title_justify = sheet.caption_justify = "left"
    for number, head in enumerate(_heads(clients)):
        sheet.add_column(head, justify="left" if number == 0 else "right", no_wrap=True)
    for before, row in zip([None, *table], table):
        if before is not None and before.remote != row.remote:
            sheet.add_section()
        sheet.add_row(*_cells(row, clients))
    console.print(sheet)
