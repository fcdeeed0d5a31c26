"""Waits until everything that happened is in the log: reported by each Envoy, received, sealed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from meshtrail.correlate.counter_account import LATE_NS
from meshtrail.demo.envoy import count_records_sent
from meshtrail.demo.sidecar import DOORS
from meshtrail.demo.waiting import wait_until
from meshtrail.units import INT64_MAX

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

_COUNTED: Final = (
    "meshtrail search --sql \"SELECT reporter_cluster, max(time) FILTER (kind = 'counter') AS "
    "counted, max(end_time) FILTER (kind IN ('request', 'connection', 'handshake')) AS ended "
    'FROM events WHERE reporter_cluster IS NOT NULL GROUP BY ALL"'
)


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


def wait_until_sent(envoys: Iterable[Envoy]) -> None:
    """Return once Envoys have sent a record of all that happened.

    Args:
        envoys: after the last request was answered; each of them logs.

    Raises:
        UnavailableError: it does not come to that.
    """
    for envoy in envoys:
        wait_until(
            partial(_has_sent_all, envoy),
            f"envoy {envoy.name} has sent all its records",
            seconds_max=SETTLE_S_MAX,
            poll_s=_LOOK_S,
        )


def wait_until_counted(shell: Shell) -> None:
    """Return once each Envoy has sent counters that take in all that has ended until now.

    A log that falls silent is noticed by what it said before: by one count that its records fit.

    Raises:
        UnavailableError: it does not come to that.
    """

    def is_counted() -> bool:
        lines = shell.ask(f"{_COUNTED} --json").text.split("\n")
        rows = [json.loads(line) for line in lines if line]
        return bool(rows) and all(is_taken_in(row) for row in rows)

    wait_until(is_counted, "counters take in every record", seconds_max=SETTLE_S_MAX)


def is_taken_in(row: Mapping[str, int]) -> bool:
    """Whether the last count of an Envoy came so late that it has all its records in it.

    Args:
        row: when it counted, and when the last of its records ended; in unix nanoseconds.
    """
    return row.get("counted", 0) > row.get("ended", INT64_MAX) + LATE_NS


def wait_until_settled(
    sidecars: Iterable[Envoy], shell: Shell, *, handshakes_count: int
) -> Settled:
    """Return once the log holds every record that the sidecars have sent.

    Args:
        sidecars: all of them, when they have sent what they had.
        shell: to ask the log with.
        handshakes_count: failed handshakes that must be among the records: a client knows of its
            failure before Envoy has ended the connection, and reports it.

    Raises:
        UnavailableError: it does not come to that.
    """
    envoys = list(sidecars)

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
    """Whether an Envoy has sent a record of all that it has to report."""
    return count_unlogged(counters) <= 0


def count_unlogged(counters: Mapping[str, int]) -> int:
    """How much an Envoy has to report, and has not sent a record of.

    Requests count from their beginning, so that one whose record is still to come is waited for.
    """
    requests = sum(counters.get(f"http.{name}.downstream_rq_total", 0) for name in DOORS)
    connections = sum(counters.get(f"listener.{name}.downstream_cx_destroy", 0) for name in DOORS)
    return requests + connections - count_records_sent(counters)
