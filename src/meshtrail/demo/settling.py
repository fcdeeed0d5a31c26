"""Waits until everything that happened is in the log: reported by each Envoy, received, sealed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from meshtrail.demo.sidecar import HTTP_DOORS, REPORTED_LISTENERS
from meshtrail.demo.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshtrail.demo.envoy import Envoy
    from meshtrail.demo.shell import Shell

SETTLE_S_MAX: Final = 60.0
_LOOK_S: Final = 0.1
_SEALED: Final = (
    'meshtrail search --json --sql "SELECT count(*) AS records, '
    "count(*) FILTER (kind = 'handshake') AS handshakes FROM events WHERE source = 'envoy-als' "
    "AND payload_format IN ('als-http', 'als-tcp')\""
)


@dataclass(frozen=True, slots=True)
class Settled:
    """What the Envoys counted, once all of it was in the log.

    Attributes:
        flushed_count: records that they sent.
        dropped_count: records that they say they could not send.
    """

    flushed_count: int
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
        flushed_count = sum(envoy.records_flushed() for envoy in envoys)
        found = json.loads(shell.ask(_SEALED).text)
        records_count, found_count = int(found["records"]), int(found["handshakes"])
        return records_count >= flushed_count and found_count >= handshakes_count

    wait_until(is_sealed, "the log holds every record", seconds_max=SETTLE_S_MAX)
    return Settled(
        flushed_count=sum(envoy.records_flushed() for envoy in envoys),
        dropped_count=sum(envoy.records_dropped() for envoy in envoys),
    )


def _has_sent_all(envoy: Envoy) -> bool:
    return is_flushed(envoy.counters())


def is_flushed(counters: Mapping[str, int]) -> bool:
    """Whether an Envoy has sent a record of all that it has to report.

    Requests count from their beginning, so that one whose record is still to come is waited for.
    """
    requests = sum(counters.get(f"http.{name}.downstream_rq_total", 0) for name in HTTP_DOORS)
    connections = sum(
        counters.get(f"listener.{name}.downstream_cx_destroy", 0) for name in REPORTED_LISTENERS
    )
    flushed = sum(count for name, count in counters.items() if "grpc_entries_flushed" in name)
    return flushed >= requests + connections
