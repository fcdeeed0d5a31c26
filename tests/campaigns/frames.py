"""Mutated access log messages: through slicing, a collector, its journal and the intake."""

from __future__ import annotations

import random  # noqa: TID251 - seeded: the same batch each time
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from envoy.service.accesslog.v3 import als_pb2

from meshtrail.collect.payloads import encode_json
from meshtrail.errors import InputError
from meshtrail.journal import Framing
from meshtrail.log.intake import make_entries
from meshtrail.model.entry import EntryType, PayloadFormat
from meshtrail.sources.als_frame import (
    RECORDS_COUNT_MAX,
    frame_descriptor,
    inspect_frame,
    slice_frame,
)
from meshtrail.sources.als_identifier import decode_identifier
from meshtrail.sources.als_schema import http_descriptor, tcp_descriptor
from meshtrail.sources.als_slices import slice_messages
from meshtrail.units import UnixNanos
from tests.campaigns.journal_checks import check_entries, check_streams
from tests.campaigns.mutator import Mutator
from tests.campaigns.reception import receive
from tests.campaigns.seeds import http_seeds, message_seeds, tcp_seeds
from tests.campaigns.wire import LENGTH, Field, encode_fields, encode_varint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshtrail.journal import JournalSlice
    from meshtrail.sources.als_frame import FrameShape

SIZES: Final = (1, 10, 100, 500, 1_000, 2_000)
_STREAMS: Final = (1, 2, 7, 20, 100)
_BYTES_MAX: Final = (64 << 10, *(4 << 20,) * 2, *(16 << 20,) * 3)
_HEX_BYTES_MAX: Final = 2_000
_CLAIM_BYTES_MAX: Final = 32_768
_SMALL_BYTES: Final = 4_000
_ALS: Final = (PayloadFormat.ALS_HTTP, PayloadFormat.ALS_TCP)


def make_batch(seed: int, number: int) -> list[bytes]:
    """The messages of a batch; the same for the same seed and number."""
    rng = random.Random(f"frames {seed} {number}")  # noqa: S311 - as above
    framing = Mutator(frame_descriptor(), message_seeds(), rng)
    small = [message for message in message_seeds() if len(message) < _SMALL_BYTES]
    inside = Mutator(als_pb2.StreamAccessLogsMessage.DESCRIPTOR, small, rng)
    http = Mutator(http_descriptor(), http_seeds(), rng)
    tcp = Mutator(tcp_descriptor(), tcp_seeds(), rng)
    frames = []
    for _ in range(rng.choice(SIZES)):
        chance = rng.random()
        if chance < 0.15:
            frames.append(framing.valid())
        elif chance < 0.45:
            frames.append(framing.mutate())
        elif chance < 0.65:
            frames.append(inside.mutate())
        else:
            mutator, kind = (tcp, 3) if rng.random() < 0.3 else (http, 2)
            records = [mutator.mutate() for _ in range(rng.choice((1, 1, 2, 5, 20)))]
            frames.append(message_of(records, kind))
    if rng.random() < 0.05:
        frames.append(message_of([b""] * rng.choice((30_000, RECORDS_COUNT_MAX + 1)), 2))
    return frames


def message_of(records: Sequence[bytes], kind: int) -> bytes:
    """A message of records of one kind, HTTP (2) or TCP (3)."""
    logs = encode_fields([Field(1, LENGTH, record) for record in records])
    return encode_fields([Field(kind, LENGTH, logs)])


def check_batch(frames: Sequence[bytes]) -> dict[str, Any]:
    """Slice, collect, seal as far as entries and events; every message must be accounted for.

    Returns:
        Counts that add up, and ``differences``.
    """
    faults = check_slicing(frames) + check_identifiers(frames)
    rng = random.Random(len(frames))  # noqa: S311 - as above
    streams_count = rng.choice(_STREAMS)
    bytes_max = rng.choice(_BYTES_MAX)
    streams = [frames[at::streams_count] for at in range(streams_count)]
    with tempfile.TemporaryDirectory() as folder:
        slices, alarms = receive(streams, Path(folder), message_bytes_max=bytes_max)
    faults += [{"fault": "alarm", "alarm": alarm} for alarm in alarms]
    accepted = [until_refused(stream, message_bytes_max=bytes_max) for stream in streams if stream]
    faults += check_journal(slices, accepted)
    batch = make_entries(slices, after_ns=UnixNanos(0))
    faults += check_entries(batch, slices)
    return {
        "frames": sum(map(len, accepted)),
        "refused": len(frames) - sum(map(len, accepted)),
        "unparsable": sum(_shape(frame) is None for part in accepted for frame in part),
        "entries": len(batch.entries),
        "differences": faults,
    }


def check_slicing(frames: Sequence[bytes]) -> list[dict[str, Any]]:
    """Columns and upb must cut the same records out of messages that upb takes."""
    shapes = [(frame, shape) for frame in frames if (shape := _shape(frame)) is not None]
    faults = []
    for payload_format in _ALS:
        chosen = []
        for frame, shape in shapes:
            is_http = payload_format is PayloadFormat.ALS_HTTP
            count = shape.http_count if is_http else shape.tcp_count
            if count:
                chosen.append((frame, count))
        if not chosen:
            continue
        column = pa.array([frame for frame, _ in chosen], pa.binary())
        counts = np.array([count for _, count in chosen], dtype=np.int64)
        got = slice_messages(column, payload_format, counts).to_pylist()
        want = [record for frame, _ in chosen for record in slice_frame(frame, payload_format)]
        if got != want:
            faults.append({"fault": "slices differ", "format": payload_format.name})
    return faults


