from __future__ import annotations

import random  # noqa: TID251 - seeded by hypothesis
from itertools import accumulate, chain
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.errors import JournalDamageError
from meshtrail.journal import (
    NO_ENTRIES,
    ROW_DTYPE,
    Frame,
    Framing,
    JournalSlice,
    ReadPosition,
    export_frame,
    position_frame,
)
from meshtrail.log.intake import EntryBatch, count_usual_records, make_entries
from meshtrail.model.entry import (
    PAYLOAD_BYTES_MAX,
    EntryFlags,
    EntryHeader,
    EntryType,
    PayloadFormat,
    prefix_payload,
)
from meshtrail.units import UnixNanos
from tests.fake_clock import START_NS, FakeClock
from tests.file_positions import position
from tests.known_load import KnownLoad, fields_in, wire_field
from tests.otlp_exports import UNKNOWN_GROUP, Scope, payloads_of, read_resources

if TYPE_CHECKING:
    from collections.abc import Sequence


def slice_of(frames: Sequence[Frame]) -> JournalSlice:
    rows = np.frombuffer(b"".join(frame.encode_row() for frame in frames), ROW_DTYPE)
    data = memoryview(b"".join(frame.data for frame in frames))
    offsets = np.array([0, *accumulate(len(frame.data) for frame in frames)], dtype=np.int64)
    return JournalSlice(rows, data, offsets, ReadPosition(1, 1))


def make(*journals: Sequence[Frame], after_ns: int = 0) -> EntryBatch:
    return make_entries([slice_of(frames) for frames in journals], after_ns=UnixNanos(after_ns))


def payloads_in(frame: Frame) -> list[bytes]:
    """The payloads of a frame, cut out one at a time by the wire format of protobuf."""
    if frame.framing == Framing.WHOLE:
        return [frame.data]
    if frame.framing == Framing.OTLP:
        return payloads_of(*read_resources(frame.data))
    if frame.framing == Framing.LINES:
        return [line for line in frame.data.split(b"\n") if line]
    records: list[bytes] = []
    wanted = 2 if frame.payload_format == PayloadFormat.ALS_HTTP else 3
    for field, group in fields_in(frame.data):
        if field == wanted:
            records += [record for number, record in fields_in(group) if number == 1]
    return records


def naive_entries(journals: Sequence[Sequence[Frame]], after_ns: int) -> list[bytes]:
    """Record by record: each journal in its order, the earlier of two heads first."""
    queues = [list(frames) for frames in journals]
    reached = [0] * len(queues)
    entries, last = [], after_ns
    while any(queues):
        heads = [
            (max(reached[at], queue[0].received_ns), at) for at, queue in enumerate(queues) if queue
        ]
        reached_ns, at = min(heads)
        reached[at] = reached_ns
        frame = queues[at].pop(0)
        if frame.framing in NO_ENTRIES:
            continue
        payloads = payloads_in(frame)
        assert len(payloads) == frame.records_count
        for place, payload in enumerate(payloads):
            last = max(last, frame.received_ns)
            is_large = len(payload) > PAYLOAD_BYTES_MAX
            header = EntryHeader(
                entry_type=frame.entry_type,
                payload_format=frame.payload_format,
                flags=frame.flags | (EntryFlags.PREFIX if is_large else 0),
                received_ns=UnixNanos(last),
                stream=frame.stream,
                seq=frame.first_seq + place,
            )
            entries.append(header.encode() + (prefix_payload(payload) if is_large else payload))
    return entries


