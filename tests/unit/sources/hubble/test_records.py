from __future__ import annotations

import time
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from meshtrail.sources.hubble.lines import NO_EVENT, SAYS_NOTHING, SEVERAL_EVENTS
from meshtrail.sources.hubble.records import map_hubble
from meshtrail.sources.hubble.reference import map_hubble_line
from meshtrail.sources.streams import Reporters, StreamFacts
from tests.hubble_lines import (
    NODE,
    TIME,
    TIME_NS,
    detail,
    end,
    event,
    event_of_flow,
    events,
    flow,
    http,
    line,
    picked,
    policy,
    reply,
)


def test_a_line_in_the_other_spelling_says_the_same() -> None:
    packet = flow(
        source_service={"name": "web-svc"},
        policy_match_type=4,
        trace_context={"parent": {"trace_id": "ab" * 16}},
    )
    respelled = {
        **packet,
        "trafficDirection": packet["traffic_direction"],
        "isReply": packet["is_reply"],
        "eventType": {"type": 4, "subType": 3},
        "sourceService": packet["source_service"],
        "policyMatchType": 4,
        "traceContext": {"parent": {"traceId": "ab" * 16}},
        "traceObservationPoint": "TO_STACK",
        "nodeName": NODE,
        "l4": {"TCP": {"sourcePort": 40_000, "destinationPort": 8080}},
    }
    for end_name in ("source", "destination"):
        told = dict(packet[end_name])
        told["podName"], told["clusterName"] = told.pop("pod_name"), told.pop("cluster_name")
        respelled[end_name] = told
    for name in list(respelled):
        if "_" in name:
            del respelled[name]
    one, other = events([line("flow", packet), line("flow", respelled, node_name=None)])
    assert {**other, "log_index": 0, "seq": 0} == {**one, "log_index": 0, "seq": 0}
    assert one["src_service"] == "web-svc"
    assert one["trace_id"] == bytes.fromhex("ab" * 16)


def test_a_flow_that_stands_in_no_member_is_read_as_one() -> None:
    row = event(line("verdict", "FORWARDED", IP={"source": "10.0.1.5"}, traffic_direction="EGRESS"))
    assert picked(row, "kind", "src_ip", "time", "src_node") == ["flow", "10.0.1.5", TIME_NS, NODE]


@pytest.mark.parametrize("before", [f"{TIME} stderr F ", f"{TIME} "])
def test_what_a_container_runtime_wrote_before_a_line_is_left_out(before: str) -> None:
    row = event(before.encode() + line("flow", flow()) + b"\r")
    assert picked(row, "kind", "src_pod") == ["flow", "web-7d9f-x1"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"Handling connection", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", NO_EVENT),
        (b'{"level":"info"}', NO_EVENT),
        (b'{"flow":{"Summary":"x"}}', SAYS_NOTHING),
        (b'{"flow":7}', SAYS_NOTHING),
        (line("flow", flow(), lost_events={}), SEVERAL_EVENTS),
        (line("lost_events", "many"), "lost_events is not a JSON object"),
        (f'{TIME} stdout P {{"flow":'.encode(), "a part of a line"),
    ],
)
def test_a_line_that_holds_no_event_says_why_and_nothing_else(text: bytes, reason: str) -> None:
    bad, good = events([text, line("flow", flow())])
    assert bad["kind"] == "undecoded"
    assert reason in bad["decode_error"]
    assert not {"time", "detail", "src_ip", "decision"} & bad.keys()
    assert good["kind"] == "flow"


def test_a_mask_may_leave_anything_out() -> None:
    whole = flow(l7=http(), verdict="DROPPED", drop_reason_desc="POLICY_DENIED")
    left = [{name: whole[name]} for name in whole if name not in {"Summary", "event_type", "l4"}]
    rows = events(line("flow", one, time=None, node_name=None) for one in left)
    says_too_little = {"is_reply", "trace_observation_point"}
    for one, row in zip(left, rows, strict=True):
        name = next(iter(one))
        assert (row["kind"] == "undecoded") == (name in says_too_little), name


