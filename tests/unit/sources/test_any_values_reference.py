from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import message_factory
from opentelemetry.proto.common.v1 import common_pb2

from meshtrail.sources.any_values import KEY_VALUE
from meshtrail.sources.any_values_reference import AttributeMap, integer_of, text_of
from meshtrail.sources.shim import cut_descriptor

AnyValue = common_pb2.AnyValue
Cut = message_factory.GetMessageClass(
    cut_descriptor(common_pb2.KeyValue.DESCRIPTOR, KEY_VALUE, package="test.any_values_reference")
)


def pairs(*items: tuple[str, common_pb2.AnyValue]) -> list[Any]:
    """Attributes as they are read."""
    return [
        Cut.FromString(common_pb2.KeyValue(key=key, value=value).SerializeToString())
        for key, value in items
    ]


@pytest.mark.parametrize(
    ("value", "text", "number"),
    [
        (AnyValue(string_value="12"), "12", 12),
        (AnyValue(string_value=""), None, None),
        (AnyValue(bytes_value=b"12"), None, None),
        (AnyValue(int_value=0), "0", 0),
        (AnyValue(double_value=2.0), None, 2),
        (AnyValue(double_value=float("nan")), None, None),
        (AnyValue(bool_value=False), "false", None),
        (AnyValue(array_value={"values": [AnyValue(string_value="a")]}), "a", None),
        (AnyValue(array_value={"values": [AnyValue(string_value="a")] * 2}), None, None),
        (AnyValue(), None, None),
    ],
)
def test_a_value_is_read_by_what_is_asked_for(
    value: common_pb2.AnyValue, text: str | None, number: int | None
) -> None:
    (read,) = pairs(("a", value))
    assert (text_of(read.value), integer_of(read.value)) == (text, number)


def test_the_first_key_that_says_something_counts_and_of_equal_keys_the_last() -> None:
    attributes = AttributeMap(
        pairs(
            ("a", AnyValue(int_value=1)),
            ("a", AnyValue(int_value=2**40)),
            ("b", AnyValue(string_value="3")),
        )
    )
    assert attributes.text("none", "a", "b") == f"{2**40}"
    assert attributes.integer("a", "b", maximum=2**31 - 1) == 3
    assert attributes.text("none") is None
