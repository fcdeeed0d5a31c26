"""Workload events as tests and benchmarks need them: what is not given is null."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from meshtrail.correlate.workloads import ENRICH_COLUMNS, LIFETIME_SCHEMA, WORKLOAD_COLUMNS
from meshtrail.model.event import EVENT_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Sequence

Row = dict[str, Any]

_SCHEMA = pa.schema([EVENT_SCHEMA.field(name) for name in WORKLOAD_COLUMNS])
_ENRICHED = pa.schema([EVENT_SCHEMA.field(name) for name in ENRICH_COLUMNS])


def workload(log_index: int, at: int | None, **columns: Any) -> Row:
    """An event about a pod; it arrived a thousand seconds later."""
    known = {"log_index": log_index, "kind": "workload", "time": at}
    return dict.fromkeys(WORKLOAD_COLUMNS) | known | {"received_time": 10**12, **columns}


def workload_table(rows: Sequence[Row]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=_SCHEMA)


def lifetime(ip: str, from_ns: int, to_ns: int | None, **columns: Any) -> Row:
    known = {"ip": ip, "from_ns": from_ns, "to_ns": to_ns, "log_index": 0}
    return dict.fromkeys(LIFETIME_SCHEMA.names) | known | columns


def lifetime_table(rows: Sequence[Row]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=LIFETIME_SCHEMA)


def event_table(rows: Sequence[Row]) -> pa.Table:
    """Events with what a view needs."""
    return pa.Table.from_pylist([{"received_time": 10**12} | row for row in rows], schema=_ENRICHED)
