"""Turns the facts of a leg into figures of Plotly: plain values for JSON.

Points are reduced here, so that a page stays small however long the run was.
"""

from __future__ import annotations

from html import escape
from typing import Any, Optional

import numpy

from harness.checker.predictions import Floats, Positions
from harness.report import latency
from harness.report.moments import WAITS

from . import colors
from .facts import LegFacts
from .lanes import FAILURE, NOTE, Lane

Figure = dict[str, Any]
# The most points of a client in the latency chart; two a slice of time.
MAX_POINTS = 1200
# The most releases that the waterfall draws. If there are more, it draws the last ones.
MAX_RELEASES = 40
_LANE_PX = 36
_LEFT_PX = 104
# The share of the run that a shaded time needs for its label.
_LABEL = 1 / 8


def _layout(height: int, **more: Any) -> dict[str, Any]:
    """Return what all charts share. Colours of axes and text come from the page's style sheet."""
    return {
        "height": height,
        "margin": {"l": _LEFT_PX, "r": 12, "t": 28, "b": 44},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 12},
        "hoverlabel": {"align": "left"},
        "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        **more,
    }


def _seconds(leg: LegFacts) -> dict[str, Any]:
    return {
        "title": {"text": "seconds from the start of the run", "standoff": 8},
        "range": [round(leg.shown_since, 3), round(leg.end, 3)],
        "zeroline": False,
    }


def timeline(leg: LegFacts) -> Figure:
    """Return the lanes of a leg with releases as bars, faults shaded, failures as crosses."""
    names = [escape(lane.name) for lane in leg.lanes]
    releases = sorted(
        {span.release for lane in leg.lanes for span in lane.spans},
        key=lambda release: -1 if release is None else release,
    )
    traces = [_bars(leg, release) for release in releases]
    traces += [
        _marks(leg.lanes, FAILURE, "failed", {"symbol": "x", "size": 9, "color": colors.BAD}),
        _marks(leg.lanes, NOTE, "noted", {"symbol": "diamond", "size": 8, "color": "#ffffff"}),
    ]
    return {
        "data": [trace for trace in traces if trace["x"]],
        "layout": _layout(
            28 + 44 + _LANE_PX * len(names),
            barmode="overlay",
            bargap=0.25,
            showlegend=False,
            uniformtext={"minsize": 9, "mode": "hide"},
            xaxis=_seconds(leg),
            yaxis={
                "categoryorder": "array",
                "categoryarray": names,
                "autorange": "reversed",
                "fixedrange": True,
                "type": "category",
            },
            shapes=_shades(leg),
        ),
    }


def _bars(leg: LegFacts, release: Optional[int]) -> dict[str, Any]:
    color, text_color = colors.of_release(release)
    trace: dict[str, Any] = {
        "type": "bar",
        "orientation": "h",
        "name": "no or several releases" if release is None else f"release {release}",
        **{key: [] for key in ("x", "base", "y", "text", "hovertext")},
        "hoverinfo": "text",
        "textposition": "inside",
        "insidetextanchor": "middle",
        "textangle": 0,
        "textfont": {"color": text_color},
        "marker": {"color": color, "line": {"width": 0.5, "color": "rgba(0,0,0,0.45)"}},
    }
    for lane in leg.lanes:
        for span in lane.spans:
            if span.release == release:
                trace["x"].append(round(max(span.end - span.begin, 0.001), 3))
                trace["base"].append(round(span.begin, 3))
                trace["y"].append(escape(lane.name))
                trace["text"].append("" if release is None else str(release))
                trace["hovertext"].append(
                    f"<b>{escape(lane.name)}</b>: {escape(span.text)}<br>{span.begin:.2f} s to "
                    f"{span.end:.2f} s ({span.end - span.begin:.2f} s)"
                )
    return trace


