"""The text of each panel of the live screen: pure functions of the state, the view and the time.

Nothing is told by colour alone, so the screen also works without colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from rich.text import Text

from monitor.decisions.machine import State

from .place import Reply
from .rows import ago, monitor_says, release
from .ticks import Ticks
from .view import View

# Colours that people with the common colour vision deficiencies can tell apart (Okabe and Ito).
_COLOURS = ("#56b4e9", "#e69f00", "#009e73", "#f0e442", "#cc79a7", "#d55e00")
_GOOD, _BAD = "#009e73", "bold #d55e00"
_STATES = (State.IDLE, State.CHECK, State.PULL, State.VERIFY, State.STAGE, State.SWAP)
# How long a state stays lit, because most states take only milliseconds.
_LIT_S, _WORK_LIT_S = 0.5, 3.0


def colour_of(number: int) -> str:
    """Return the colour of a release."""
    return _COLOURS[number % len(_COLOURS)] if number else _BAD


def named(number: int, text: str = "") -> Text:
    """Return the name of a release in its colour."""
    return Text(text or release(number), style=colour_of(number))


def remote_panel(state: Reply, view: View) -> Text:
    """Return what the remote announces, and what is broken."""
    if not state["ready"]:
        return Text("starts …")
    said = str(state["announces"])
    answers = not said.startswith("no answer")
    text = Text("announces " if answers else "")
    text.append(said, "bold" if answers else _BAD)
    newest = view.newest
    if newest and newest.bad and said == f"release {newest.number}":
        text.append(f" (bad: {newest.bad})", _BAD)
    text.append("\n")
    broken = state["broken"]
    if broken:
        faults = ", ".join(str(one["fault"]) for one in broken)
        text.append(f"BROKEN: {faults}", _BAD)
    else:
        text.append(str(state["url"]))
    return text


def server_panel(state: Reply, view: View, ticks: Optional[Ticks], now: float) -> Text:
    """Return the live release, and the server's last ticks."""
    if not state["ready"]:
        return Text("starts …")
    text = Text("live: ")
    text.append_text(named(view.live))
    text.append(f", swapped {ago(view.swapped, now)}\n")
    if state["parts"]["server"] != "runs":
        text.append(str(state["parts"]["server"]), _BAD)
        return text
    text.append("ticks ")
    for loaded in ticks.recent if ticks else ():
        text.append("R" if loaded else "·", _GOOD if loaded else "")
    return text


def monitor_panel(state: Reply, view: View, now: float) -> Text:
    """Return the monitor's state machine with the lit states, and its last line."""
    text = Text()
    for one in _STATES:
        if text:
            text.append(" ")
        entered = view.entered.get(one)
        current = one is view.monitor_state
        if current:
            text.append(f"[{one.name}]", "bold reverse")
        elif entered is not None and now - entered < (
            _LIT_S if one is State.CHECK else _WORK_LIT_S
        ):
            text.append(f"[{one.name}]", "bold")
        else:
            text.append(f" {one.name} ", "dim")
    text.append("\n")
    if not state["ready"]:
        text.append("starts …")
    elif state["parts"]["monitor"] != "runs":
        text.append(str(state["parts"]["monitor"]), _BAD)
    else:
        text.append(monitor_says(view.monitor_line))
    return text


def chart(view: View, now: float, width: int, height: int) -> Text:
    """Return the predictions of the probe over time; each mark is the release's last digit.

    Args:
        view: What the history shows.
        now: The time at the right edge. A column is one second.
        width: How many columns there are, labels included.
        height: How many rows there are.
    """
    label = 9
    columns = max(1, width - label)
    seconds: list[Optional[tuple[float, int]]] = [None] * columns
    failed = [False] * columns
    for client in view.clients.values():
        for answer in client.answers:
            column = columns - 1 - int(now - answer.t)
            if 0 <= column < columns:
                seconds[column] = (answer.value, answer.release)
        for t in client.failures:
            column = columns - 1 - int(now - t)
            if 0 <= column < columns:
                failed[column] = True
    values = [one[0] for one in seconds if one]
    low, high = (min(values), max(values)) if values else (0.0, 0.0)
    span = high - low
    rows = height - 1
    text = Text()
    for row in range(rows):
        # The top row is the highest value.
        level = high - span * row / max(1, rows - 1)
        shown = values and (span or row == rows // 2)
        text.append(f"{level:7.3f} " if shown else " " * 8, "dim")
        text.append("│", "dim")
        for one in seconds:
            if one and _row_of(one[0], low, span, rows) == row:
                text.append(_mark(one[1]), colour_of(one[1]))
            else:
                text.append(" ")
        text.append("\n")
    text.append(" failed ".rjust(8), "dim")
    text.append("│", "dim")
    for lost in failed:
        text.append("x" if lost else "·", _BAD if lost else "dim")
    return text


def _row_of(value: float, low: float, span: float, rows: int) -> int:
    if not span:
        return rows // 2
    return round((rows - 1) * (1 - (value - low) / span))


def _mark(number: int) -> str:
    return str(number % 10) if number else "?"


def clients_panel(view: View, now: float) -> Text:
    """Return the last answer to each client, and the load."""
    text = Text()
    for name, client in sorted(view.clients.items()):
        text.append(f"{name:5}")
        if client.last:
            text.append(f"{client.last.value:9.4f}  ")
            text.append_text(named(client.last.release))
        text.append("\n")
    text.append(f"{view.rate(now):5.1f} requests/s, {view.asked:,} in all\n")
    text.append(f"{view.failed} failed", _BAD if view.failed else _GOOD)
    return text


def happened(lines: Sequence[str], height: int) -> Text:
    """Return the last lines of what happened."""
    return Text("\n".join(lines[-height:] if height else ()))


def cropped(text: Text, width: int) -> Text:
    """Return the text with each line cut to a width, so that no line takes two rows."""
    lines = text.split("\n", allow_blank=True)
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Text("\n").join(lines)
