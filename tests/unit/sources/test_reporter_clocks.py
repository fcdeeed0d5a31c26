from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.model.entry import EntryType, PayloadFormat
from meshtrail.model.event import TimeQuality
from meshtrail.sources import reporter_clocks
from meshtrail.sources.derive import derive_events
from meshtrail.sources.reference import derive_reference
from meshtrail.sources.reporter_clocks import (
    DRIFT_DIVISOR,
    STATED_FOR_NS,
    UNKNOWN_CLOCK,
    ReporterClocks,
    StatedClock,
    parse_clock,
)
from meshtrail.sources.streams import Streams, streams_from_events
from meshtrail.units import INT64_MAX, LeafIndex
from tests.als_records import http_bytes, inbound, no_blob
from tests.clock_statements import S, opened_by, own_entry, stated

BEGIN = 1_795_224_684 * S
STARTED = BEGIN + 882_174_000
"""What the records of these tests say that they began at."""

RECORD = http_bytes(inbound())
NAMES = {1: "a", 2: "b", 3: "a"}
"""Three streams, two of one reporter."""


def record(stream: int, received_ns: int) -> bytes:
    return own_entry(
        RECORD,
        EntryType.RECORD,
        received_ns=received_ns,
        stream=stream,
        payload_format=PayloadFormat.ALS_HTTP,
    )


def openings(received_ns: int = BEGIN, *, writer: str = "ledger", **more: Any) -> list[bytes]:
    ledger = own_entry(opened_by(writer, **more), EntryType.STREAM_OPENED, received_ns=received_ns)
    return [
        ledger,
        *(
            own_entry(
                {"transport": "grpc", "auth": "none", "claimed": {"node_id": name}},
                EntryType.STREAM_OPENED,
                received_ns=received_ns,
                stream=stream,
            )
            for stream, name in NAMES.items()
        ),
    ]


def clock(name: str | None, offset_ns: int | None, received_ns: int, **more: Any) -> bytes:
    payload = stated(name, offset_ns, until_ns=received_ns - 2 * S, **more)
    return own_entry(payload, EntryType.CLOCK, received_ns=received_ns)


def derive(entries: list[bytes], *, streams: Streams | None = None, start: int = 0) -> pa.Table:
    return derive_events(
        pa.array(entries, pa.binary()),
        log="o",
        start=LeafIndex(start),
        streams=Streams() if streams is None else streams,
        read_blob=no_blob,
    )


def told(*entries: bytes) -> list[tuple[int | None, str | None]]:
    """Offset and quality of the records."""
    rows = derive(list(entries)).to_pylist()
    return [(row["time_offset"], row["time_quality"]) for row in rows if row["kind"] == "request"]


def test_the_latest_statement_before_an_entry_counts() -> None:
    assert told(
        *openings(),
        record(1, BEGIN),
        clock("a", 5, BEGIN + 3),
        record(1, BEGIN + 3),
        record(2, BEGIN + 3),
        record(3, BEGIN + 3),
        clock("a", 7, BEGIN + 4),
        clock("b", -9, BEGIN + 4),
        record(1, BEGIN + 5),
        record(2, BEGIN + 5),
        clock("a", None, BEGIN + 6),
        record(3, BEGIN + 6),
    ) == [
        (None, "unknown"),
        (5, "estimated"),
        (None, "unknown"),
        (5, "estimated"),
        (7, "estimated"),
        (-9, "estimated"),
        (None, "unknown"),
    ]


def test_the_error_is_that_of_the_statement_and_the_drift_since() -> None:
    entries = [*openings(), clock("a", 5 * S, BEGIN + 10 * S), record(1, BEGIN + 11 * S)]
    (row,) = [row for row in derive(entries).to_pylist() if row["kind"] == "request"]
    age_ns = abs(STARTED - 5 * S - (BEGIN + 8 * S))
    assert row["time_error"] == 1_000 + (age_ns + 1_000) // DRIFT_DIVISOR + 1


def test_a_statement_counts_for_an_hour() -> None:
    before = [*openings(), clock("a", 5, BEGIN)]
    assert told(*before, record(1, BEGIN + STATED_FOR_NS)) == [(5, "estimated")]
    assert told(*before, record(1, BEGIN + STATED_FOR_NS + 1)) == [(None, "unknown")]


@pytest.mark.parametrize(
    ("writer", "transport"), [("collect", "self"), ("ledger", "grpc"), ("ledger", "")]
)
def test_only_the_ledger_is_believed(writer: str, transport: str) -> None:
    before = openings(writer=writer, transport=transport)
    assert told(*before, clock("a", 5, BEGIN), record(1, BEGIN)) == [(None, "unknown")]


def test_only_own_entries_of_kind_clock_are_believed() -> None:
    payload = stated("a", 5, until_ns=BEGIN)
    finding = own_entry(payload, EntryType.FINDING, received_ns=BEGIN)
    other = own_entry(
        payload, EntryType.CLOCK, received_ns=BEGIN, payload_format=PayloadFormat.ALS_HTTP
    )
    reporters = own_entry(payload, EntryType.CLOCK, received_ns=BEGIN, stream=2)
    assert told(*openings(), finding, other, reporters, record(1, BEGIN)) == [(None, "unknown")]


def test_who_has_no_time_has_no_quality_of_it() -> None:
    untimed = own_entry({"reason": "ended"}, EntryType.STREAM_CLOSED, received_ns=BEGIN, stream=1)
    row = derive([*openings(), clock("a", 5, BEGIN), untimed]).to_pylist()[-1]
    assert [row[name] for name in ("time", "time_offset", "time_error", "time_quality")] == [
        None
    ] * 4
    (alone,) = derive([untimed]).to_pylist()
    assert alone["time_quality"] is None


