"""The latency part of a report: a table of quantiles, and HDR histograms as ``.hgrm`` files.

If a quantile has fewer than ten samples beyond it, its cell has a dash, and the histogram file ends
before it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy
from hdrh.histogram import HdrHistogram

from harness.checker.history import Event
from harness.checker.latency import MIN_BEYOND, quantile, samples
from harness.checker.predictions import Floats
from harness.checker.run_history import sort

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
# Microseconds: a histogram counts whole numbers up to an hour, with three digits.
_MAX_US = 3_600_000_000
_DIGITS = 3


@dataclass(frozen=True)
class Measured:
    """One kind of sample of one client. ``name`` is also the name of the histogram's file."""

    remote: str
    client: str
    name: str
    seconds: Floats

    @property
    def quantiles_ms(self) -> dict[str, Optional[float]]:
        """Return each of ``QUANTILES`` in milliseconds; None if too few samples are beyond it."""
        found = {name: quantile(self.seconds, share) for name, share in QUANTILES.items()}
        return {
            name: None if numpy.isnan(value) else round(value * 1000, 3)
            for name, value in found.items()
        }

    def as_json(self) -> dict[str, object]:
        """Return the row of the JSON report."""
        return {
            "remote": self.remote,
            "client": self.client,
            "what": self.name,
            "samples": len(self.seconds),
            "quantiles_ms": self.quantiles_ms,
        }


def measured(events: Iterable[Event]) -> list[Measured]:
    """Return latencies in swap windows and outside, and the load generator's lag, by client."""
    return [
        Measured(leg.remote, client, name, seconds)
        for leg in sort(events).legs.values()
        for client, one in samples(leg).items()
        for name, seconds in (
            ("latency-swap", one.latency[one.in_swap]),
            ("latency-outside", one.latency[~one.in_swap]),
            ("lag", one.lag[~numpy.isnan(one.lag)]),
        )
    ]


def markdown(rows: Sequence[Measured]) -> Iterator[str]:
    """Give the lines of the table; none without rows."""
    if not rows:
        return
    yield from ("", "## Latency from the planned time, in ms", "")
    yield "| remote | client | what | samples | " + " | ".join(QUANTILES) + " |"
    yield "| --- " * (4 + len(QUANTILES)) + "|"
    for row in rows:
        cells = ["–" if value is None else f"{value:.2f}" for value in row.quantiles_ms.values()]
        words = [row.remote, row.client, row.name, str(len(row.seconds)), *cells]
        yield "| " + " | ".join(words) + " |"
    yield ""
    yield f"(–: fewer than {MIN_BEYOND} samples beyond it. docs/history.md says what is compared.)"


def write_histograms(folder: Path, rows: Sequence[Measured]) -> None:
    """Write ``<remote>/<what>-<client>.hgrm`` for each row, in microseconds."""
    for row in rows:
        path = folder / row.remote / f"{row.name}-{row.client}.hgrm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(percentiles(row.seconds))


def percentiles(seconds: Floats) -> str:
    """Return the HDR histogram's percentile text in microseconds.

    The lines of percentiles with fewer than ``MIN_BEYOND`` samples beyond are left out.
    """
    histogram = HdrHistogram(1, _MAX_US, _DIGITS)
    for value in seconds:
        histogram.record_value(min(max(int(value * 1e6), 1), _MAX_US))
    text = io.BytesIO()
    histogram.output_percentile_distribution(text, 1)
    kept = []
    for line in text.getvalue().decode().splitlines():
        words = line.split()
        is_percentile = bool(words) and words[0][0].isdigit()
        if not is_percentile or len(seconds) * (1 - float(words[1])) >= MIN_BEYOND - 1e-9:
            kept.append(line)
    return "\n".join(kept) + "\n"
