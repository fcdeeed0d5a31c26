"""What meshtrail says itself: streams, clock, counters, gaps and findings, as event columns.

These entries are JSON of our own making, and few. Specified in docs/formats/entry.md.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from meshtrail.model.entry import EntryType, PayloadFormat
from meshtrail.model.event import Kind
from meshtrail.sources.event_columns import EventColumns
from meshtrail.units import INT64_MAX

if TYPE_CHECKING:
    import numpy.typing as npt

OWN_KINDS: Final = {
    EntryType.STREAM_OPENED: Kind.STREAM_OPENED,
    EntryType.STREAM_CLOSED: Kind.STREAM_CLOSED,
    EntryType.CLOCK: Kind.CLOCK,
    EntryType.COUNTER: Kind.COUNTER,
    EntryType.GAP: Kind.GAP,
    EntryType.FINDING: Kind.FINDING,
}
WHOLE_FRAMES: Final = {
    PayloadFormat.ALS_FRAME: "a whole access log message, sealed as it came",
    PayloadFormat.OTLP_FRAME: "a whole OTLP export, sealed as it came",
    PayloadFormat.ENVOY_METRICS_FRAME: "a whole metrics message, sealed as it came",
    PayloadFormat.BODY_FRAME: "a whole body, sealed as it came",
}
_TOLD: Final = frozenset(OWN_KINDS) - {EntryType.STREAM_OPENED}
"""Whose JSON stands in ``detail``; that of an opened stream has 20 kB, and columns of its own. Of
meshtrail's own streams ``about`` names the writer."""

_S: Final = pa.string()
_I64: Final = pa.int64()


class OwnFacts(NamedTuple):
    """The columns that the JSON of an entry of our own fills."""

    time: int | None = None
    end_time: int | None = None
    about: str | None = None
    cause: str | None = None
    missing_min: int | None = None
    missing_max: int | None = None
    detail: str | None = None


def read_own(entry_type: int, payload: bytes) -> OwnFacts:
    """The facts in the JSON of one entry; none where it is not what meshtrail writes."""
    try:
        text = payload.decode()
        said = json.loads(text)
    except (ValueError, RecursionError):
        return OwnFacts()
    if not isinstance(said, dict):
        return OwnFacts()
    if entry_type not in _TOLD:
        return OwnFacts(about=_text(said, "writer") if said.get("transport") == "self" else None)
    return OwnFacts(
        time=_number(said, "from_ns"),
        end_time=_number(said, "until_ns"),
        about=_text(said, "about"),
        cause=_text(said, "cause"),
        missing_min=_number(said, "missing_min"),
        missing_max=_number(said, "missing_max"),
        detail=text,
    )


def map_own(headers: npt.NDArray[np.void], payloads: pa.Array) -> EventColumns:
    """Event columns of entries that no decoder is for: our own, and whole frames.

    Args:
        headers: ``HEADER_DTYPE``[n].
        payloads: binary[n].
    """
    out = EventColumns(len(headers))
    kinds = np.full(len(headers), Kind.UNDECODED.value, dtype=object)
    for entry_type, kind in OWN_KINDS.items():
        kinds[headers["entry_type"] == entry_type] = kind.value
    out.columns["kind"] = pa.array(kinds, _S)
    for payload_format, reason in WHOLE_FRAMES.items():
        out.problems[reason] = pa.array(headers["payload_format"] == payload_format)
    facts = [OwnFacts()] * len(headers)
    for row in np.flatnonzero(headers["payload_format"] == PayloadFormat.MESHTRAIL_JSON).tolist():
        facts[row] = read_own(int(headers["entry_type"][row]), payloads[row].as_py())
    for name, values in zip(OwnFacts._fields, zip(*facts, strict=True), strict=True):
        column_type = _I64 if name in {"time", "end_time", "missing_min", "missing_max"} else _S
        out.columns[name] = pa.array(values, column_type)
    return out


def _number(said: dict[str, Any], name: str) -> int | None:
    value = said.get(name)
    # A truth value is an int to Python.
    return value if type(value) is int and -INT64_MAX <= value <= INT64_MAX else None


def _text(said: dict[str, Any], name: str) -> str | None:
    value = said.get(name)
    if not isinstance(value, str):
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair, which JSON can escape and no column holds.
        return None
    return value
