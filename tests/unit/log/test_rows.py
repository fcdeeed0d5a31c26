from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from meshtrail.log import rows
from meshtrail.log.rows import NewRows, one_ahead
from meshtrail.merkle import Frontier, hash_leaf
from meshtrail.model.event import EVENT_SCHEMA
from tests.segment_rows import segment_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshtrail.units import LeafIndex

ENTRIES = [b"entry %d" % number for number in range(20)]


def derive(entries: pa.Array, start: LeafIndex) -> pa.Table:
    return segment_table(start, start + len(entries)).select(EVENT_SCHEMA.names)


@pytest.mark.parametrize("at_once", [1, 7, 20, 100])
def test_rows_follow_the_tree_and_the_tiles_hold_their_leaves(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "ROW_GROUP_ROWS", at_once)
    tree, naive = Frontier(), Frontier()
    tree.extend(bytes(32) * 5)
    naive.extend(bytes(32) * 5)
    new = NewRows(pa.array([b"no", *ENTRIES], pa.binary()).slice(1), tree, derive)
    tables = list(new.make())
    assert [table.num_rows for table in tables][:-1] == [at_once] * ((20 - 1) // at_once)
    whole = pa.concat_tables(tables)
    assert whole.column("log_index").to_pylist() == list(range(5, 25))
    assert whole.column("entry").to_pylist() == ENTRIES
    hashes = b"".join(hash_leaf(entry) for entry in ENTRIES)
    naive.extend(hashes)
    assert new.tiles == hashes
    assert (tree.size, tree.root()) == (naive.size, naive.root())


def test_the_tree_is_as_it_was_until_all_rows_were_taken() -> None:
    tree = Frontier()
    made = NewRows(pa.array(ENTRIES, pa.binary()), tree, derive).make()
    next(made)
    assert tree.size == 0
    assert next(made, None) is None
    assert tree.size == 20


def table(number: int) -> pa.Table:
    return pa.table({"number": [number]})


def test_one_is_made_ahead_of_the_one_in_use_and_no_more() -> None:
    made = []

    def count() -> Iterator[pa.Table]:
        for number in range(4):
            made.append(number)
            yield table(number)

    with ThreadPoolExecutor(1) as beside:
        for number, taken in enumerate(one_ahead(count(), beside)):
            assert taken.equals(table(number))
            beside.submit(int).result()
            assert made == list(range(min(number + 2, 4)))


def test_what_fails_in_the_making_fails_where_it_is_taken() -> None:
    def fail() -> Iterator[pa.Table]:
        yield table(0)
        raise LookupError("no blob")

    taken: list[pa.Table] = []
    with ThreadPoolExecutor(1) as beside, pytest.raises(LookupError, match="no blob"):
        taken.extend(one_ahead(fail(), beside))
    assert len(taken) <= 1