class AnyLoad:
    """Draws frames of every kind for one journal."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - drawn by hypothesis
        self.clock = FakeClock()
        self.load = KnownLoad(self.clock, seed=seed)
        self.streams = [self.load.opened().stream]

    def frame(self) -> Frame:
        # Backwards as well: a clock that was replaced.
        self.clock.step(self.chance.choice([0, 0, 1, 1_000, 10**9, -(10**9)]))
        make = self.chance.choice(
            [
                *(self._http, self._tcp, self._whole, self._blob, self._large, self._opened),
                *(self._cut, self._logs, self._spans, self._lines, self._position),
            ]
        )
        return make(self.chance.choice(self.streams))

    def _http(self, stream: int) -> Frame:
        return self.load.http(stream, self.chance.randrange(6))

    def _lines(self, stream: int) -> Frame:
        lines = [self.chance.choice([b"{}", b"", b"\r", bytes(70), bytes(70_000)]) for _ in "abcd"]
        formats = [PayloadFormat.ENVOY_JSON, PayloadFormat.ZTUNNEL]
        return self.load.lines(
            stream, b"\n".join(lines), payload_format=self.chance.choice(formats)
        )

    def _tcp(self, stream: int) -> Frame:
        return self.load.tcp(stream, self.chance.randrange(6))

    def _whole(self, stream: int) -> Frame:
        size = self.chance.choice([0, 50, PAYLOAD_BYTES_MAX, PAYLOAD_BYTES_MAX + 1])
        return self.load.whole(stream, bytes(size))

    def _blob(self, _: int) -> Frame:
        return self.load.blob(self.chance.randbytes(20))

    def _position(self, _: int) -> Frame:
        return position_frame(position(), received_ns=self.clock.wall_ns())

    def _large(self, stream: int) -> Frame:
        size = PAYLOAD_BYTES_MAX + self.chance.choice([-1, 0, 1, 40, 9_999])
        return self.load.als(stream, [bytes(3), bytes(size), b"", bytes(1)])

    def _opened(self, stream: int) -> Frame:
        opened = self.load.opened()
        self.streams.append(opened.stream)
        return opened if opened.stream % 2 else self.load.closed(stream)

    def _logs(self, stream: int) -> Frame:
        records = [self.chance.randbytes(size) for size in (0, 20, 300)]
        return self.load.otlp(
            stream, [Scope(b"first", records), Scope(None, records[:1])], resource=b"r" * 200
        )

    def _spans(self, stream: int) -> Frame:
        size = self.chance.choice([9, PAYLOAD_BYTES_MAX - 17, PAYLOAD_BYTES_MAX])
        frame = self.load.otlp(
            stream,
            [Scope(None, [bytes(size)] * self.chance.randrange(3))],
            payload_format=PayloadFormat.OTLP_SPAN,
            flags=self.chance.choice([EntryFlags(0), EntryFlags.DUPLICATE]),
        )
        # What no column holds does not change the payloads.
        return changed(frame, data=frame.data + self.chance.choice([b"", UNKNOWN_GROUP]))

    def _cut(self, stream: int) -> Frame:
        return self.load.als(stream, [b""] * 3, flags=EntryFlags.FILTERED)


@given(
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=3).filter(any),
    seed=st.integers(0, 2**32),
    after_ns=st.sampled_from([0, START_NS, START_NS + 10**9]),
)
def test_entries_of_any_journals_equal_those_made_record_by_record(
    lengths: list[int], seed: int, after_ns: int
) -> None:
    journals = []
    for at, length in enumerate(lengths):
        drawn = AnyLoad(seed + at)
        journals.append([drawn.frame() for _ in range(length)])
    batch = make(*filter(None, journals), after_ns=after_ns)
    wanted = naive_entries(journals, after_ns)
    assert batch.entries.to_pylist() == wanted
    times = [int.from_bytes(entry[8:16], "big") for entry in wanted]
    assert times == sorted(times)
    assert batch.received_ns == (times[-1] if times else after_ns)
    assert sorted(batch.blobs) == sorted(wholes_in(journals))


def wholes_in(journals: Sequence[Sequence[Frame]]) -> list[bytes]:
    """What has to become a blob."""
    blobs: list[bytes] = []
    for frame in chain(*journals):
        if frame.framing == Framing.BLOB:
            blobs.append(frame.data)
        elif frame.framing not in NO_ENTRIES:
            blobs += [each for each in payloads_in(frame) if len(each) > PAYLOAD_BYTES_MAX]
    return blobs


def test_frames_of_blobs_alone_become_no_entry() -> None:
    load = KnownLoad(FakeClock())
    batch = make([load.blob(b"identifier"), load.blob(b"")], after_ns=START_NS)
    assert len(batch.entries) == 0
    assert batch.blobs == [b"identifier", b""]
    assert batch.received_ns == START_NS


def test_records_that_repeat_their_resource_count_as_the_kilobytes_that_they_may_become() -> None:
    load = KnownLoad(FakeClock())
    stream = load.opened().stream
    plain = [load.http(stream, 5), load.blob(bytes(9_000)), load.whole(stream, bytes(9_000))]
    assert count_usual_records(slice_of(plain).rows) == 6
    for count in (1, 20, 64):
        records = [bytes(60)] * count
        frame = load.otlp(stream, [Scope(None, records)], resource=bytes(30_000))
        rows = slice_of([*plain, frame]).rows
        payloads_bytes = sum(map(len, payloads_in(frame)))
        assert count_usual_records(rows) - 6 >= min(payloads_bytes, 32 * len(frame.data)) // 1_024
    tiny = load.otlp(stream, [Scope(None, [b""] * 20)])
    assert count_usual_records(slice_of([tiny]).rows) == 20


def test_message_without_records_becomes_no_entry() -> None:
    load = KnownLoad(FakeClock())
    stream = load.opened().stream
    batch = make([load.http(stream, 0), load.tcp(stream, 0), load.http(stream, 2)])
    assert len(batch.entries) == 2


def test_records_are_cut_out_of_a_message_that_holds_more_than_them() -> None:
    load = KnownLoad(FakeClock())
    frame = load.als(load.opened().stream, [b"\x0a\x00", b"\x12\x00"])
    data = wire_field(1, b"\x0a\x02id") + frame.data + wire_field(99, b"unknown")
    (first, second) = make([changed(frame, data=data)]).entries.to_pylist()
    assert (first[32:], second[32:]) == (b"\x0a\x00", b"\x12\x00")


def test_time_before_the_last_entry_is_raised_to_it() -> None:
    load = KnownLoad(FakeClock())
    stream = load.opened().stream
    batch = make([load.http(stream, 2)], after_ns=START_NS + 5)
    assert {entry[8:16] for entry in batch.entries.to_pylist()} == {
        (START_NS + 5).to_bytes(8, "big")
    }


def changed(frame: Frame, **changes: object) -> Frame:
    facts = {name: getattr(frame, name) for name in Frame.__struct_fields__}
    return Frame(**{**facts, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"stream": 0},
        {"stream": -1},
        {"first_seq": -1},
        {"entry_type": 0},
        {"entry_type": 7},
        {"payload_format": 0},
        {"payload_format": 33},
        {"payload_format": PayloadFormat.MESHTRAIL_JSON},
        {"framing": Framing.OTLP},
        {"framing": Framing.WHOLE},
        {"framing": 99},
        {"flags": 16},
        {"flags": EntryFlags.PREFIX},
    ],
    ids=str,
)
def test_row_that_says_what_no_entry_can_is_damage_and_named(changes: dict[str, int]) -> None:
    load = KnownLoad(FakeClock())
    stream = load.opened().stream
    good = load.http(stream, 2)
    with pytest.raises(JournalDamageError, match="cannot become entries") as caught:
        make([good, changed(good, **changes)])
    assert caught.value.stream == changes.get("stream", stream)


@pytest.mark.parametrize(
    "changes",
    [
        {"payload_format": PayloadFormat.OTLP_LOG_JSON},
        {"payload_format": PayloadFormat.OTLP_METRICS},
        {"payload_format": PayloadFormat.OTLP_FRAME},
        {"framing": Framing.ALS},
        {"stream": 0},
    ],
    ids=str,
)
def test_row_of_an_export_that_says_what_no_entry_can_is_damage(changes: dict[str, int]) -> None:
    load = KnownLoad(FakeClock())
    good = load.otlp(load.opened().stream, [Scope(None, [b"r"])])
    assert len(make([good]).entries) == 1
    with pytest.raises(JournalDamageError, match="cannot become entries"):
        make([changed(good, **changes)])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_export_with_another_number_of_records_than_was_journaled_is_damage(count: int) -> None:
    load = KnownLoad(FakeClock())
    frame = load.otlp(load.opened().stream, [Scope(None, [b"r", b"s"])])
    with pytest.raises(JournalDamageError, match="holds 2"):
        make([changed(frame, records_count=count)])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_message_with_another_number_of_records_than_was_journaled_is_damage(count: int) -> None:
    load = KnownLoad(FakeClock())
    frame = load.http(load.opened().stream, 2)
    with pytest.raises(JournalDamageError, match="holds 2"):
        make([changed(frame, records_count=count)])


def test_message_that_is_no_protobuf_is_damage() -> None:
    load = KnownLoad(FakeClock())
    frame = load.http(load.opened().stream, 2)
    with pytest.raises(JournalDamageError):
        make([changed(frame, data=b"\xff" * 10)])


def test_entry_types_of_meshtrail_keep_their_place_among_records() -> None:
    load = KnownLoad(FakeClock())
    opened = load.opened()
    frames = [opened, load.tcp(opened.stream, 1), load.http(opened.stream, 1)]
    frames.append(load.closed(opened.stream))
    entries = make(frames).entries.to_pylist()
    assert [entry[1] for entry in entries] == [
        EntryType.STREAM_OPENED,
        EntryType.RECORD,
        EntryType.RECORD,
        EntryType.STREAM_CLOSED,
    ]


def test_digests_of_exports_become_no_entries() -> None:
    load = KnownLoad(FakeClock())
    opened = load.opened()
    digest = export_frame(bytes(16), received_ns=opened.received_ns)
    batch = make([digest, opened, digest, load.http(opened.stream, 2), digest])
    assert len(batch.entries) == 3
    assert batch.blobs == []
