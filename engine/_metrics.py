"""Prometheus metrics on a port of their own (``--enable_prometheus --prometheus_port``).

The names are those of Paddle Serving's documentation ("Prometheus").
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ._batcher import Counters


class MetricsPort:
    """Serves ``/metrics`` from a thread. Raises ``OSError`` when the port is taken."""

    def __init__(self, host: str, port: int, counters: Counters) -> None:
        from prometheus_client import CollectorRegistry, start_http_server

        registry = CollectorRegistry()
        registry.register(_Collector(counters))
        self._server, self._thread = start_http_server(port, addr=host, registry=registry)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Collector:
    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily

        counters = self._counters
        for name, meaning, value in (
            (
                "pd_query_request_success",
                "Number of successful query requests",
                counters.succeeded,
            ),
            ("pd_query_request_failure", "Number of failed query requests", counters.failed),
            ("pd_inference_count", "Number of inferences performed", counters.inferences),
            (
                "pd_query_request_duration_us",
                "Cumulative end-to-end query request handling time",
                int(counters.seconds * 1e6),
            ),
            (
                "pd_inference_duration_us",
                "Cumulative time requests spend executing the inference model",
                int(counters.inference_seconds * 1e6),
            ),
        ):
            yield CounterMetricFamily(name, meaning, value=value)
