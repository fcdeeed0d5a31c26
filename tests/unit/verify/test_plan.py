"""Segments are cut into pieces of whole row groups, in order and without a gap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from meshtrail.errors import EventError
from meshtrail.model.event import SEGMENT_SCHEMA
from meshtrail.store.layout import segment_file
from meshtrail.verify import plan as plan_module
from meshtrail.verify.plan import PiecePlan

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 1000
NAMED = segment_file(500, 500 + ROWS)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data directory with one segment of ten row groups."""
    (tmp_path / "segments").mkdir()
    columns = []
    for field in SEGMENT_SCHEMA:
        if field.nullable:
            columns.append(pa.nulls(ROWS, field.type))
        elif field.name == "entry":
            columns.append(pa.array([bytes(32)] * ROWS, pa.binary()))
        else:
            value = {pa.string(): "x", pa.bool_(): True}.get(field.type, 1)
            columns.append(pa.array([value] * ROWS, field.type))
    table = pa.table(columns, schema=SEGMENT_SCHEMA)
    pq.write_table(table, tmp_path / NAMED.path, row_group_size=100)
    return tmp_path


def plan(root: Path, *, start: int = 0, end: int = 10_000) -> PiecePlan:
    return PiecePlan(root=root, origin="o", start=start, end=end, is_deep=False)


def spans(root: Path, position: int, **bounds: int) -> list[tuple[int, int, tuple[int, ...], int]]:
    pieces = plan(root, **bounds).cut(NAMED, position)
    return [(one.start, one.end, one.row_groups, one.skip) for one in pieces]


def test_segment_that_fits_is_one_piece(root: Path) -> None:
    assert spans(root, 500) == [(500, 1500, tuple(range(10)), 0)]


def test_pieces_have_whole_row_groups_up_to_their_rows(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "PIECE_ROWS", 399)
    assert spans(root, 500) == [
        (500, 800, (0, 1, 2), 0),
        (800, 1100, (3, 4, 5), 0),
        (1100, 1400, (6, 7, 8), 0),
        (1400, 1500, (9,), 0),
    ]


def test_row_group_over_the_bytes_of_a_piece_is_one_by_itself(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "PIECE_BYTES", 1)
    assert len(spans(root, 500)) == 10


def test_pieces_begin_and_end_with_the_leaves_that_are_wanted(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "PIECE_ROWS", 300)
    assert spans(root, 950, end=1450) == [
        (950, 1100, (3, 4, 5), 150),
        (1100, 1400, (6, 7, 8), 0),
        (1400, 1450, (9,), 0),
    ]
    assert spans(root, 500, start=1490) == [(1490, 1500, (9,), 90)]
    assert spans(root, 1500) == []


def test_unread_and_vanished_pieces_cover_what_is_left(root: Path) -> None:
    unread = plan(root, end=1200).unread(NAMED, 700)
    assert (unread.start, unread.end, unread.row_groups) == (700, 1200, ())
    vanished = plan(root).vanished(NAMED, 0)
    assert (vanished.start, vanished.end, vanished.row_groups) == (500, 1500, (0,))


def test_segment_of_other_rows_or_columns_is_refused(root: Path) -> None:
    other = segment_file(0, ROWS + 1)
    (root / other.path).write_bytes((root / NAMED.path).read_bytes())
    with pytest.raises(EventError, match="1000 rows, its name says 1001"):
        plan(root).cut(other, 0)
    pq.write_table(pa.table({"a": [1]}), root / NAMED.path)
    with pytest.raises(EventError, match="other columns"):
        plan(root).cut(NAMED, 0)
    (root / NAMED.path).write_bytes(b"PAR1 not really PAR1")
    with pytest.raises(EventError, match="no Parquet file"):
        plan(root).cut(NAMED, 0)
    (root / NAMED.path).unlink()
    with pytest.raises(FileNotFoundError):
        plan(root).cut(NAMED, 0)
