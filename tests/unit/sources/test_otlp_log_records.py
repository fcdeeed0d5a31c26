from __future__ import annotations

import pyarrow as pa

from meshtrail.model.otlp_attributes import ACCESS_LOG_TYPE
from meshtrail.sources.otlp_log_records import NOT_ONE_RECORD, LogRecords
from tests.als_messages import length_delimited
from tests.otlp_records import connection, export, log_record, request


def decoded(*payloads: bytes) -> LogRecords:
    return LogRecords(pa.array(payloads, pa.binary()))


def test_payload_with_none_or_several_records_is_bad() -> None:
    one = log_record(request())
    split = export(one) + export(one)
    two_scopes = length_delimited(1, length_delimited(2, length_delimited(2, one)) * 2)
    logs = decoded(export(one), export(one, one), export(), b"", split, two_scopes)
    assert logs.bad == dict.fromkeys(range(1, 6), NOT_ONE_RECORD)
    assert logs.is_envoy.tolist() == [True, False, False, False, False, False]


def test_access_log_is_known_by_its_mark_alone() -> None:
    without = {**request()}
    del without[ACCESS_LOG_TYPE]
    logs = decoded(export(log_record(without)), export(log_record({ACCESS_LOG_TYPE: "-"})))
    assert logs.is_envoy.tolist() == [False, True]
    assert logs.text("http.request.method").to_pylist() == [None, None]


def test_type_says_whether_a_record_is_of_a_request() -> None:
    types = ["DownstreamEnd", "UpstreamEnd", "TcpConnectionEnd", "NotSet", "downstreamend", "-"]
    logs = decoded(*(export(log_record({**request(), ACCESS_LOG_TYPE: one})) for one in types))
    assert logs.is_request.tolist() == [True, True, False, False, False, False]


def test_attributes_are_read_of_records_that_they_are_of_and_of_no_other() -> None:
    stray = {**connection(), "url.scheme": "http"}
    odd = {**request(), "envoy.rbac.network": "{}"}
    logs = decoded(export(log_record(stray)), export(log_record(odd)))
    assert logs.text("url.scheme").to_pylist() == [None, "http"]
    assert logs.text("envoy.rbac.network").to_pylist() == [None, None]


def test_of_equal_keys_the_last_counts_in_each_record() -> None:
    first, second = log_record(request(route_name="a")), log_record({"envoy.route_name": "b"})
    # Joined, two messages are one with the attributes of both.
    logs = decoded(export(first + second), export(first))
    assert logs.text("envoy.route_name").to_pylist() == ["b", "a"]


def test_dash_and_nothing_are_absent_and_other_types_than_text_too() -> None:
    number = length_delimited(1, b"envoy.route_name") + length_delimited(2, b"\x18\x07")
    mark = log_record({ACCESS_LOG_TYPE: "NotSet"})
    logs = decoded(
        *(export(log_record(request(route_name=value))) for value in ("-", "", " ", "--")),
        export(mark + length_delimited(6, number)),
    )
    assert logs.text("envoy.route_name").to_pylist() == [None, None, " ", "--", None]
