from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshtrail.errors import DigestError, InputError, MissingFileError
from meshtrail.model.event import SEGMENT_SCHEMA
from meshtrail.store import joined_segment
from meshtrail.store.durable import Disk, DurableWriter, write_file
from meshtrail.store.joined_segment import join_segments
from meshtrail.store.manifest import CommittedFile
from meshtrail.store.thrift_compact import I64, Fields
from tests.join_sources import TABLE, Sources, footer_start

if TYPE_CHECKING:
    from collections.abc import Callable


def edited(number: int, kind: int, value: object) -> Callable[[Fields], Fields]:
    """Change a field of the footer."""
    return lambda footer: dict(sorted({**footer, number: (kind, value)}.items()))


def in_chunk(change: Callable[[Fields], object]) -> Callable[[Fields], Fields]:
    """Change the chunk of ``trace_id``, which has all that a chunk may have."""

    def changed(footer: Fields) -> Fields:
        change(footer[4][1][1][0][1][1][1][SEGMENT_SCHEMA.get_field_index("trace_id")])
        return footer

    return changed


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (edited(1, 5, 1), "version"),
        (edited(6, 8, b"another writer"), "created_by"),
        (edited(5, 9, (12, [{1: (8, b"key")}])), "key_value_metadata"),
        (lambda footer: {at: field for at, field in footer.items() if at != 7}, "column_orders"),
    ],
    ids=["version", "writer", "key and value", "orders"],
)
def test_source_whose_footer_differs_is_named_with_the_field(
    change: Callable[[Fields], Fields], name: str, sources: Sources
) -> None:
    sources.add(TABLE)
    sources.add(TABLE, change=change)
    with pytest.raises(InputError, match=rf"{sources.files[1].named.path} has another {name} "):
        sources.join()


def test_source_of_other_columns_is_refused(sources: Sources) -> None:
    sources.add(TABLE)
    sources.add(TABLE)
    pq.write_table(TABLE.drop_columns(["entry"]), sources.path(1), store_schema=False)
    data = sources.path(1).read_bytes()
    sources.files[1] = CommittedFile(
        sources.files[1].named, len(data), hashlib.sha256(data).digest()
    )
    with pytest.raises(InputError, match="has another schema"):
        sources.join()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda chunk: chunk.update({1: (8, b"other.parquet")}), r"a column chunk with the fields"),
        (lambda chunk: chunk.update({10: (I64, 4)}), r"a column chunk with the fields \[10\]"),
        (lambda chunk: chunk[3][1].update({17: (I64, 4)}), r"metadata of a column .* \[17\]"),
        (lambda chunk: chunk.update({2: (I64, 1 << 40)}), "offset 1099511627776 outside"),
        (lambda chunk: chunk.update({4: (I64, chunk[4][1] + 1)}), "an index at"),
        (lambda chunk: [chunk.pop(4), chunk.pop(5)], "an index at"),
        (lambda chunk: chunk.pop(7), "lacks a field of its footer: 7"),
    ],
    ids=["other file", "new field", "new metadata", "offset", "index", "gap", "no length"],
)
def test_layout_that_is_not_known_is_refused(
    change: Callable[[Fields], object], message: str, sources: Sources
) -> None:
    sources.add(TABLE, change=in_chunk(change))
    with pytest.raises(InputError, match=message):
        sources.join()


def test_footer_of_a_later_parquet_is_refused_though_all_sources_have_it(sources: Sources) -> None:
    for start in (0, 100):
        sources.add(TABLE.slice(start, 100), change=edited(20, I64, 777))
    with pytest.raises(InputError, match=r"a footer with the fields \[20\]"):
        sources.join()


def test_bytes_that_no_index_names_are_refused(sources: Sources) -> None:
    # The offset index of the last column stands last.
    def forget(footer: Fields) -> Fields:
        chunk = footer[4][1][1][0][1][1][1][-1]
        del chunk[4], chunk[5]
        return footer

    sources.add(TABLE, change=forget)
    with pytest.raises(InputError, match="between its indexes and its footer"):
        sources.join()


def test_footer_longer_than_its_fields_is_refused(sources: Sources) -> None:
    sources.add(TABLE)
    data = sources.path(0).read_bytes()
    length = len(data) - 8 - footer_start(data)
    data = data[:-8] + b"\0" + (length + 1).to_bytes(4, "little") + b"PAR1"
    committed = write_file(Disk(), sources.path(0), data)
    sources.files[0] = CommittedFile(sources.files[0].named, *committed)
    with pytest.raises(InputError, match="a footer of 1 bytes more"):
        sources.join()


def test_more_row_groups_than_a_file_may_have_are_refused(
    three: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joined_segment, "ROW_GROUPS_MAX", 2)
    with pytest.raises(InputError, match="3 row groups, a file has at most 2"):
        three.join()


@given(at=st.integers(0, 1 << 30), bit=st.integers(0, 7))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_source_with_any_changed_bit_is_refused(at: int, bit: int, three: Sources) -> None:
    data = three.path(1).read_bytes()
    changed = bytearray(data)
    changed[at % len(data)] ^= 1 << bit
    three.path(1).write_bytes(changed)
    with pytest.raises(DigestError, match=three.files[1].named.path):
        three.join()
    three.path(1).write_bytes(data)


@pytest.mark.parametrize("change", ["first", "body", "tail", "longer", "shorter", "gone"])
def test_source_that_changes_after_it_was_looked_at_is_refused(change: str, three: Sources) -> None:
    read = three.read()
    data = bytearray(three.path(2).read_bytes())
    places = {"first": 0, "body": len(data) // 2, "tail": len(data) - 1}
    if change in places:
        data[places[change]] ^= 1
    elif change == "longer":
        data += b"\0"
    else:
        del data[1_000:]
    three.path(2).write_bytes(data)
    if change == "gone":
        three.path(2).unlink()
    wanted = MissingFileError if change == "gone" else DigestError
    with (
        DurableWriter(Disk(), three.joined) as sink,
        pytest.raises(wanted, match=three.files[2].named.path),
    ):
        join_segments(sink, three.root, read)
