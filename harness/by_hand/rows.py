"""The rows of ``status``: what each part does now, in words."""

from __future__ import annotations

import re

from .place import Reply
from .view import View

_TIME_AND_PLACE = re.compile(r"^\S+ \S+ +([A-Z]+) +\[[^]]*\] +")


def rows(state: Reply, view: View, now: float) -> list[tuple[str, str]]:
    """Return a title and a text for each row.

    Args:
        state: The supervisor's reply to ``status`` with ``announced``.
        view: What the history shows.
        now: The time, as in the history.
    """
    parts = state["parts"]
    newest = view.newest
    published = f"; published last: {newest.label}, {ago(newest.t, now)}" if newest else ""
    found = [
        ("remote", f"{state['url']} {parts['remote']}; announces {state['announces']}{published}"),
        ("producer", parts["producer"]),
        ("monitor", f"{parts['monitor']}; says: {monitor_says(view.monitor_line)}"),
        ("live", f"{release(view.live)}, swapped in {ago(view.swapped, now)}"),
        ("server", f"port {state['port']}, {parts['server']}; {_reload(view, now)}"),
    ]
    for name, client in view.clients.items():
        text = f"{client.asked} requests, {client.failed} failed"
        if client.last:
            answer = client.last
            text = (
                f"{answer.value:.4f} from {release(answer.release)}, {ago(answer.t, now)}; {text}"
            )
        found.append((f"{name} client", text))
    broken = [f"{one['fault']}, since {now - one['since']:.0f} s" for one in state["broken"]]
    found.append(("broken", "; ".join(broken) or "nothing"))
    return found


def release(number: int) -> str:
    """Return what people call a release; 0 is none."""
    return f"release {number}" if number else "no known release"


def monitor_says(line: str) -> str:
    """Return a line of the monitor's log without its time and place."""
    return _TIME_AND_PLACE.sub("", line) or "nothing yet"


def _reload(view: View, now: float) -> str:
    if view.reloading:
        return "reloads now"
    return f"reloaded {ago(view.loaded, now)}" if view.loaded else "has the first release"


def ago(t: float, now: float) -> str:
    """Return how long ago a time is."""
    return f"{max(0.0, now - t):.1f} s ago"