def _marks(lanes: tuple[Lane, ...], kind: str, name: str, marker: dict[str, Any]) -> dict[str, Any]:
    found = [(lane, mark) for lane in lanes for mark in lane.marks if mark.kind == kind]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [round(mark.t, 3) for _, mark in found],
        "y": [escape(lane.name) for lane, _ in found],
        "hovertext": [f"{escape(mark.text[:300])}<br>at {mark.t:.2f} s" for _, mark in found],
        "hoverinfo": "text",
        "marker": {**marker, "line": {"width": 1, "color": "#000000"}},
    }


def _shades(leg: LegFacts) -> list[dict[str, Any]]:
    """Return a rectangle for each fault and outage. The narrow ones have no label."""
    found = []
    for shade in leg.shades:
        shape: dict[str, Any] = {
            **{"type": "rect", "xref": "x", "yref": "paper", "y0": 0, "y1": 1, "layer": "below"},
            **{"x0": round(shade.begin, 3), "x1": round(shade.end, 3)},
            **{"fillcolor": colors.BAD, "opacity": 0.22, "line": {"width": 0}},
        }
        if shade.end - shade.begin > leg.end * _LABEL:
            # The page lists the whole texts.
            text = shade.text if len(shade.text) <= 24 else f"{shade.text[:22]} …"
            label = {"text": escape(text), "textposition": "top left", "font": {"size": 10}}
            shape["label"] = label
        found.append(shape)
    return found


