from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from meshtrail.model.entry import PayloadFormat
from meshtrail.sources.lines.istio_access import NO_ACCESS_LOG
from meshtrail.sources.lines.istio_text import AMBIGUOUS, SEVERAL_WORDS
from meshtrail.sources.mappings import MAPPINGS
from meshtrail.sources.streams import Reporters
from tests.als_records import derive, derive_both, entry, opened
from tests.istio_lines import CONNECTION, INBOUND, WAYPOINT, json_line, text_line

if TYPE_CHECKING:
    from pathlib import Path

OF_THE_FORMAT = ("source", "payload_format", "decision_trust", "dst_workload_trust")
LIE = 'x" "e7d5b6ce-0000-0000-0000-ca5bcd650a72" "admin:80" "10.9.9.9:80" inbound|1|| - - - - -'


def event(line: bytes, kind: PayloadFormat = PayloadFormat.ISTIO_TEXT) -> dict[str, Any]:
    entries = opened(), entry(line, kind)
    derive_both(*entries)
    return derive(*entries)[1]


@pytest.mark.parametrize("told", [INBOUND, CONNECTION, WAYPOINT])
def test_a_line_tells_what_the_same_in_json_does_but_is_trusted_less(told: dict[str, Any]) -> None:
    text = event(text_line(told))
    json = event(json_line(told), PayloadFormat.ISTIO_JSON)
    assert {text.pop(name, None) for name in OF_THE_FORMAT[2:]} <= {"asserted", None}
    same = {name: value for name, value in json.items() if name not in OF_THE_FORMAT}
    assert {name: value for name, value in text.items() if name not in OF_THE_FORMAT} == same


def test_a_denial_in_text_is_asserted() -> None:
    row = event(text_line(INBOUND))
    assert (row["decision"], row["decision_trust"]) == ("denied", "asserted")


def test_quotes_in_a_header_forge_nothing_that_is_told() -> None:
    row = event(text_line(INBOUND | {"user_agent": LIE}))
    assert row["decode_error"] == AMBIGUOUS
    assert (row["dst_ip"], row["src_ip"], row["decision"]) == ("10.0.0.7", "10.0.0.5", "denied")
    assert not {"server_address", "request_id", "user_agent_original"} & row.keys()


@pytest.mark.parametrize(
    "lie",
    [
        {"path": '/ HTTP/1.1" 200 - via_upstream - "-" 1 2 3 4 "'},
        {"user_agent": 'a HTTP/1.1" 200 - via_upstream - "-" 1 2 3 4 "'},
    ],
)
def test_what_can_be_read_in_two_ways_is_not_told(lie: dict[str, str]) -> None:
    row = event(text_line(INBOUND | lie))
    assert (row["decode_error"], row["kind"], row["decision"]) == (AMBIGUOUS, "request", "unknown")
    assert not {"http_response_status_code", "url_path", "duration"} & row.keys()
    assert (row["http_request_method"], row["src_ip"]) == ("POST", "10.0.0.5")


def test_a_quote_in_the_path_that_looks_like_nothing_else_is_read() -> None:
    row = event(text_line(INBOUND | {"path": '/a"b'}))
    assert (row["url_path"], row["decision"], row["decode_error"]) == ('/a"b', "denied", AMBIGUOUS)


def test_blanks_in_a_server_name_are_noted() -> None:
    row = event(text_line(INBOUND | {"requested_server_name": "a b"}))
    assert row["decode_error"] == SEVERAL_WORDS
    assert row["dst_ip"] == "10.0.0.7"


@pytest.mark.parametrize(
    "line",
    [
        b"2026-11-21T01:31:25.000001Z\tinfo\tEnvoy proxy is ready",
        b"[2026-11-21 01:31:25.000][14][warning][config] [source/x.cc:1] gone",
        text_line(INBOUND).rpartition(b" ")[0],
        text_line(INBOUND)[1:],
        b'"' * 14,
        b'[] "' + b'" ' * 20,
        b"",
    ],
)
def test_a_line_of_anything_else_says_that_it_is_none(line: bytes) -> None:
    row = event(line)
    assert (row["kind"], row["decode_error"]) == ("undecoded", NO_ACCESS_LOG)


def test_lines_that_are_made_to_take_long_do_not() -> None:
    start = '[2026-11-21T01:31:24.882Z] "'
    hostile = [
        start + '" ' * 30_000,
        start + '" 200 - - - "' * 5_000 + " - - - - - -",
        start + '" 1 ' + "x" * 60_000 + '" ' * 10,
        start + "a " * 30_000 + '" - - - - - -' + '"' * 15,
        "[" * 60_000,
    ]
    records = pa.array([line.encode() for line in hostile * 4], pa.binary())
    begin = time.process_time()
    map_records = MAPPINGS[PayloadFormat.ISTIO_TEXT]
    out = map_records(records, Reporters([], np.zeros(0, dtype=np.int64)))
    assert time.process_time() - begin < 5
    assert out.columns["kind"].to_pylist().count("undecoded") == 16


def test_every_line_of_a_waypoint_is_a_request(samples: Path) -> None:
    lines = (samples / "ztunnel/waypoint.log").read_bytes().split(b"\n")
    rows = [event(line) for line in lines if line]
    assert len(rows) == 16
    assert {(row["kind"], row["side"], row["decision"]) for row in rows} == {
        ("request", "destination", "unknown")
    }
    assert not any("decode_error" in row for row in rows)
    first = rows[0]
    assert {name: first[name] for name in first if not name.startswith(("log", "rep", "rec"))} == {
        "kind": "request",
        "time": 1_738_239_013_279_000_000,
        "time_quality": "unknown",
        "end_time": 1_738_239_013_279_000_000,
        "duration": 0,
        "source": "istio-text",
        "payload_format": "istio-text",
        "stream": first["stream"],
        "seq": 1,
        "mapper_version": first["mapper_version"],
        "is_duplicate": False,
        "side": "destination",
        "src_ip": "10.244.0.37",
        "src_port": 52_134,
        "dst_ip": "10.244.0.32",
        "dst_port": 9080,
        "dst_service": "details.bookinfo.svc.cluster.local",
        "dst_workload_trust": "asserted",
        "http_request_method": "GET",
        "url_path": "/details/0",
        "server_address": "details:9080",
        "user_agent_original": "Go-http-client/1.1",
        "http_response_status_code": 200,
        "http_request_body_size": 0,
        "http_response_body_size": 178,
        "network_protocol_version": "1.1",
        "envoy_response_code_details": "via_upstream",
        "envoy_upstream_cluster": "inbound-vip|9080|http|details.bookinfo.svc.cluster.local",
        "envoy_route_name": "default",
        "decision": "unknown",
        "request_id": bytes.fromhex("e7d5b6ce5f7f97318471ca5bcd650a72"),
        "request_id_trust": "asserted",
    }
