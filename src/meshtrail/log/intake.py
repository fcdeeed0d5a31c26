"""Journal frames to entries, as columns: slice, put the headers before, keep the order of arrival.

Needs no memory of streams: collect wrote ``stream`` and ``seq`` into the journal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.errors import JournalDamageError
from meshtrail.journal import NO_ENTRIES, Framing, JournalSlice
from meshtrail.model.entry import (
    HEADER_BYTES,
    PAYLOAD_BYTES_MAX,
    EntryFlags,
    EntryType,
    PayloadFormat,
    headers_array,
    prefix_payload,
)
from meshtrail.model.record_formats import LINE_FORMATS
from meshtrail.sources.als_slices import slice_messages
from meshtrail.sources.line_slices import slice_lines
from meshtrail.sources.otlp_frame import SMALL_REPEATED_TIMES_MAX
from meshtrail.sources.otlp_slices import slice_exports

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from meshtrail.units import UnixNanos

_ALS_FORMATS: Final = (PayloadFormat.ALS_HTTP, PayloadFormat.ALS_TCP)
_LINE_FORMATS: Final = tuple(LINE_FORMATS.values())
_OTLP_FORMATS: Final = (PayloadFormat.OTLP_LOG, PayloadFormat.OTLP_SPAN)
_USUAL_RECORD_BYTES: Final = 1_024
_ENTRY_TYPES: Final = tuple(EntryType)
_PAYLOAD_FORMATS: Final = tuple(PayloadFormat)
_FLAGS_OF_FRAMES: Final = int(EntryFlags.FILTERED | EntryFlags.SALTED | EntryFlags.DUPLICATE)


@dataclass(frozen=True, slots=True, eq=False)
class EntryBatch:
    """Entries that are sealed together.

    Attributes:
        entries: binary[n], whole entries in log order.
        headers: ``HEADER_DTYPE``[n], of which they are made.
        payloads: binary[n], likewise.
        received_ns: of the last entry.
        blobs: content-addressed bytes that the entries name.
    """

    entries: pa.Array
    headers: npt.NDArray[Any]
    payloads: pa.Array
    received_ns: int
    blobs: list[bytes]


@dataclass(frozen=True, slots=True, eq=False)
class _Frames:
    """Frames of all journals in order of arrival."""

    rows: npt.NDArray[Any]
    data: pa.Array


def make_entries(slices: Sequence[JournalSlice], *, after_ns: UnixNanos) -> EntryBatch:
    """The entries that journal frames become.

    Args:
        slices: what was read of each journal.
        after_ns: ``received_ns`` of the last entry in the log; an earlier time is raised to it, so
            that it never decreases within a log.

    Raises:
        JournalDamageError: a message is not what was journaled, or a row says what no entry can.
    """
    frames = _merge_by_time(slices)
    _check_rows(frames.rows)
    is_blob = frames.rows["framing"] == Framing.BLOB
    blobs = frames.data.filter(pa.array(is_blob)).to_pylist()
    frames = _select(frames, np.flatnonzero(~np.isin(frames.rows["framing"], NO_ENTRIES)))
    payloads = _payloads(frames)
    headers = _headers(frames.rows, after_ns=after_ns)
    too_large = np.flatnonzero(np.asarray(pc.binary_length(payloads)) > PAYLOAD_BYTES_MAX)
    if len(too_large):
        payloads, wholes = _cut_to_prefix(payloads, too_large)
        headers["flags"][too_large] |= np.uint16(EntryFlags.PREFIX)
        blobs += wholes
    last_ns = int(headers["received_ns"][-1]) if len(headers) else int(after_ns)
    return EntryBatch(_join(headers, payloads), headers, payloads, last_ns, blobs)


def count_usual_records(rows: npt.NDArray[Any]) -> int:
    """How many records of a kilobyte frames may become, by their rows; that is, what memory.

    Each record of OTLP repeats its resource, so bytes of frames alone do not bound their payloads:
    they may be as much longer as ``otlp_frame`` lets pass.
    """
    counts = rows["records_count"].astype(np.int64)
    repeated = rows["frame_bytes"] * np.minimum(counts, SMALL_REPEATED_TIMES_MAX)
    is_otlp = rows["framing"] == Framing.OTLP
    return int(np.where(is_otlp, np.maximum(counts, repeated // _USUAL_RECORD_BYTES), counts).sum())


def _check_rows(rows: npt.NDArray[Any]) -> None:
    """Return when every frame can become what its row says.

    A CRC finds accidents only; what is sealed has to be readable as entries for ever.
    """
    framing, formats = rows["framing"], rows["payload_format"]
    is_entry = (
        (rows["stream"] > 0)
        & (rows["first_seq"] >= 0)
        & np.isin(rows["entry_type"], _ENTRY_TYPES)
        & np.isin(formats, _PAYLOAD_FORMATS)
        & ((rows["flags"] & ~np.uint16(_FLAGS_OF_FRAMES)) == 0)
    )
    is_whole = (framing == Framing.WHOLE) & (rows["records_count"] == 1)
    is_als = (framing == Framing.ALS) & np.isin(formats, _ALS_FORMATS)
    is_otlp = (framing == Framing.OTLP) & np.isin(formats, _OTLP_FORMATS)
    is_lines = (framing == Framing.LINES) & np.isin(formats, _LINE_FORMATS)
    is_cut = is_whole | is_als | is_otlp | is_lines
    is_good = np.isin(framing, NO_ENTRIES) | (is_entry & is_cut)
    if not is_good.all():
        row = rows[int(np.flatnonzero(~is_good)[0])]
        raise JournalDamageError(
            f"a journaled frame of stream {row['stream']} cannot become entries: "
            f"{dict(zip(row.dtype.names, row.tolist(), strict=True))}",
            stream=int(row["stream"]),
        )


def _merge_by_time(slices: Sequence[JournalSlice]) -> _Frames:
    """All frames, ordered by arrival; frames of one journal keep their order."""
    parts = [_Frames(part.rows, _binary(part.data, part.offsets)) for part in slices]
    if len(parts) == 1:
        return parts[0]
    rows = np.concatenate([part.rows for part in parts])
    data = pa.concat_arrays([part.data for part in parts])
    # Within a journal a later frame may carry an earlier time only if its clock was replaced; the
    # running maximum keeps its place all the same.
    times = np.concatenate([np.maximum.accumulate(part.rows["received_ns"]) for part in parts])
    return _select(_Frames(rows, data), np.argsort(times, kind="stable"))


def _select(frames: _Frames, positions: npt.NDArray[np.int64]) -> _Frames:
    if len(positions) == len(frames.rows) and (np.diff(positions) == 1).all():
        return frames
    return _Frames(frames.rows[positions], frames.data.take(pa.array(positions)))


def _payloads(frames: _Frames) -> pa.Array:
    """The payload of each entry, in order: binary[n]."""
    counts = frames.rows["records_count"].astype(np.int64)
    framing = frames.rows["framing"]
    is_otlp, is_lines = framing == Framing.OTLP, framing == Framing.LINES
    groups = [np.flatnonzero(framing == Framing.WHOLE), *map(np.flatnonzero, (is_otlp, is_lines))]
    parts = [
        _chosen(frames, groups[0]),
        slice_exports(_chosen(frames, groups[1]), counts[is_otlp]) if is_otlp.any() else _none(),
        slice_lines(_chosen(frames, groups[2]), counts[is_lines]) if is_lines.any() else _none(),
    ]
    for code in _ALS_FORMATS:
        is_code = (framing == Framing.ALS) & (frames.rows["payload_format"] == code)
        rows = np.flatnonzero(is_code)
        groups.append(rows)
        parts.append(
            slice_messages(_chosen(frames, rows), code, counts[rows]) if len(rows) else _none()
        )
    filled = [at for at, part in enumerate(parts) if len(part)]
    if len(filled) == 1:
        return parts[filled[0]]
    # Where each frame's payloads begin in the concatenated parts, then in the order of the frames.
    rows = np.concatenate(groups)
    begins = np.zeros(len(counts), dtype=np.int64)
    begins[rows] = np.concatenate([[0], np.cumsum(counts[rows])[:-1]]) if len(rows) else 0
    order = np.repeat(begins, counts) + _position_in_frame(counts)
    return pa.concat_arrays(parts).take(pa.array(order))


def _chosen(frames: _Frames, positions: npt.NDArray[np.int64]) -> pa.Array:
    return _select(frames, positions).data if len(positions) else _none()


def _headers(rows: npt.NDArray[Any], *, after_ns: UnixNanos) -> npt.NDArray[Any]:
    """The header of each entry."""
    counts = rows["records_count"].astype(np.int64)
    headers = headers_array(int(counts.sum()))
    for name in ("entry_type", "payload_format", "flags", "stream"):
        headers[name] = np.repeat(rows[name], counts)
    headers["seq"] = np.repeat(rows["first_seq"], counts) + _position_in_frame(counts)
    if len(headers):
        times = np.repeat(rows["received_ns"], counts).astype(np.int64)
        times[0] = max(int(times[0]), int(after_ns))
        headers["received_ns"] = np.maximum.accumulate(times)
    return headers


def _position_in_frame(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """0, 1, … for the entries of each frame."""
    ends = np.cumsum(counts)
    position: npt.NDArray[np.int64] = np.arange(ends[-1] if len(ends) else 0) - np.repeat(
        ends - counts, counts
    )
    return position


def _cut_to_prefix(payloads: pa.Array, rows: npt.NDArray[np.int64]) -> tuple[pa.Array, list[bytes]]:
    """Payloads with the large ones replaced by their prefix, and the wholes, which become blobs."""
    values = payloads.to_pylist()
    wholes = [values[row] for row in rows]
    for row, whole in zip(rows, wholes, strict=True):
        values[row] = prefix_payload(whole)
    return pa.array(values, pa.binary()), wholes


def _join(headers: npt.NDArray[Any], payloads: pa.Array) -> pa.Array:
    """Headers and payloads joined to entries: binary[n]."""
    count = len(headers)
    fixed = pa.Array.from_buffers(
        pa.binary(HEADER_BYTES), count, [None, pa.py_buffer(headers.tobytes())]
    )
    return pc.binary_join_element_wise(fixed.cast(pa.binary()), payloads, b"")


def _binary(data: memoryview, offsets: npt.NDArray[np.int64]) -> pa.Array:
    """Byte strings that stand one behind the other, as a column without a copy."""
    narrow = offsets.astype(np.int32)
    return pa.Array.from_buffers(
        pa.binary(), len(narrow) - 1, [None, pa.py_buffer(narrow.tobytes()), pa.py_buffer(data)]
    )


def _none() -> pa.Array:
    return pa.array([], pa.binary())