STRANGE: list[dict[str, Any]] = [
    {"offset_ns": 1 << 61},
    {"offset_ns": 1.5},
    {"offset_ns": True},
    {"offset_ns": None},
    {"error_ns": -1},
    {"quality": "certain"},
    {"quality": ["estimated"]},
    {"until_ns": -1},
    {"until_ns": "0"},
    {"reporter": None},
    {"reporter": {"id": "a"}},
    {"reporter": {"id": 7, "spiffe_id": None, "token": None}},
    {"reporter": {"id": None, "spiffe_id": None, "token": None}},
]


@pytest.mark.parametrize("wrong", STRANGE)
def test_what_is_no_statement_states_nothing(wrong: dict[str, Any]) -> None:
    payload = stated("a", 5, until_ns=BEGIN)
    assert parse_clock(json.dumps(payload).encode(), received_ns=1) is not None
    assert parse_clock(json.dumps(payload | wrong).encode(), received_ns=1) is None


@pytest.mark.parametrize("payload", [b"", b"[]", b"7", b"\xff", b"[" * 60_000, b"{}"])
def test_what_is_no_object_states_nothing(payload: bytes) -> None:
    assert parse_clock(payload, received_ns=1) is None


def test_so_many_clocks_are_kept_and_old_ones_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporter_clocks, "CLOCKS_MAX", 3)
    clocks = ReporterClocks()
    for number in range(5):
        clocks.tell((f"r{number}", None, None), StatedClock(received_ns=number))
    assert len(clocks) == 3
    # Said again it is the newest, and another is the oldest.
    clocks.tell(("r2", None, None), StatedClock(received_ns=9))
    clocks.tell(("r7", None, None), StatedClock(received_ns=9))
    assert clocks.get(("r3", None, None)) is UNKNOWN_CLOCK
    assert clocks.get(("r2", None, None)).received_ns == 9
    clocks.tell(("r8", None, None), StatedClock(received_ns=10 + STATED_FOR_NS))
    assert len(clocks) == 1


def test_a_copy_goes_its_own_way() -> None:
    streams = Streams()
    copy = streams.copy()
    copy.clocks.tell(("a", None, None), StatedClock(TimeQuality.BOUNDED, 1, 2, 3, 4))
    assert (len(streams.clocks), len(copy.clocks)) == (0, 1)


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("record"), st.sampled_from([1, 2, 3, 4])),
        st.tuples(st.just("clock"), st.sampled_from(["a", "b", "c"]), st.integers(-9, 9)),
        st.tuples(st.just("wait"), st.integers(0, STATED_FOR_NS)),
    ),
    max_size=40,
)


def make_entries(acts: list[tuple[Any, ...]]) -> list[bytes]:
    now_ns, entries = BEGIN, openings()
    for act, *rest in acts:
        if act == "wait":
            now_ns += rest[0]
        elif act == "record":
            entries.append(record(rest[0], now_ns))
        else:
            entries.append(clock(rest[0], rest[1] * S if rest[1] else None, now_ns))
    return entries


@given(ACTS, st.lists(st.integers(0, 44), max_size=4))
def test_events_are_those_of_the_reference_however_the_log_is_cut(
    acts: list[tuple[Any, ...]], cuts: list[int]
) -> None:
    entries = make_entries(acts)
    column = pa.array(entries, pa.binary())
    wanted = derive_reference(
        column, log="o", start=LeafIndex(0), streams=Streams(), read_blob=no_blob
    )
    edges = [0, *sorted(min(cut, len(entries)) for cut in cuts), len(entries)]
    streams, parts = Streams(), []
    for at, start in enumerate(edges[:-1]):
        parts.append(derive(entries[start : edges[at + 1]], streams=streams, start=start))
    assert pa.concat_tables(parts).to_pylist() == wanted.to_pylist()


@given(ACTS, st.integers(0, 44))
def test_clocks_are_found_again_in_their_events(acts: list[tuple[Any, ...]], cut: int) -> None:
    entries = make_entries(acts)
    cut = min(cut, len(entries))
    before = derive(entries[:cut])
    # As recovery reads them: what is too old to count for whatever comes is left out.
    last_ns = max(before.column("received_time").to_pylist(), default=0)
    is_old = np.array(before.column("kind").to_pylist()) == "clock"
    is_old &= before.column("received_time").to_numpy() < last_ns - STATED_FOR_NS
    found = streams_from_events(before.filter(pa.array(~is_old)))
    assert derive(entries[cut:], streams=found).to_pylist() == (
        derive(entries).slice(cut).to_pylist()
        if not cut
        else [
            row | {"log_index": row["log_index"] - cut}
            for row in derive(entries).slice(cut).to_pylist()
        ]
    )


@given(
    st.integers(-(1 << 60), 1 << 60),
    st.integers(0, 1 << 60),
    st.integers(0, 1 << 62),
    st.integers(-INT64_MAX - 1, INT64_MAX),
)
def test_no_time_is_too_wild_for_an_error(
    offset_ns: int, error_ns: int, until_ns: int, time_ns: int
) -> None:
    stated_clock = StatedClock(TimeQuality.BOUNDED, offset_ns, error_ns, until_ns, 0)
    zero = np.zeros(1, dtype=np.int64)
    columns = reporter_clocks.ClocksOfRows([stated_clock], zero).columns(
        pa.array([time_ns], pa.int64()), zero
    )
    wanted = stated_clock.error_at(time_ns)
    assert wanted is not None
    assert error_ns < wanted <= INT64_MAX
    assert columns["time_error"].to_pylist() == [wanted]
