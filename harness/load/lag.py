"""The lag of a load generator: how late a client sends, and the CPU time of its process."""

from __future__ import annotations

import math
import time
from array import array

import numpy

from harness.checker.latency import quantile


class Lag:
    """Collects the lag of one client, for the event ``client_ended``.

    A request counts only if the client was free at its planned time: then the load generator, not
    the server, causes the lag.
    """

    def __init__(self) -> None:
        self._lags = array("d")
        self._answered = -math.inf
        self._cpu_s = time.process_time()

    def add(self, *, planned: float, sent: float, answered: float) -> None:
        """Add the client's next request. Times are seconds of the client's clock."""
        if self._answered <= planned:
            self._lags.append(sent - planned)
        self._answered = answered

    def as_json(self) -> dict[str, object]:
        """Return the number of samples, quantiles and maximum in seconds, and the CPU time.

        A quantile with too few samples beyond it is None. The CPU time is that of the process.
        """
        lags = numpy.array(self._lags)
        told = {f"p{100 * share:g}_s": quantile(lags, share) for share in (0.5, 0.99)}
        return {
            "samples": len(lags),
            **{name: None if math.isnan(value) else value for name, value in told.items()},
            "max_s": float(lags.max()) if len(lags) else None,
            "cpu_s": time.process_time() - self._cpu_s,
        }