def latency_over_time(leg: LegFacts) -> Figure:
    """Return the latency of each client's requests over time, with the swaps marked."""
    traces = []
    for number, one in enumerate(leg.answers):
        kept = reduced(one.t, one.latency, MAX_POINTS)
        color = colors.of_client(number)
        traces.append(_requests(one.t[kept], one.latency[kept], one.client, color))
        failed = reduced(one.t[one.failed], one.latency[one.failed], MAX_POINTS // 4)
        if len(failed):
            t, taken = one.t[one.failed][failed], one.latency[one.failed][failed]
            trace = _requests(t, taken, f"{one.client}, failed", colors.BAD)
            trace["marker"].update(symbol="x", size=8)
            traces.append(trace)
    shapes = _shades(leg)
    shapes += [_swap(t, release) for t, release in leg.reloads[-MAX_RELEASES * 3 :]]
    return {
        "data": traces,
        "layout": _layout(
            330,
            xaxis=_seconds(leg),
            yaxis={
                "title": {"text": "latency (ms)"},
                "type": "log",
                "fixedrange": True,
                "nticks": 6,
            },
            shapes=shapes,
        ),
    }


def _requests(t: Floats, seconds: Floats, name: str, color: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": escape(name),
        "x": [round(float(one), 3) for one in t],
        # A log axis has no zero.
        "y": [round(max(float(one) * 1000, 0.001), 3) for one in seconds],
        "hovertemplate": "%{y:.2f} ms, planned at %{x:.2f} s",
        "marker": {"color": color, "size": 4, "opacity": 0.7},
    }


def _swap(t: float, release: Optional[int]) -> dict[str, Any]:
    return {
        **{"type": "line", "xref": "x", "yref": "paper", "y0": 0, "y1": 1, "layer": "below"},
        **{"x0": round(t, 3), "x1": round(t, 3)},
        "line": {"width": 2, "dash": "dot", "color": colors.of_release(release)[0]},
        "label": {
            "text": "" if release is None else f"→ {release}",
            "textposition": "end",
            "textangle": 0,
            "yanchor": "top",
            "font": {"size": 11},
        },
    }


def reduced(t: Floats, values: Floats, most: int) -> Positions:
    """Return the positions of at most ``most`` points: of each slice the smallest and largest."""
    if len(t) <= most:
        return numpy.arange(len(t))
    slices = ((t - t[0]) / max(float(t[-1] - t[0]), 1e-9) * (most // 2 - 1)).astype(int)
    order = numpy.lexsort((values, slices))
    first = numpy.flatnonzero(numpy.diff(slices[order], prepend=-1))
    last = numpy.append(first[1:], len(order)) - 1
    kept: Positions = numpy.unique(numpy.concatenate((order[first], order[last])))
    return kept


def percentiles(leg: LegFacts) -> Figure:
    """Return latency by percentile, inside and outside swap windows, from the HDR histograms."""
    clients = list(dict.fromkeys(one.client for one in leg.latencies))
    traces = []
    for one in leg.latencies:
        if one.name == latency.LAG or not len(one.seconds):
            continue
        points = latency.curve(one.seconds)
        inside = one.name == latency.SWAP
        where = "near a swap" if inside else "otherwise"
        color = colors.of_client(clients.index(one.client))
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"{escape(one.client)}, {where}",
                "x": [round(1 / (1 - share), 3) for share, _ in points],
                "y": [round(ms, 3) for _, ms in points],
                "text": [f"{share * 100:.4g} %" for share, _ in points],
                "hovertemplate": "%{text} of requests took at most %{y:.2f} ms",
                "line": {"color": color, "width": 2, "dash": "dot" if inside else "solid"},
            }
        )
    shares = (0, 0.9, 0.99, 0.999, 0.9999, 0.99999)
    return {
        "data": traces,
        "layout": _layout(
            330,
            xaxis={
                "type": "log",
                "title": {"text": "share of requests", "standoff": 8},
                "tickvals": [round(1 / (1 - share), 3) for share in shares],
                "ticktext": ["0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"],
                "zeroline": False,
            },
            yaxis={"title": {"text": "latency (ms)"}, "type": "log", "nticks": 6},
        ),
    }


def waterfall(leg: LegFacts) -> Figure:
    """Return a bar for each release: the phases from its publishing to the last client."""
    chosen = [one for one in leg.moments if not one.at_start and one.phases][-MAX_RELEASES:]
    names = list(dict.fromkeys(phase.name for one in chosen for phase in one.phases))
    traces = []
    merged = 0
    for name in names:
        color = colors.of_phase(name, merged)
        merged += name not in colors.PHASES
        phases = {
            one.release: phase for one in chosen for phase in one.phases if phase.name == name
        }
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": name,
                "x": [round(phase.seconds, 3) for phase in phases.values()],
                "y": [f"release {release}" for release in phases],
                "hovertext": [
                    f"<b>release {release}</b>: {name}<br>{phase.seconds:.3f} s"
                    + (f", {phase.share:.0%} of the wait" if phase.share else "")
                    for release, phase in phases.items()
                ],
                "hoverinfo": "text",
                "text": [f"{phase.share:.0%}" if phase.share else "" for phase in phases.values()],
                "textposition": "inside",
                "insidetextanchor": "middle",
                "textangle": 0,
                "textfont": {"color": "#ffffff" if color in ("#0072b2", "#00507d") else "#000000"},
                "marker": {
                    "color": color,
                    # Waits are hatched, so that a reader does not need the colour. The colour also
                    # fills the gaps between the lines, so that the share is readable there.
                    "pattern": {
                        "shape": "/" if name in WAITS else "",
                        "fillmode": "overlay",
                        "fgcolor": "#ffffff",
                    },
                    "line": {"width": 0.5, "color": "rgba(0,0,0,0.45)"},
                },
            }
        )
    first = [
        (one.release, client, t - one.at["published"])
        for one in chosen
        for client, t in one.answered.items()
        if t is not None
    ]
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "first answer to a client",
            "x": [round(seconds, 3) for _, _, seconds in first],
            "y": [f"release {release}" for release, _, _ in first],
            "hovertext": [f"{escape(client)}: {s:.3f} s" for _, client, s in first],
            "hoverinfo": "text",
            "marker": {
                "symbol": "line-ns-open",
                "size": 16,
                "color": colors.BAD,
                "line": {"width": 2},
            },
        }
    )
    return {
        "data": [trace for trace in traces if trace["x"]],
        "layout": _layout(
            130 + 30 * max(len(chosen), 1),
            barmode="stack",
            uniformtext={"minsize": 9, "mode": "hide"},
            xaxis={"title": {"text": "seconds from the end of publishing", "standoff": 8}},
            yaxis={"autorange": "reversed", "type": "category", "fixedrange": True},
        ),
    }
