from __future__ import annotations

import random  # noqa: TID251 - seeded: a failure comes again
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from meshtrail.model.entry import ENTRY_BYTES_MAX, HEADER_BYTES, PayloadFormat
from meshtrail.sources import span_values as values
from meshtrail.sources.otlp_span_schema import export_spans_descriptor
from tests.als_messages import length_delimited
from tests.als_records import derive_both, entry, opened
from tests.campaigns.mutator import Mutator
from tests.otlp_records import export as export_bytes
from tests.otlp_records import log_record
from tests.otlp_spans import (
    END_NS,
    ENVOY_TAGS,
    PARENT_ID,
    REQUEST_ID,
    ROUTER_TAGS,
    SPAN_ID,
    START_NS,
    TRACE_ID,
    event,
    events,
    export,
    span,
)


def test_a_span_of_envoy_becomes_its_columns() -> None:
    row = event(ENVOY_TAGS)
    expected = {
        "kind": "span",
        "source": "otlp",
        "payload_format": "otlp-span",
        "side": "source",
        "time": START_NS,
        "time_quality": "unknown",
        "end_time": END_NS,
        "duration": END_NS - START_NS,
        "trace_id": TRACE_ID,
        "trace_id_trust": "asserted",
        "span_id": SPAN_ID,
        "parent_span_id": PARENT_ID,
        "span_name": "ingress",
        "span_kind": "server",
        "http_request_method": "GET",
        "url_scheme": "http",
        "url_path": "/pay",
        "url_query": "a=1",
        "server_address": "payments:8080",
        "user_agent_original": "curl/8",
        "http_response_status_code": 200,
        "http_request_body_size": 12,
        "http_response_body_size": 4,
        "network_protocol_version": "1.1",
        "src_ip": "10.0.0.5",
        "envoy_upstream_cluster": "outbound|80||back",
        "request_id": bytes.fromhex(REQUEST_ID.replace("-", "")),
        "request_id_trust": "asserted",
    }
    reporters = {name for name in row if name.startswith("reporter_")}
    of_the_entry = {"log", "log_index", "received_time", "stream", "seq", "mapper_version"}
    assert {name: row.get(name) for name in expected} == expected
    assert row.keys() - reporters - of_the_entry - {"is_duplicate"} == expected.keys()


def test_an_attempt_of_envoy_upstream_says_whom_it_called() -> None:
    row = event(ROUTER_TAGS, kind=3, name="router outbound|80||back egress")
    expected = {
        "side": "source",
        "span_kind": "client",
        "span_status": "error",
        "dst_ip": "10.0.0.9",
        "dst_port": 8443,
        "envoy_response_flags": "UF",
        "network_protocol_version": "2",
    }
    assert {name: row.get(name) for name in expected} == expected
    assert row.keys().isdisjoint({"src_ip", "src_port", "http_response_status_code"})


def test_a_span_says_nothing_of_identities_and_decisions() -> None:
    claims = {
        "src_spiffe_id": "spiffe://a/b",
        "spiffe.id": "spiffe://a/b",
        "istio.authorization.dry_run.deny_policy.result": "denied",
        "http.status_code": "403",
    }
    row = event({**ENVOY_TAGS, **claims})
    named = [name for name in row if "spiffe" in name and not name.startswith("reporter_")]
    assert named == []
    assert row.keys().isdisjoint({"decision", "decision_trust", "policy_name"})


@pytest.mark.parametrize(
    ("name", "length"), [("trace_id", 16), ("span_id", 8), ("parent_span_id", 8)]
)
def test_an_id_has_its_length_and_is_not_all_zeros(name: str, length: int) -> None:
    for wrong in (bytes(length), b"\x01" * (length - 1), b"\x01" * (length + 1), b"\x01"):
        row = event(**{name: wrong})
        assert name not in row
        assert f"{name}_trust" not in row
        assert row["decode_error"] == f"{name} is not an id of {length} bytes"
    assert event(**{name: bytes(length - 1) + b"\x01"})[name][-1] == 1
    assert "decode_error" not in event()


def test_only_a_parent_may_be_absent() -> None:
    root = event(parent_span_id=b"")
    assert "parent_span_id" not in root
    assert "decode_error" not in root
    reasons = event(trace_id=b"", span_id=b"")["decode_error"]
    assert reasons == "trace_id is not an id of 16 bytes; span_id is not an id of 8 bytes"


