from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from meshtrail.errors import DurabilityError, MissingFileError
from meshtrail.log import rows
from meshtrail.log.intake import EntryBatch
from meshtrail.log.rows import NewRows
from meshtrail.merkle import Frontier, hash_leaf
from meshtrail.model.entry import headers_array
from meshtrail.model.event import EVENT_SCHEMA
from meshtrail.units import LeafIndex
from tests.segment_rows import segment_table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

ENTRIES = [b"entry %d" % number for number in range(20)]
START = LeafIndex(5)


class FakeDeriver:
    """Rows made from their number; remembers what was begun and is not taken yet."""

    def __init__(self) -> None:
        self.begun: deque[tuple[int, int]] = deque()
        self.begun_most = 0

    def open(self, *_: object) -> None:
        raise NotImplementedError

    def begin(self, headers: npt.NDArray[np.void], payloads: pa.Array, start: LeafIndex) -> None:
        assert [int(seq) for seq in headers["seq"]] == [*range(start, start + len(headers))]
        assert payloads.to_pylist() == [b"payload %d" % seq for seq in headers["seq"]]
        self.begun.append((start, start + len(headers)))
        self.begun_most = max(self.begun_most, len(self.begun))

    def take(self) -> pa.Table:
        return segment_table(*self.begun.popleft()).select(EVENT_SCHEMA.names)


def make_batch() -> EntryBatch:
    headers = headers_array(len(ENTRIES))
    headers["seq"] = range(START, START + len(ENTRIES))
    payloads = pa.array([b"payload %d" % seq for seq in headers["seq"]], pa.binary())
    entries = pa.array([b"no", *ENTRIES], pa.binary()).slice(1)
    return EntryBatch(entries, headers, payloads, 7, [])


def make_tree() -> Frontier:
    tree = Frontier()
    tree.extend(bytes(32) * START)
    return tree


@pytest.mark.parametrize("at_once", [1, 7, 19, 20, 100])
def test_rows_follow_the_tree_and_the_tiles_hold_their_leaves(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "ROWS_AT_ONCE", at_once)
    tree, naive, deriver = make_tree(), make_tree(), FakeDeriver()
    new = NewRows(make_batch(), START, deriver)
    tables = list(new.make(tree, on_turn=lambda: None))
    assert [table.num_rows for table in tables][:-1] == [at_once] * ((20 - 1) // at_once)
    whole = pa.concat_tables(tables)
    assert whole.column("log_index").to_pylist() == list(range(5, 25))
    assert whole.column("entry").to_pylist() == ENTRIES
    hashes = b"".join(hash_leaf(entry) for entry in ENTRIES)
    naive.extend(hashes)
    assert new.tiles == hashes
    assert (tree.size, tree.root()) == (naive.size, naive.root())


def test_events_of_two_parts_are_on_the_way_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "ROWS_AT_ONCE", 3)
    deriver = FakeDeriver()
    new = NewRows(make_batch(), START, deriver)
    assert list(deriver.begun) == [(5, 8)]
    made = new.make(make_tree(), on_turn=lambda: None)
    next(made)
    assert list(deriver.begun) == [(8, 11)]
    list(made)
    assert deriver.begun_most == 2


def test_others_can_be_begun_once_all_of_these_are_on_the_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rows, "ROWS_AT_ONCE", 8)
    deriver = FakeDeriver()
    begun: list[Any] = []
    new = NewRows(make_batch(), START, deriver)
    made = new.make(make_tree(), on_turn=lambda: begun.append(list(deriver.begun)))
    next(made)
    assert begun == []
    next(made)
    assert begun == []
    list(made)
    # Before the last is even taken, and when it was.
    assert begun == [[(21, 25)], []]


def test_the_tree_is_as_it_was_until_all_rows_were_taken() -> None:
    tree = make_tree()
    made = NewRows(make_batch(), START, FakeDeriver()).make(tree, on_turn=lambda: None)
    next(made)
    assert tree.size == 5
    assert next(made, None) is None
    assert tree.size == START + 20


@pytest.mark.parametrize("wrong", [(5, 24), (5, 26), (6, 26), (4, 24), (0, 20)])
def test_events_of_other_entries_are_refused(
    wrong: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    deriver = FakeDeriver()
    monkeypatch.setattr(deriver, "take", lambda: segment_table(*wrong).drop_columns("entry"))
    tree = make_tree()
    made = NewRows(make_batch(), START, deriver).make(tree, on_turn=lambda: None)
    with pytest.raises(DurabilityError, match="not entries 5 to 24; none was sealed"):
        next(made)
    assert tree.size == 5


def test_what_fails_in_deriving_fails_where_rows_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> pa.Table:
        raise MissingFileError("no blob")

    deriver = FakeDeriver()
    monkeypatch.setattr(deriver, "take", fail)
    made = NewRows(make_batch(), START, deriver).make(make_tree(), on_turn=lambda: None)
    with pytest.raises(MissingFileError, match="no blob"):
        next(made)
