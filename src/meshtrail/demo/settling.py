"""Waits until everything that happened is in the log: reported by each Envoy, received, sealed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from meshtrail.demo.envoy import count_records_sent
from meshtrail.demo.sidecar import DOORS
from meshtrail.demo.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshtrail.demo.envoy import Envoy
    from meshtrail.demo.shell import Shell

SETTLE_S_MAX: Final = 60.0
_LOOK_S: Final = 0.1
COUNT_RECORDS: Final = (
    "meshtrail search --sql \"SELECT count(*) FILTER (payload_format IN ('als-http', 'als-tcp', "
    "'otlp-log')) AS records, count(*) FILTER (kind = 'span') AS spans, "
    "count(*) FILTER (kind = 'handshake') AS handshakes FROM events\""
)
"""How many of what the Envoys send is in the log, and how many failed handshakes are among it."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What the Envoys counted, once all of it was in the log.

    Attributes:
        flushed_count: access log records that they sent.
        spans_count: spans that they sent.
        dropped_count: records that they say they could not send.
    """

    flushed_count: int
    spans_count: int
    dropped_count: int


def wait_until_settled(
    sidecars: Iterable[Envoy], shell: Shell, *, handshakes_count: int
) -> Settled:
    """Return once the log holds every record of every sidecar.

    Args:
        sidecars: after the last request was answered.
        shell: to ask the log with.
        handshakes_count: failed handshakes that must be among the records: a client knows of its
            failure before Envoy has ended the connection, and reports it.

    Raises:
        UnavailableError: it does not come to that.
    """
    envoys = list(sidecars)
    for envoy in envoys:
        wait_until(
            partial(_has_sent_all, envoy),
            f"envoy {envoy.name} has sent all its records",
            seconds_max=SETTLE_S_MAX,
            poll_s=_LOOK_S,
        )

    def is_sealed() -> bool:
        settled = _count(envoys)
        found = json.loads(shell.ask(f"{COUNT_RECORDS} --json").text)
        return bool(
            found["records"] >= settled.flushed_count
            and found["spans"] >= settled.spans_count
            and found["handshakes"] >= handshakes_count
        )

    wait_until(is_sealed, "the log holds every record", seconds_max=SETTLE_S_MAX)
    return _count(envoys)


def _count(envoys: list[Envoy]) -> Settled:
    return Settled(
        flushed_count=sum(envoy.records_flushed() for envoy in envoys),
        spans_count=sum(envoy.spans_sent() for envoy in envoys),
        dropped_count=sum(envoy.records_dropped() for envoy in envoys),
    )


def _has_sent_all(envoy: Envoy) -> bool:
    return is_flushed(envoy.counters())


def is_flushed(counters: Mapping[str, int]) -> bool:
    """Whether an Envoy has sent a record of all that it has to report.

    Requests count from their beginning, so that one whose record is still to come is waited for.
    """
    requests = sum(counters.get(f"http.{name}.downstream_rq_total", 0) for name in DOORS)
    connections = sum(counters.get(f"listener.{name}.downstream_cx_destroy", 0) for name in DOORS)
    return count_records_sent(counters) >= requests + connections