@pytest.mark.parametrize(
    ("start", "end", "wanted", "reason"),
    [
        (START_NS, END_NS, (START_NS, END_NS, END_NS - START_NS), None),
        (START_NS, START_NS, (START_NS, START_NS, 0), None),
        (1, 2**63 - 1, (1, 2**63 - 1, 2**63 - 2), None),
        (END_NS, START_NS, (END_NS, START_NS, None), "span ends before it starts"),
        (0, END_NS, (None, END_NS, None), None),
        (START_NS, 0, (START_NS, None, None), None),
        (2**63, END_NS, (None, END_NS, None), "start_time_unix_nano is not a time"),
        (START_NS, 2**64 - 1, (START_NS, None, None), "end_time_unix_nano is not a time"),
    ],
)
def test_times_are_as_sent_or_null_with_a_reason(
    start: int, end: int, wanted: tuple[int | None, ...], reason: str | None
) -> None:
    row = event(start_time_unix_nano=start, end_time_unix_nano=end)
    assert tuple(row.get(name) for name in ("time", "end_time", "duration")) == wanted
    assert row.get("decode_error") == reason


def test_kinds_and_statuses_have_names() -> None:
    assert [event(kind=kind).get("span_kind") for kind in range(7)] == [
        None,
        *("internal", "server", "client", "producer", "consumer", "6"),
    ]
    named = [event(status={"code": code}).get("span_status") for code in range(4)]
    assert named == [None, "ok", "error", "3"]


@pytest.mark.parametrize("value", ["true", True])
def test_the_tag_error_counts_where_there_is_no_status(value: str | bool) -> None:  # noqa: FBT001 - what senders write
    assert event({"error": value})["span_status"] == "error"
    assert event({"error": value}, status={"code": 1})["span_status"] == "ok"
    assert "span_status" not in event({"error": "false"})


def test_what_is_not_exactly_one_span_is_undecoded() -> None:
    none, one, two = events(export(), export(span()), export(span(), span()))
    assert [row["kind"] for row in (none, one, two)] == ["undecoded", "span", "undecoded"]
    assert none["decode_error"] == two["decode_error"] == "not exactly one span"
    assert "trace_id" not in two


def test_what_is_no_protobuf_is_undecoded_with_its_reason() -> None:
    key = export(span({"ab": "c"})).replace(b"\x0a\x02ab", b"\x0a\x02\xff\xfe")
    broken, unreadable, empty = events(b"\xff", key, b"")
    assert broken["decode_error"] == "not a protobuf message"
    assert unreadable["decode_error"] == "invalid UTF-8 in a string"
    assert empty["decode_error"] == "not exactly one span"
    assert {row["kind"] for row in (broken, unreadable, empty)} == {"undecoded"}


READ_BY_BOTH = {
    "http.request.method": "http_request_method",
    "user_agent.original": "user_agent_original",
}
"""Attributes that are read of spans and of log records, and the columns that they fill."""


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (b"\x0a\x04caf\xe9", "caf!"),
        (b"\x0a\x03\xff\xfe\x80", "!!!"),
        (b"\x0a\x03\xed\xa0\x80", "!!!"),
        ("\x0a\x05café".encode(), "café"),
        (b"\x0a\x00", None),
        (b"\x0a\x01-", None),
        # Bytes, an empty value, and bytes behind a text.
        (b"\x3a\x03\xff\xfe\x80", None),
        (b"", None),
        (b"\x0a\x01a\x3a\x01b", "a"),
    ],
)
@pytest.mark.parametrize("key", READ_BY_BOTH)
def test_attribute_of_any_bytes_reads_the_same_in_a_span_and_in_a_log_record(
    key: str, written: bytes, wanted: str | None
) -> None:
    pair = length_delimited(1, key.encode()) + length_delimited(2, written)
    bare = span().SerializeToString()
    of_span = export_bytes(bare + length_delimited(9, pair))
    attributes: dict[str, str | bytes] = {"envoy.access_log_type": "DownstreamEnd"}
    of_log = export_bytes(log_record(attributes) + length_delimited(6, pair))
    good = entry(export(span()), PayloadFormat.OTLP_SPAN, seq=3)
    rows = derive_both(
        opened(),
        entry(of_span, PayloadFormat.OTLP_SPAN),
        entry(of_log, PayloadFormat.OTLP_LOG, seq=2),
        good,
    )[1:]
    assert [row["kind"] for row in rows] == ["span", "request", "span"]
    assert [row[READ_BY_BOTH[key]] for row in rows[:2]] == [wanted, wanted]


@pytest.mark.parametrize(
    ("written", "wanted"), [(b"G\xff", "G!"), (b"\xff\xfe", "!!"), ("é".encode(), "é")]
)
def test_name_of_any_bytes_costs_nothing_but_itself(written: bytes, wanted: str) -> None:
    named = export(span(ENVOY_TAGS, name="ab")).replace(b"\x2a\x02ab", b"\x2a\x02" + written)
    (row,) = events(named)
    assert row == event(ENVOY_TAGS) | {"span_name": wanted, "seq": 1, "log_index": row["log_index"]}


