"""What the serve process counts of its own work; see docs/metrics.md."""

from __future__ import annotations

import platform
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class ServeMetrics:
    """Counters of one process. Used from the event loop."""

    def __init__(self, *, version: str) -> None:
        # A second series beside each counter, with the time of its first use: nobody asks for it.
        disable_created_metrics()  # type: ignore[no-untyped-call] # prometheus-client's omission
        self.registry = CollectorRegistry()

        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(f"meshtrail_{name}", about, labels, registry=self.registry)

        def gauge(name: str, about: str, *labels: str) -> Gauge:
            return Gauge(f"meshtrail_{name}", about, labels, registry=self.registry)

        build = gauge("build_info", "1, with what runs here in its labels.", "version", "python")
        build.labels(version, platform.python_version()).set(1)
        self.requests = counter(
            "http_requests", "Requests that were answered, or whose client went.", "route", "status"
        )
        self.errors = counter(
            "errors", "Requests that ended with an error, by its name in the error tree.", "error"
        )
        self.readers_cut = counter(
            "http_readers_cut", "Answers that were cut off, by why.", "reason"
        )
        self.searches = counter("searches", "Searches that are over, by how.", "outcome")
        self.search_seconds = Histogram(
            "meshtrail_search_seconds",
            "Seconds from the request of a search to its last row.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.searches_running = gauge("searches_running", "Searches that run now.")
        self.searches_waiting = gauge("searches_waiting", "Searches that wait for their turn.")
        self.tails_open = gauge("tails_open", "Live tails that are open now.")
        self.tail_events = counter("tail_events", "Events that were sent to live tails.")
        self.tails_ended = counter("tails_ended", "Live tails that are over, by why.", "reason")
