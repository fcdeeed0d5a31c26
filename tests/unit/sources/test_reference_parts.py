from __future__ import annotations

import pytest
from google.protobuf import struct_pb2

from meshtrail.sources.als_schema import filter_descriptor
from meshtrail.sources.envoy_messages import read_rbac
from meshtrail.sources.reference_parts import RbacFields, parse_message, read_ids, read_message


class Filter:
    """An entry of the filter metadata of a record."""

    def __init__(self, key: str, value: bytes) -> None:
        self.key = key
        self.value = value


def struct(**fields: str) -> bytes:
    made = struct_pb2.Struct()
    made.update(fields)
    data: bytes = made.SerializeToString(deterministic=True)
    return data


def test_a_message_that_cannot_be_read_is_an_empty_one_with_its_reason() -> None:
    message, reason = read_message("it", filter_descriptor(), b"\x0a\x05a")
    assert message == parse_message(filter_descriptor(), b"")
    assert reason == "it: not a protobuf message"
    assert read_message("it", filter_descriptor(), struct(a="b"))[1] is None


def test_fields_of_rbac_are_those_that_the_columnar_mapper_reads() -> None:
    data = struct(enforced_engine_result="allowed", x_shadow_engine_result="denied")
    fields = RbacFields([Filter("other", b"\xff"), Filter("envoy.filters.http.rbac", data)])
    assert fields.reason is None
    assert fields.last("enforced_engine_result") == read_rbac(data).result == "allowed"
    assert fields.last("shadow_engine_result") == read_rbac(data).dry_run_result == "denied"
    assert fields.last("shadow_engine_result", "allowed") is None


@pytest.mark.parametrize(
    ("headers", "trace"),
    [
        ({"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01", "b3": f"{'12' * 8}-{'34' * 8}"}, "ab"),
        ({"traceparent": f"ff-{'ab' * 16}-{'cd' * 8}-01", "b3": f"{'12' * 16}-{'34' * 8}"}, "12"),
        ({"x-b3-traceid": "AB" * 16}, "ab"),
        ({"traceparent": f"00-{'00' * 16}-{'cd' * 8}-01"}, None),
        ({}, None),
    ],
)
def test_the_first_header_with_a_valid_id_counts(headers: dict[str, str], trace: str) -> None:
    found, _ = read_ids(headers)
    assert (found.hex() if found else None) == (trace * 16 if trace else None)
