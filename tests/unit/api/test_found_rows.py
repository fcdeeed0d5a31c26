from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from meshtrail.api.found_rows import FoundRows
from meshtrail.api.row_forms import AnswerFacts
from meshtrail.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = pa.schema([("n", pa.int64())])
FACTS = AnswerFacts(log="a/b/c", tree_size=1, checkpoint_size=None, root_hash=None)


def batches(*sizes: int) -> Iterator[pa.RecordBatch]:
    at = 0
    for size in sizes:
        rows = [{"n": at + each} for each in range(size)]
        yield pa.RecordBatch.from_pylist(rows, schema=SCHEMA)
        at += size


def read(rows: FoundRows) -> list[int]:
    return [row["n"] for batch in iter(rows.read, None) for row in batch.to_pylist()]


@pytest.mark.parametrize("limit", range(1, 9))
@pytest.mark.parametrize("sizes", [(0,), (6,), (0, 2, 0, 3, 1), (5, 0), (7,)])
def test_no_more_than_the_limit_is_given_out_and_it_says_whether_there_was_more(
    sizes: tuple[int, ...], limit: int
) -> None:
    rows = FoundRows(FACTS, batches(*sizes), limit=limit)
    wanted = min(sum(sizes), limit)
    assert read(rows) == list(range(wanted))
    assert (rows.found, rows.has_more) == (wanted, sum(sizes) > limit)
    assert rows.read() is None


def test_what_cannot_be_read_is_an_error_before_anything_is_given_out() -> None:
    class Failing:
        def __iter__(self) -> Failing:
            return self

        def __next__(self) -> pa.RecordBatch:
            raise QueryError("wrong")

    with pytest.raises(QueryError):
        FoundRows(FACTS, Failing(), limit=1)


def test_columns_are_known_without_a_row_and_closing_reads_no_more() -> None:
    assert FoundRows(FACTS, batches(0), limit=1).schema == SCHEMA
    rows = FoundRows(FACTS, batches(1, 1), limit=9)
    rows.close()
    assert read(rows) == [0]
