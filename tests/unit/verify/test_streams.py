"""Streams are followed by columns as a plain loop over entries would follow them."""

from __future__ import annotations

from itertools import pairwise
from typing import TypeAlias

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from meshtrail.model.entry import EntryType
from meshtrail.verify.findings import PieceFindings
from meshtrail.verify.streams import StreamLedger, find_runs

OPENED, CLOSED, RECORD = EntryType.STREAM_OPENED, EntryType.STREAM_CLOSED, EntryType.RECORD
Entry: TypeAlias = tuple[int, int, EntryType]


def follow(entries: list[Entry], cuts: list[int], *, is_whole: bool = True) -> set[str]:
    """The subjects that the ledger reports, over pieces that end at the cuts."""
    ledger = StreamLedger(is_whole=is_whole)
    found = PieceFindings()
    edges = sorted({0, len(entries), *cuts})
    for start, end in pairwise(edges):
        part = entries[start:end]
        runs = find_runs(
            np.array([stream for stream, _, _ in part], dtype=np.int64),
            np.array([seq for _, seq, _ in part], dtype=np.int64),
            np.array([kind for _, _, kind in part], dtype=np.int64),
            start=start,
            found=found,
        )
        found.kept.extend(ledger.take(runs))
    found.kept.extend(ledger.finish())
    return {finding.subject for finding in found.kept}


def naive(entries: list[Entry]) -> bool:
    """Whether every stream counts from its opening to its closing; obviously right."""
    next_seq: dict[int, int] = {}
    closed: set[int] = set()
    for stream, seq, kind in entries:
        if stream in closed or seq != next_seq.get(stream, 0) or (seq == 0) != (kind is OPENED):
            return False
        next_seq[stream] = seq + 1
        if kind is CLOSED:
            closed.add(stream)
    return True


entry_lists = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 4), st.sampled_from([OPENED, CLOSED, RECORD])),
    max_size=9,
)


@st.composite
def honest_lists(draw: st.DrawFn) -> list[Entry]:
    """Entries of some streams, each from its opening on, mixed."""
    next_seq: dict[int, int] = {}
    closed: set[int] = set()
    entries: list[Entry] = []
    for stream in draw(st.lists(st.integers(1, 4), max_size=24)):
        if stream in closed:
            continue
        seq = next_seq.get(stream, 0)
        kind = OPENED if seq == 0 else draw(st.sampled_from([RECORD, RECORD, RECORD, CLOSED]))
        entries.append((stream, seq, kind))
        next_seq[stream] = seq + 1
        if kind is CLOSED:
            closed.add(stream)
    return entries


@given(honest_lists(), st.lists(st.integers(0, 24), max_size=5))
def test_honest_streams_are_clean_however_they_are_cut(
    entries: list[Entry], cuts: list[int]
) -> None:
    assert naive(entries)
    assert not follow(entries, [cut for cut in cuts if cut < len(entries)])


@given(entry_lists, st.lists(st.integers(0, 9), max_size=4))
@example([(1, 0, OPENED), (1, 1, CLOSED), (1, 0, OPENED)], [2])
@example([(1, 0, OPENED), (1, 1, CLOSED), (1, 2, RECORD)], [2])
@example([(1, 0, OPENED), (1, 1, CLOSED), (1, 0, OPENED), (1, 1, CLOSED)], [2])
def test_any_streams_are_clean_exactly_when_a_plain_loop_says_so(
    entries: list[Entry], cuts: list[int]
) -> None:
    found = follow(entries, [cut for cut in cuts if cut < len(entries)])
    assert bool(found) != naive(entries)


@given(honest_lists(), st.data())
def test_part_of_an_honest_log_is_clean_where_openings_are_not_asked_for(
    entries: list[Entry], data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(entries)))
    assert not follow(entries[start:], [], is_whole=False)


def test_beginning_without_an_opening_is_named_in_a_part_of_a_log_too() -> None:
    assert follow([(1, 0, RECORD)], [], is_whole=False) == {"entry 0"}
    assert follow([(1, 3, OPENED)], [], is_whole=False) == {"entry 0"}


def test_entry_is_named_with_what_was_wanted() -> None:
    entries = [(7, 0, OPENED), (7, 1, RECORD), (7, 3, RECORD)]
    assert follow(entries, []) == follow(entries, [2]) == {"entry 2"}


def test_ledger_counts_what_opened_and_closed() -> None:
    ledger = StreamLedger(is_whole=True)
    entries = [(1, 0, OPENED), (2, 0, OPENED), (1, 1, CLOSED)]
    columns = [np.array(column, dtype=np.int64) for column in zip(*entries, strict=True)]
    found = PieceFindings()
    assert not list(ledger.take(find_runs(*columns, start=0, found=found)))
    assert (ledger.opened_count, ledger.closed_count, ledger.open_count) == (2, 1, 1)
    ledger.skip()
    assert ledger.open_count == 0
