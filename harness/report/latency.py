"""The latency part of a report: quantiles, and HDR histograms as ``.hgrm`` files.

A quantile with fewer than ten samples beyond it is not known, and a histogram file ends before it.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy
from hdrh.histogram import HdrHistogram

from harness.checker.latency import MIN_BEYOND, quantile, samples
from harness.checker.predictions import Floats
from harness.checker.run_history import RunHistory

# The kinds of samples, which are also the names of the histograms' files.
SWAP, OUTSIDE, LAG = "latency-swap", "latency-outside", "lag"
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
# Microseconds: a histogram counts whole numbers up to an hour, with three digits.
_MAX_US = 3_600_000_000
_DIGITS = 3


@dataclass(frozen=True)
class Measured:
    """One kind of sample of one client: ``SWAP``, ``OUTSIDE`` or ``LAG``."""

    # The leg.
    remote: str
    client: str
    # The kind of sample.
    name: str
    # The values.
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


def measured(run: RunHistory) -> list[Measured]:
    """Return latencies in swap windows and outside, and the load generator's lag, by client."""
    return [
        Measured(leg.remote, client, name, seconds)
        for leg in run.legs.values()
        for client, one in samples(leg).items()
        for name, seconds in (
            (SWAP, one.latency[one.in_swap]),
            (OUTSIDE, one.latency[~one.in_swap]),
            (LAG, one.lag[~numpy.isnan(one.lag)]),
        )
    ]


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


def curve(seconds: Floats) -> list[tuple[float, float]]:
    """Return shares, and the milliseconds that this share of the samples took at most.

    Ends before the first share with fewer than ``MIN_BEYOND`` samples beyond.
    """
    shares = 1 - numpy.geomspace(1, 1e-5, 51)
    known = shares[len(seconds) * (1 - shares) >= MIN_BEYOND - 1e-9]
    values = numpy.quantile(seconds, known) * 1000 if len(known) else known
    return list(zip(known.tolist(), values.tolist()))
