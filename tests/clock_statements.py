"""Statements about clocks as the ledger makes them, and who else might make them."""

from __future__ import annotations

import json
from typing import Any

from meshtrail.model.entry import EntryHeader, EntryType, PayloadFormat
from meshtrail.units import UnixNanos

S = 1_000_000_000
LEDGER_STREAM = 5


def own_entry(
    payload: dict[str, Any] | bytes,
    entry_type: EntryType,
    *,
    received_ns: int,
    stream: int = LEDGER_STREAM,
    payload_format: PayloadFormat = PayloadFormat.MESHTRAIL_JSON,
) -> bytes:
    header = EntryHeader(
        entry_type=entry_type,
        payload_format=payload_format,
        received_ns=UnixNanos(received_ns),
        stream=stream,
        seq=1,
    )
    data = payload if isinstance(payload, bytes) else json.dumps(payload, sort_keys=True).encode()
    return header.encode() + data


def opened_by(writer: str, *, transport: str = "self") -> dict[str, Any]:
    return {"transport": transport, "writer": writer, "auth": "none", "claimed": None}


def stated(
    name: str | None, offset_ns: int | None, *, until_ns: int, **more: Any
) -> dict[str, Any]:
    """What the ledger says of a reporter that claims a name and nothing else."""
    return {
        "about": name,
        "reporter": {"id": name, "spiffe_id": None, "token": None},
        "offset_ns": offset_ns,
        "error_ns": None if offset_ns is None else 1_000,
        "quality": "unknown" if offset_ns is None else "estimated",
        "from_ns": until_ns - 300 * S,
        "until_ns": until_ns,
        **more,
    }
