"""What single values of ztunnel's lines mean, for its columnar mapper and for the reference."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from meshtrail.model.event import Decision

NOT_A_LINE: Final = "not a line of ztunnel"
NO_FIELDS: Final = "fields of a line cannot be read"
NO_POLICY: Final = "policy of a dry run cannot be read"
HBONE_PORT: Final = 15008
COMPLETE: Final = "connection complete"
FAILED: Final = "connection failed"
ACCESS_SCOPE: Final = "access"
FIELDS: Final = (
    *("src.addr", "src.workload", "src.namespace", "src.identity", "src.cluster"),
    *("dst.addr", "dst.hbone_addr", "dst.service", "dst.workload", "dst.namespace"),
    *("dst.identity", "dst.cluster", "direction", "bytes_sent", "bytes_recv", "duration"),
    *("error", "policy"),
)
SIDES: Final = {"inbound": "destination", "outbound": "source"}
DRY_RUNS: Final = {
    "dry-run: deny policy match": Decision.DENIED.value,
    "dry-run: no allow policies match": Decision.DENIED.value,
    "dry-run: no allow policies matched": Decision.DENIED.value,
    "dry-run: allow policy match": Decision.ALLOWED.value,
    "dry-run: no allow policies, allow": Decision.ALLOWED.value,
}
DRY_RUN: Final = "dry-run: "

_DURATION: Final = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,9}))?(s|ms|us|µs|ns)")
_UNITS_NS: Final = {"s": 10**9, "ms": 10**6, "us": 10**3, "µs": 10**3, "ns": 1}
_INT64_MAX: Final = 2**63 - 1


class Duration(NamedTuple):
    """A duration in nanoseconds, null where the text is none; and whether it is none."""

    ns: int | None
    is_wrong: bool


def read_duration(text: str | None) -> Duration:
    """Read ``13ms``, or any other that Rust writes."""
    if text is None:
        return Duration(None, is_wrong=False)
    found = _DURATION.fullmatch(text)
    if found is None:
        return Duration(None, is_wrong=True)
    unit, fraction = _UNITS_NS[found[3]], found[2] or ""
    ns = int(found[1]) * unit + int(fraction or 0) * unit // 10 ** len(fraction)
    return Duration(ns, is_wrong=False) if ns <= _INT64_MAX else Duration(None, is_wrong=True)