_KEYS = sorted(
    {
        *(key for keys in values.SPELLINGS.values() for key in keys),
        *(key for keys in values.SIZES.values() for key in keys),
        *(*values.HTTP_STATUSES, *values.URLS, *values.PROTOCOLS, *values.HOSTS),
        *(*values.PEERS, *values.PEER_PORTS, *values.LOCALS, *values.LOCAL_PORTS),
        *(*values.RPC_SYSTEMS, *values.RPC_STATUSES, *values.REQUEST_IDS),
        *(
            f"{values.DRY_RUN}.{a}_policy.{w}"
            for a in ("deny", "allow")
            for w in ("name", "result")
        ),
        *("net.host.name", "net.peer.name", "grpc.authority", "url.path", "url.query"),
        *("http.target", "rpc.method", "rpc.service", "grpc.path", "component"),
        *("upstream_address", "peer.address", "error", "something.else"),
    }
)
_WORDS = st.sampled_from(
    [
        *(
            "",
            "-",
            "proxy",
            "grpc",
            "OK",
            "NOT_FOUND",
            "200",
            "0",
            "70000",
            "HTTP/2",
            "2.0",
            "true",
        ),
        *(
            "http://h:1/a?b",
            "https://u:p@h",
            "http://h?x",
            "http://h#f?q",
            "://",
            "/a?b?c",
            "?",
            "/",
        ),
        *("10.0.0.1", "::1", "[::1]:80", "10.0.0.1:80", "10.0.0.1:99999", "fe80::1%eth0", "h:80"),
        *("denied", "allowed", "inbound|80||", "outbound|80||x", "a.B", "M", "/a.B/M", REQUEST_ID),
    ]
)
_VALUES = st.recursive(
    st.one_of(
        st.builds(common_pb2.AnyValue),
        st.builds(common_pb2.AnyValue, string_value=_WORDS | st.text(max_size=8)),
        st.builds(common_pb2.AnyValue, string_value=_WORDS),
        st.builds(common_pb2.AnyValue, int_value=st.integers(-(2**63), 2**63 - 1)),
        st.builds(common_pb2.AnyValue, int_value=st.integers(-1, 600)),
        st.builds(common_pb2.AnyValue, double_value=st.floats() | st.just(200.0)),
        st.builds(common_pb2.AnyValue, bool_value=st.booleans()),
        st.builds(common_pb2.AnyValue, bytes_value=st.binary(max_size=3)),
    ),
    lambda inner: st.lists(inner, max_size=2).map(
        lambda items: common_pb2.AnyValue(array_value={"values": items})
    ),
    max_leaves=3,
)
_IDS = st.sampled_from([b"", bytes(8), bytes(16), SPAN_ID, TRACE_ID, TRACE_ID + b"x"])
_MOMENTS = st.sampled_from([0, 1, START_NS, END_NS, 2**63 - 1, 2**63, 2**64 - 1])


@st.composite
def spans(draw: st.DrawFn) -> trace_pb2.Span:
    """Any span, in the fields and attributes that become columns."""
    pairs = st.tuples(st.sampled_from(_KEYS), _VALUES)
    items = [
        common_pb2.KeyValue(key=key, value=value)
        for key, value in draw(st.lists(pairs, max_size=12))
    ]
    if draw(st.booleans()):
        items.append(common_pb2.KeyValue(key="component", value={"string_value": "proxy"}))
    return trace_pb2.Span(
        trace_id=draw(_IDS),
        span_id=draw(_IDS),
        parent_span_id=draw(_IDS),
        name=draw(st.text(max_size=4)),
        kind=draw(st.integers(0, 6)),
        start_time_unix_nano=draw(_MOMENTS),
        end_time_unix_nano=draw(_MOMENTS),
        status={"code": draw(st.integers(0, 3))},
        attributes=items,
    )


@settings(max_examples=100)
@given(batch=st.lists(st.lists(spans(), max_size=2), min_size=1, max_size=6))
def test_reference_agrees_on_any_span(batch: list[list[Any]]) -> None:
    events(*(export(*some) for some in batch))


def test_reference_agrees_on_mutated_records() -> None:
    typed = {
        "url.full": "https://u:p@h:1/a?b",
        "http.request.header.x-request-id": [REQUEST_ID],
        "http.response.status_code": 200,
        "rpc.grpc.status_code": 0,
        "network.peer.address": "::1",
        "network.peer.port": 1.0,
        "error": True,
    }
    seeds = [
        *(export(span(ENVOY_TAGS)), export(span(ROUTER_TAGS, kind=3)), export(span())),
        export(span(typed, kind=3, status={"code": 2})),
    ]
    mutator = Mutator(export_spans_descriptor(), seeds, random.Random("spans"))  # noqa: S311 - as above
    kinds = set()
    for count in (1, 2, 7, 60, 400, 800):
        bent = [mutator.mutate() for _ in range(count)]
        rows = events(*(one for one in bent if len(one) <= ENTRY_BYTES_MAX - HEADER_BYTES))
        kinds |= {row["kind"] for row in rows}
    assert kinds == {"span", "undecoded"}