def test_requests_are_told_from_answers_and_say_how_long_they_took() -> None:
    answer = http("RESPONSE", code=200) | {"latency_ns": "1500"}
    asked, answered = events(
        [line("flow", flow(l7=http(), Type="L7")), line("flow", reply(l7=answer, Type="L7"))]
    )
    same = ("kind", "src_pod", "http_request_method", "url_path", "url_query", "request_id")
    assert picked(asked, *same) == picked(answered, *same)
    assert picked(asked, *same)[:5] == ["request", "web-7d9f-x1", "GET", "/items", "user=7"]
    own = ("envoy_access_log_type", "http_response_status_code", "duration", "time", "end_time")
    assert picked(asked, *own) == ["REQUEST", None, None, TIME_NS, None]
    assert picked(answered, *own) == ["RESPONSE", 200, 1500, TIME_NS - 1500, TIME_NS]
    assert picked(asked, "url_scheme", "server_address") == ["http", "cart:8080"]


def test_a_name_and_password_in_a_url_are_told_nowhere() -> None:
    row = event_of_flow(l7=http(url="https://user:secret@cart/x"))
    assert "secret" not in str(row)
    assert picked(row, "url_scheme", "server_address", "url_path") == ["https", "cart", "/x"]


def test_a_content_type_is_the_requests_only_in_what_was_asked() -> None:
    grpc = [{"key": "Content-Type", "value": "application/grpc"}]
    asked, answered = (
        event_of_flow(l7=http(kind, headers=grpc, url="/shop.Cart/Get"))
        for kind in ("REQUEST", "RESPONSE")
    )
    names = ("http_request_content_type", "rpc_method")
    assert picked(asked, *names) == ["application/grpc", "shop.Cart/Get"]
    assert picked(answered, *names) == [None, None]


def test_a_trace_id_is_asserted_and_headers_come_first() -> None:
    context = {"parent": {"trace_id": "AB" * 16}}
    row = event_of_flow(trace_context=context)
    assert picked(row, "trace_id", "trace_id_trust") == [bytes.fromhex("ab" * 16), "asserted"]
    header = {"key": "Traceparent", "value": f"00-{'cd' * 16}-{'ef' * 8}-01"}
    row = event_of_flow(trace_context=context, l7=http(headers=[header]))
    assert row["trace_id"] == bytes.fromhex("cd" * 16)
    nothing = event_of_flow(trace_context={"parent": {"trace_id": "0" * 32}})
    assert "trace_id" not in nothing


def test_what_is_asked_of_dns_and_kafka_is_told() -> None:
    dns = {"query": "api.example.com.", "rcode": 3}
    row = event_of_flow(l7={"type": "RESPONSE", "dns": dns}, Type="L7")
    assert picked(row, "kind", "dns_question_name") == ["flow", "api.example.com"]
    assert detail(row)["dns"] == dns
    kafka = {"api_key": "produce", "topic": "orders"}
    assert detail(event_of_flow(l7={"type": "REQUEST", "kafka": kafka}))["kafka"] == kafka


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"time": "yesterday"}, "time is no time"),
        ({"IP": {"source": "a host"}}, "IP.source is no address"),
        ({"l4": {"UDP": {"destination_port": 65_536}}}, "destination_port is no port"),
        ({"l7": {"latency_ns": -1}}, "latency_ns is no number"),
        ({"l7": {"latency_ns": 2**62}}, "latency_ns leads out of time"),
        ({"l7": http(code="4e2")}, "code is no status"),
    ],
)
def test_a_value_that_cannot_be_read_is_null_and_noted(
    changed: dict[str, object], problem: str
) -> None:
    row = event_of_flow(**changed)
    assert row["decode_error"] == problem
    assert row["src_pod"] == "web-7d9f-x1"


def test_hostile_lines_cost_time_in_proportion() -> None:
    long = "x" * 60_000
    hostile = [
        line("flow", flow(source=end("web", labels=[long] * 100))),
        line("flow", flow(l7=http(url="http://" + "@" * 60_000))),
        line("flow", flow(l7=http(headers=[{"key": "traceparent", "value": long}] * 100))),
        line("flow", flow(egress_allowed_by=[policy(str(at)) for at in range(2_000)])),
        b'{"flow":' + b'{"source":' * 60 + b"1" + b"}" * 61,
        b'{"flow":' + b"[" * 500_000,
        line("flow", flow(uuid='"' * 100_000)),
    ]
    begin = time.process_time()
    senders = Reporters([StreamFacts()], np.zeros(len(hostile), dtype=np.int64))
    out = map_hubble(pa.array(hostile, pa.binary()), senders)
    for at, text in enumerate(hostile):
        row: dict[str, Any] = {}
        map_hubble_line(text, row, [], StreamFacts())
        assert row["kind"] == out.columns["kind"][at].as_py()
    # Seconds on any machine: what grows with the square of a line's length would take hours.
    assert time.process_time() - begin < 20
