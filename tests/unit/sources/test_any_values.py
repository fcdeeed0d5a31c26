from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from google.protobuf import message_factory
from opentelemetry.proto.common.v1 import common_pb2

from meshtrail.sources.any_values import KEY_VALUE, Attributes
from meshtrail.sources.any_values_reference import AttributeMap
from meshtrail.sources.column_decoder import ColumnDecoder
from meshtrail.sources.shim import cut_descriptor

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

AnyValue = common_pb2.AnyValue
I32_MAX, I64_MAX = 2**31 - 1, 2**63 - 1
SHIM = cut_descriptor(
    common_pb2.KeyValueList.DESCRIPTOR, {"values": KEY_VALUE}, package="test.any_values"
)


def of(value: object) -> common_pb2.AnyValue:
    """A value as a sender writes it."""
    if isinstance(value, list):
        return AnyValue(array_value={"values": [of(one) for one in value]})
    names = {str: "string", bool: "bool", int: "int", float: "double", bytes: "bytes"}
    return AnyValue(**{f"{names[type(value)]}_value": value})


def encode(*pairs: tuple[str, object]) -> bytes:
    """One record's attributes; a value may stand ready-made."""
    items = [
        {"key": key, "value": value if isinstance(value, AnyValue) else of(value)}
        for key, value in pairs
    ]
    data: bytes = common_pb2.KeyValueList(values=items).SerializeToString()
    return data


def columnar(*records: bytes, shim: Descriptor = SHIM) -> Attributes:
    batch = ColumnDecoder(shim).decode(pa.array(records, pa.binary()))
    return Attributes(batch.column("values"))


def reference(record: bytes, shim: Descriptor = SHIM) -> AttributeMap:
    message: Any = message_factory.GetMessageClass(shim).FromString(record)
    return AttributeMap(message.values)


def text(value: object) -> str | None:
    """A value asked for as a text, between records that have another and none."""
    record = encode(("other", 1), ("a", value))
    column = columnar(encode(("a", "x")), record, encode()).text("a").to_pylist()
    assert (column[0], column[2]) == ("x", None)
    assert reference(record).text("a") == column[1]
    told: str | None = column[1]
    return told


def number(value: object, *, maximum: int = I32_MAX) -> int | None:
    """A value asked for as a number, in the same company."""
    record = encode(("other", "x"), ("a", value))
    kind = pa.int32() if maximum == I32_MAX else pa.int64()
    column = columnar(encode(("a", 7)), record, encode()).integer("a", to=kind)
    assert column.type == kind
    assert (column[0].as_py(), column[2].as_py()) == (7, None)
    assert reference(record).integer("a", maximum=maximum) == column[1].as_py()
    told: int | None = column[1].as_py()
    return told


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("a", "a"),
        ("", None),
        (12, "12"),
        (0, "0"),
        (-1, "-1"),
        (True, "true"),
        (False, "false"),
        (1.5, None),
        (b"a", None),
        (["a"], "a"),
        ([""], None),
        ([], None),
        (["a", "b"], None),
        ([1], None),
        ([["a"]], None),
        (AnyValue(), None),
        (AnyValue(kvlist_value={"values": [{"key": "a", "value": of("b")}]}), None),
    ],
)
def test_a_value_reads_as_a_text_where_it_says_one(value: object, wanted: str | None) -> None:
    assert text(value) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (200, 200),
        (0, 0),
        (-1, None),
        (I32_MAX, I32_MAX),
        (2**31, None),
        (I64_MAX, None),
        (-(2**63), None),
        ("200", 200),
        ("0200", 200),
        ("0", 0),
        ("-1", None),
        ("+1", None),
        (" 1", None),
        ("1\n", None),
        ("1_0", None),
        ("٣", None),
        ("", None),
        ("9" * 18, None),
        ("0" * 17 + "1", 1),
        ("0" * 18 + "1", None),
        (["200"], 200),
        (200.0, 200),
        (-0.0, 0),
        (200.5, None),
        (float("nan"), None),
        (float("inf"), None),
        (1e300, None),
        (True, None),
        (AnyValue(), None),
    ],
)
def test_a_value_reads_as_a_number_where_it_says_one(value: object, wanted: int | None) -> None:
    assert number(value) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (I64_MAX, I64_MAX),
        (-1, None),
        ("9" * 18, 10**18 - 1),
        (float(2**53), 2**53),
        (float(2**53 + 2), None),
    ],
)
def test_a_wide_number_keeps_all_its_digits(value: object, wanted: int | None) -> None:
    assert number(value, maximum=I64_MAX) == wanted


@pytest.mark.parametrize(
    ("pairs", "wanted"),
    [
        ((("new", "a"), ("old", "b")), "a"),
        ((("old", "b"), ("new", "a")), "a"),
        ((("old", "b"),), "b"),
        ((("new", ""), ("old", "b")), "b"),
        ((("new", "a"), ("new", "c")), "c"),
        ((("new", "a"), ("new", ""), ("old", "b")), "b"),
        ((("other", "a"),), None),
        ((), None),
    ],
)
def test_the_first_spelling_that_says_something_counts_and_of_equal_keys_the_last(
    pairs: tuple[tuple[str, object], ...], wanted: str | None
) -> None:
    record = encode(*pairs)
    assert columnar(record, encode(("new", "n"))).text("new", "old").to_pylist() == [wanted, "n"]
    assert reference(record).text("new", "old") == wanted


def test_a_spelling_that_is_no_number_makes_way_for_the_next() -> None:
    record = encode(("new", "abc"), ("old", 2**40), ("oldest", "404"))
    keys = ("new", "old", "oldest")
    assert columnar(record).integer(*keys, to=pa.int32()).to_pylist() == [404]
    assert reference(record).integer(*keys, maximum=I32_MAX) == 404


def test_a_value_with_several_members_is_its_text() -> None:
    # One after the other, as no sender writes: {int_value: 5, string_value: "a"}, and a list.
    several = b"\x0a\x0c\x0a\x01a\x12\x07\x18\x05\x0a\x01x\x10\x01"
    assert columnar(several).text("a").to_pylist() == ["x"]
    assert reference(several).text("a") == "x"
    assert columnar(several).integer("a", to=pa.int32()).to_pylist() == [5]


def test_no_records_have_no_attributes() -> None:
    none: Any = columnar()
    assert none.text("a").to_pylist() == []
    assert none.integer("a", to=pa.int64()).to_pylist() == []
    assert columnar(encode(), encode()).text("a").to_pylist() == [None, None]