def check_identifiers(frames: Sequence[bytes]) -> list[dict[str, Any]]:
    """What a sender says of itself is read or refused, and is short enough for an entry."""
    faults = []
    for frame in frames:
        shape = _shape(frame)
        if shape is None or shape.identifier is None:
            continue
        try:
            claimed = encode_json(decode_identifier(shape.identifier))
        except InputError:
            continue
        if len(claimed) > _CLAIM_BYTES_MAX:
            faults.append({"fault": "long claim", "hex": shape.identifier[:_HEX_BYTES_MAX].hex()})
    return faults


def until_refused(messages: Sequence[bytes], *, message_bytes_max: int) -> list[bytes]:
    """What a stream delivers: a message that is too large ends it."""
    taken = []
    for message in messages:
        if len(message) > message_bytes_max:
            break
        taken.append(message)
    return taken


def check_journal(
    slices: Sequence[JournalSlice], accepted: Sequence[Sequence[bytes]]
) -> list[dict[str, Any]]:
    """Every stream opened, without holes, closed with its totals, all its messages there."""
    faults, streams = check_streams(slices)
    found = [
        [_as_kept(row, data) for row, data in rows if row["entry_type"] == EntryType.RECORD]
        for rows in streams
    ]
    # The collector's own stream has no records; neither has one whose first message was refused.
    want = [kept for messages in accepted if (kept := expect_kept(messages))]
    got = [kept for kept in found if kept]
    if sorted(got) != sorted(want):
        faults.append(_first_difference(sorted(got), sorted(want)))
    return faults


def expect_kept(messages: Sequence[bytes]) -> list[tuple[str, int, bytes]]:
    """What docs/formats/entry.md says that a stream of messages becomes: kind, records, bytes."""
    kept = []
    is_first = True
    for message in messages:
        shape = _shape(message)
        if shape is None:
            kept.append(("whole", 1, message))
        else:
            if not is_accounted_for(message, may_identify=is_first):
                kept.append(("whole", 1, message))
            if shape.http_count:
                kept.append(("als-http", shape.http_count, message))
            if shape.tcp_count:
                kept.append(("als-tcp", shape.tcp_count, message))
        is_first = False
    return kept


def is_accounted_for(message: bytes, *, may_identify: bool) -> bool:
    """Whether records of one kind and an identifier, each in its one spelling, are all there is."""
    fields = split_strictly(message)
    if fields is None:
        return False
    numbers = [number for number, _ in fields]
    if len(set(numbers)) < len(numbers) or not set(numbers) <= {1, 2, 3}:
        return False
    if (1 in numbers and not may_identify) or (1, b"") in fields:
        return False
    logs = [split_strictly(value) for number, value in fields if number != 1]
    if any(records is None or {number for number, _ in records} - {1} for records in logs):
        return False
    return sum(bool(records) for records in logs) <= 1


def split_strictly(data: bytes) -> list[tuple[int, bytes]] | None:
    """Fields of a message that holds only length-delimited ones, spelled as serialisers do."""
    fields = []
    position = 0
    while position < len(data):
        numbers = []
        for _ in range(2):
            end = position
            while end < len(data) and data[end] > 0x7F:
                end += 1
            spelled = data[position : end + 1]
            number = sum((byte & 0x7F) << 7 * at for at, byte in enumerate(spelled))
            if encode_varint(number) != spelled:
                return None
            numbers.append(number)
            position = end + 1
        tag, length = numbers
        if tag & 7 != LENGTH or position + length > len(data):
            return None
        fields.append((tag >> 3, data[position : position + length]))
        position += length
    return fields


def _as_kept(row: Any, data: bytes) -> tuple[str, int, bytes]:  # noqa: ANN401 - as above
    if row["framing"] == Framing.WHOLE:
        return ("whole", int(row["records_count"]), data)
    kind = PayloadFormat(row["payload_format"]).name.lower().replace("_", "-")
    return (kind, int(row["records_count"]), data)


def _shape(frame: bytes) -> FrameShape | None:
    try:
        return inspect_frame(frame)
    except InputError:
        return None


def _first_difference(
    got: list[list[tuple[str, int, bytes]]], want: list[list[tuple[str, int, bytes]]]
) -> dict[str, Any]:
    missing = [kept for stream in want for kept in stream]
    extra = []
    for kept in (kept for stream in got for kept in stream):
        if kept in missing:
            missing.remove(kept)
        else:
            extra.append(kept)
    return {
        "fault": "journal",
        "streams": [len(got), len(want)],
        "missing": [
            (kind, count, data[:_HEX_BYTES_MAX].hex()) for kind, count, data in missing[:2]
        ],
        "extra": [(kind, count, data[:_HEX_BYTES_MAX].hex()) for kind, count, data in extra[:2]],
    }
