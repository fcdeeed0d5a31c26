"""Rows as JSON, one object a line, named as the columns are.

Ids are hex, request ids UUIDs, integers integers; nulls are left out. Everything beyond ASCII is
escaped: a path is the caller's choice, and must not reach a terminal as control characters.
"""

from __future__ import annotations

import json
import math
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

_UUID_BYTES = 16


def format_json_lines(batch: pa.RecordBatch) -> Iterator[str]:
    """One line for each row, without its newline."""
    for row in batch.to_pylist():
        plain = {name: plain_value(name, value) for name, value in row.items() if value is not None}
        yield json.dumps(plain, separators=(",", ":"), allow_nan=False)


def plain_value(name: str, value: object) -> object:
    """A value as JSON can hold it.

    Args:
        name: its column; 16 bytes are a UUID in ``request_id`` and hex elsewhere.
        value: what Arrow gives for it, nested or not.
    """
    plain: object = value
    match value:
        case bytes():
            is_uuid = name == "request_id" and len(value) == _UUID_BYTES
            plain = str(uuid.UUID(bytes=value)) if is_uuid else value.hex()
        case float() if not math.isfinite(value):
            plain = str(value)
        case Decimal() if value == value.to_integral_value():
            plain = int(value)
        case dict():
            plain = {str(key): plain_value(str(key), inner) for key, inner in value.items()}
        case list() | tuple():
            plain = [plain_value(name, inner) for inner in value]
        case None | bool() | int() | float() | str():
            pass
        case _:
            # Dates, intervals, fractions: as their text, which loses nothing.
            plain = str(value)
    return plain
