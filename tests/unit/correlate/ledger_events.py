"""Event tables for the ledger: what proxies report, row by row."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from meshtrail.correlate.ledger import LEDGER_COLUMNS
from meshtrail.model.event import EVENT_SCHEMA

S = 1_000_000_000
BEGIN = 1_763_712_000 * S
"""The start of a minute, and of a step."""

Row = dict[str, Any]

SCHEMA = pa.schema([EVENT_SCHEMA.field(name) for name in LEDGER_COLUMNS])


def at(seconds: float) -> int:
    """A moment of the test in nanoseconds, to the microsecond."""
    return BEGIN + round(seconds * 1_000_000) * 1_000


def record(end_s: float, *, who: str = "web", lag_s: float = 0.3, **columns: Any) -> Row:
    return {
        "kind": "request",
        "received_time": at(end_s + lag_s),
        "time": at(end_s - 0.01),
        "end_time": at(end_s),
        "source": "envoy-als",
        "payload_format": "als-http",
        "is_duplicate": False,
        "stream": 1,
        "reporter_id": who,
        **columns,
    }


def count(
    at_s: float,
    written: int,
    *,
    who: str = "web",
    dropped: int = 0,
    unwritten: int = 0,
    started_s: float = 1,
    epoch: int = 0,
) -> Row:
    """A push: requests that were written, that were dropped, and that were neither."""
    counts = {
        "by_http": {"inbound": {"requests_started": written + dropped + unwritten}},
        "logs_written": written,
        "logs_dropped": dropped,
        "epoch": epoch,
        "uptime_s": int(at_s - started_s),
    }
    return {
        "kind": "counter",
        "received_time": at(at_s + 0.01),
        "time": at(at_s),
        "source": "envoy-metrics",
        "payload_format": "envoy-metrics",
        "is_duplicate": False,
        # A stream of counters is of one process.
        "stream": 1_000 + round(started_s),
        "reporter_id": who,
        "detail": json.dumps(counts),
    }


def own(kind: str, at_s: float, *, about: str | None = None, who: str | None = None) -> Row:
    return {
        "kind": kind,
        "received_time": at(at_s),
        "source": "meshtrail",
        "payload_format": "meshtrail-json",
        "is_duplicate": False,
        "stream": 2,
        "about": about,
        "reporter_id": who,
    }


def closed(at_s: float, reason: str, *, who: str = "web") -> Row:
    return own("stream_closed", at_s, who=who) | {"detail": json.dumps({"reason": reason})}


def table(*rows: Row) -> pa.Table:
    ordered = sorted(rows, key=lambda row: int(row["received_time"]))
    return pa.Table.from_pylist(ordered, schema=SCHEMA)
