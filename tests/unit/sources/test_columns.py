from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from meshtrail.sources import columns

if TYPE_CHECKING:
    from collections.abc import Iterable


def periods(*pairs: tuple[int, int] | None) -> pa.RecordBatch:
    kind = pa.struct([("seconds", pa.int64()), ("nanos", pa.int32())])
    values = [pair and {"seconds": pair[0], "nanos": pair[1]} for pair in pairs]
    return pa.record_batch([pa.array(values, kind)], names=["time"])


@pytest.mark.parametrize(
    ("period", "wanted"),
    [
        (None, (None, False)),
        ((0, 0), (0, False)),
        ((-1, 500_000_000), (-500_000_000, False)),
        ((9_223_372_035, 999_999_999), (9_223_372_035_999_999_999, False)),
        ((9_223_372_036, 0), (None, True)),
        ((-9_223_372_035, 0), (-9_223_372_035_000_000_000, False)),
        ((-9_223_372_036, 0), (None, True)),
        ((2**63 - 1, 0), (None, True)),
        ((-(2**63), 0), (None, True)),
        ((0, 1_000_000_000), (None, True)),
        ((0, -1), (None, True)),
        ((0, -(2**31)), (None, True)),
    ],
)
def test_a_period_is_nanoseconds_or_impossible(
    period: tuple[int, int] | None, wanted: tuple[int | None, bool]
) -> None:
    # A possible one beside it: a whole column must not depend on one row.
    values, impossible = columns.period_ns(periods(period, (1, 1)), "time")
    assert (values.to_pylist()[0], impossible.to_pylist()[0]) == wanted
    assert (values.to_pylist()[1], impossible.to_pylist()[1]) == (1_000_000_001, False)


@pytest.mark.parametrize(
    ("kind", "to", "value", "wanted"),
    [
        (pa.uint64(), pa.int64(), 2**63 - 1, 2**63 - 1),
        (pa.uint64(), pa.int64(), 2**63, None),
        (pa.uint64(), pa.int64(), 2**64 - 1, None),
        (pa.uint32(), pa.int32(), 2**31 - 1, 2**31 - 1),
        (pa.uint32(), pa.int32(), 2**31, None),
        (pa.uint32(), pa.int32(), 0, 0),
    ],
)
def test_a_number_that_does_not_fit_is_null(
    kind: pa.DataType, to: pa.DataType, value: int, wanted: int | None
) -> None:
    batch = pa.record_batch([pa.array([value, 7], kind)], names=["n"])
    assert columns.integer(batch, "n", to=to).to_pylist() == [wanted, 7]


def test_zero_and_the_empty_text_can_mean_absent() -> None:
    batch = pa.record_batch([pa.array([0, 5], pa.uint32()), pa.array(["", "a"])], names=["n", "t"])
    assert columns.integer(batch, "n", to=pa.int32(), zero_is_null=True).to_pylist() == [None, 5]
    assert columns.text(batch, "t").to_pylist() == [None, "a"]


def test_each_distinct_value_is_looked_at_once() -> None:
    seen: list[str] = []

    def derive(value: str) -> tuple[str, int]:
        seen.append(value)
        return value.upper(), len(value)

    column = pa.array(["a", None, "bb", "a", None, "bb"])
    upper, length = columns.map_distinct(column, derive, [pa.string(), pa.int32()])
    assert upper.to_pylist() == ["A", None, "BB", "A", None, "BB"]
    assert length.to_pylist() == [1, None, 2, 1, None, 2]
    assert seen == ["a", "bb"]
    (nothing,) = columns.map_distinct(
        pa.nulls(2, pa.string()), lambda value: (value,), [pa.string()]
    )
    assert nothing.to_pylist() == [None, None]


def test_of_several_flat_values_for_a_row_the_last_counts() -> None:
    lists = pa.array([[{"key": "a"}, {"key": "b"}], [], None, [{"key": "c"}]])
    entries = columns.Entries(lists)
    everything = entries.where(pa.array([True, True, True]))
    spread = columns.spread(entries.field("key"), entries.rows, everything, len(lists))
    assert spread.to_pylist() == ["b", None, None, "c"]
    none_of_them = entries.where(pa.array([False, None, False]))
    assert columns.spread(entries.field("key"), entries.rows, none_of_them, 4).null_count == 4


@pytest.mark.parametrize("sliced", [False, True])
def test_hex_of_one_shape_is_decoded_and_all_else_is_null(*, sliced: bool) -> None:
    values = ["0a-ff", "0A-ff", "0a+ff", "0a-f", "0a-fff", "", None, "0é-f", "g0-00", "00-00"]
    column = pa.array(["ff-00", *values]).slice(1) if sliced else pa.array(values)
    decoded, shaped = columns.decode_hex(column, "xx-xx")
    wanted: Iterable[bytes | None] = [b"\x0a\xff", *[None] * 8, b"\x00\x00"]
    assert decoded.to_pylist() == wanted
    assert np.flatnonzero(shaped).tolist() == [0, 9]
    decoded.validate(full=True)


def test_a_coded_column_has_each_value_once_and_no_null_among_them() -> None:
    rows = pa.array([3, 0, None, 1, 2, 0], pa.int64())
    coded = columns.coded(["a", None, "b", "a"], rows)
    assert coded.to_pylist() == ["a", "a", None, None, "b", "a"]
    assert coded.dictionary.to_pylist() == ["a", "b"]
    assert coded.null_count == 2
    assert columns.coded([], pa.array([], pa.int64())).to_pylist() == []


def test_a_coded_column_keeps_its_dictionary_where_values_are_taken_away() -> None:
    coded = columns.coded(["a", "b"], pa.array([0, 1, None, 1], pa.int64()))
    masked = columns.mask_null(coded, pa.array([True, False, True, True]))
    assert masked.to_pylist() == ["a", None, None, "b"]
    assert masked.type == coded.type
    assert columns.plain(masked).type == pa.string()
    assert columns.plain(masked).to_pylist() == masked.to_pylist()


def test_a_label_stands_where_it_is_true_and_nowhere_else() -> None:
    labelled = columns.labelled(pa.array([True, False, None]), "asserted")
    assert labelled.to_pylist() == ["asserted", None, None]


def test_the_first_that_says_something_counts() -> None:
    one = columns.coded(["a", None], pa.array([1, 0, 1]))
    other = columns.coded(["x", "y"], pa.array([0, 1, None]))
    found = columns.first_of(one, other)
    assert found.type == pa.dictionary(pa.int32(), pa.string())
    assert found.to_pylist() == ["x", "a", None]
    assert found.dictionary.null_count == 0
