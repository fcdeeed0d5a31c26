from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.compute as pc
import pytest

from meshtrail.errors import DigestError, MissingFileError
from meshtrail.search.event_reader import EventReader, find_newest
from meshtrail.store.manifest_follower import ManifestFollower
from tests.unit.search.small_log import ORIGIN, make_log

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.search.small_log import SmallLog


def reader(log: SmallLog) -> EventReader:
    verifier = log.signer.verifier
    return EventReader(
        log.layout,
        verifier,
        origin=ORIGIN,
        columns=["log_index", "url_path"],
        texts=["url_path"],
        manifests=ManifestFollower(log.layout, verifier, origin=ORIGIN),
    )


def rows(count: int) -> list[dict[str, object]]:
    return [{"url_path": f"/{at}"} for at in range(count)]


@pytest.fixture
def log(tmp_path: Path) -> SmallLog:
    return make_log(tmp_path)


def read(one: EventReader) -> list[int]:
    return [index for table in one.read_new() for index in table.column("log_index").to_pylist()]


def test_each_row_is_read_once_and_in_order(log: SmallLog) -> None:
    one = reader(log)
    assert read(one) == []
    log.add_segment(rows(5))
    log.add_segment(rows(3))
    assert read(one) == list(range(8))
    assert read(one) == []
    log.add_segment(rows(2))
    assert read(one) == [8, 9]


def test_texts_are_read_as_dictionaries(log: SmallLog) -> None:
    log.add_segment([{"url_path": "/a"}] * 3)
    log.add_segment([{"url_path": "/b"}])
    tables = list(reader(log).read_new())
    assert [str(table.schema.field("url_path").type).split("<")[0] for table in tables] == [
        "dictionary"
    ] * 2
    assert [path for table in tables for path in table.column("url_path").to_pylist()] == [
        "/a",
        "/a",
        "/a",
        "/b",
    ]


def test_reading_begins_where_it_is_told(log: SmallLog) -> None:
    log.add_segment(rows(5))
    log.add_segment(rows(5))
    one = reader(log)
    one.position = 3
    assert read(one) == [3, 4, 5, 6, 7, 8, 9]


def test_large_segments_come_in_parts(log: SmallLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshtrail.search.event_reader.ROWS_AT_ONCE", 4)
    log.add_segment(rows(10))
    assert [table.num_rows for table in reader(log).read_new()] == [4, 4, 2]


def test_columns_come_in_the_order_in_which_they_were_asked_for(log: SmallLog) -> None:
    log.add_segment(rows(1))
    (table,) = reader(log).read_new()
    assert table.column_names == ["log_index", "url_path"]


def test_a_segment_that_is_gone_or_no_parquet_is_named(log: SmallLog) -> None:
    path = log.add_segment(rows(5))
    data = path.read_bytes()
    path.unlink()
    with pytest.raises(MissingFileError, match=path.name):
        read(reader(log))
    path.write_bytes(data[:50])
    with pytest.raises(DigestError, match=path.name):
        read(reader(log))
    with pytest.raises(DigestError, match=path.name):
        find_newest(reader(log), pc.field("url_path") == "/1", ["log_index", "url_path"])


def test_the_newest_event_that_holds_is_found(log: SmallLog) -> None:
    log.add_segment(rows(5))
    log.add_segment(rows(3))
    log.add_segment(rows(2))
    columns = ["log_index", "url_path"]
    assert find_newest(reader(log), pc.field("url_path") == "/2", columns) == {
        "log_index": 7,
        "url_path": "/2",
    }
    assert find_newest(reader(log), pc.field("url_path") == "/9", columns) is None
