"""A real Envoy logs the same through its access log service and through OTLP: equal events."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.resource.v1 import resource_pb2

from meshtrail.model.entry import PayloadFormat
from meshtrail.model.event import BY_NAME
from meshtrail.model.otlp_attributes import ATTRIBUTES
from tests.e2e import wired_proxy as wired
from tests.e2e.logged_mesh import (
    ARRIVAL_S_MAX,
    FRONTEND,
    OF_OTHER_SOURCES,
    PAYMENTS,
    PLACES,
    RECORDS_COUNT,
    REQUESTS_COUNT,
    TO_PAYMENTS,
    Key,
    Row,
    World,
    different,
    events,
    running_world,
    send_everything,
    sidecar,
    source,
    with_logs_of,
)
from tests.e2e.wired_proxy import LOOPBACK, Config
from tests.otlp_records import cut_export
from tests.rig.envoy import Envoy
from tests.rig.otlp_receiver import running_otlp_receiver
from tests.rig.recorder import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

LOG_NAMES = {f"{place}_envoy_accesslog" for place in ("http", "tcp", "listener")}
FROM_NEITHER = {
    **dict.fromkeys(OF_OTHER_SOURCES, "of other sources"),
    "decode_error": "only a record that cannot be read has one",
    "parent_span_id": "of spans",
    "span_name": "of spans",
    "span_kind": "of spans",
    "span_status": "of spans",
    "about": "of counters, gaps and findings",
    "cause": "of counters, gaps and findings",
    "missing_min": "of counters, gaps and findings",
    "missing_max": "of counters, gaps and findings",
    "detail": "of counters, gaps and findings",
    "time_offset": "of reporters whose clock is known",
    "time_error": "of reporters whose clock is known",
    "reporter_ip": "the stream of this test has none",
    "reporter_token": "the stream of this test has none",
    "reporter_conflict": "the stream of this test has none",
}


@dataclass(slots=True)
class Exports:
    """What the OTLP receiver took."""

    records: list[tuple[bytes, bytes]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, data: bytes) -> None:
        with self._lock:
            self.records += cut_export(data)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("otlp")) as world:
        yield world


def pieces_of_both(world: World, otlp_port: int) -> Config:
    """What is printed for both kinds of log, at the places of one of them."""
    [pieces] = wired.emit("envoy", "--address", f"{LOOPBACK}:{world.als_port}")
    [of_otlp] = wired.emit("envoy", "--otlp", "--address", f"{LOOPBACK}:{otlp_port}")
    [otlp_cluster] = of_otlp["clusters"]
    otlp_cluster["name"] = otlp_cluster["load_assignment"]["cluster_name"] = "otlp"
    for place in PLACES:
        for log in of_otlp[place]["access_log"]:
            log["typed_config"]["grpc_service"] = {"envoy_grpc": {"cluster_name": "otlp"}}
    pieces["clusters"].append(otlp_cluster)
    return with_logs_of(pieces, of_otlp)


@dataclass(frozen=True, slots=True)
class Both:
    """The events of both kinds of record, by what they are of."""

    als: dict[Key, Row]
    otlp: dict[Key, Row]
    resources: list[dict[str, str]]

    def pair(self, path: str) -> tuple[Row, Row]:
        """Both events of the only request with this path."""
        [key] = [key for key, row in self.otlp.items() if row.get("url_path") == path]
        return self.als[key], self.otlp[key]


def wait_for(world: World, exports: Exports, count: int) -> None:
    """Wait until so many records of each kind have come."""
    wait_until(
        lambda: min(len(world.received.als), len(exports.records)) >= count,
        f"{count} records of both kinds have come",
        seconds_max=ARRIVAL_S_MAX,
    )


@pytest.fixture(scope="module")
def both(world: World) -> Both:
    exports = Exports()
    with running_otlp_receiver(exports.take) as otlp_port:
        config = sidecar(world, pieces_of_both(world, otlp_port))
        with Envoy("both", config, directory=world.directory) as envoy:
            ports = envoy.ports()
            send_everything(world, ports)
            config = source(world, pieces_of_both(world, otlp_port), inbound=ports["inbound"])
            with Envoy("source", config, directory=world.directory) as calling:
                assert wired.get_plain(calling.ports()["outbound"], "/mesh") == 200
                # The connection between the two ends with the one that calls.
                wait_for(world, exports, RECORDS_COUNT - 1)
            wait_for(world, exports, RECORDS_COUNT)
            assert envoy.records_dropped() == 0
    resources = [resource_pb2.Resource.FromString(resource) for resource, _ in exports.records]
    said = [
        {one.key: one.value.string_value for one in resource.attributes} for resource in resources
    ]
    otlp = [
        (one["log_name"], PayloadFormat.OTLP_LOG, payload)
        for one, (_, payload) in zip(said, exports.records, strict=True)
    ]
    return Both(events(world.received.als), events(otlp), said)


def test_every_record_is_there_once_of_each_kind(both: Both) -> None:
    assert both.als.keys() == both.otlp.keys()
    assert len(both.otlp) == RECORDS_COUNT


def test_all_columns_are_equal_but_for_what_only_one_of_them_can_say(both: Both) -> None:
    unequal = {
        key: different(both.als[key], row)
        for key, row in both.otlp.items()
        if row.get("url_path") not in {"/dash", "/empty", "/method"}
    }
    assert {key: names for key, names in unequal.items() if names} == {}


def test_every_column_that_records_of_a_proxy_have_is_filled(both: Both) -> None:
    filled = {name for row in both.otlp.values() for name in row}
    assert BY_NAME.keys() - filled == FROM_NEITHER.keys()
    # And so it was compared: what no record fills would be equal, too.
    promised = {name for attribute in ATTRIBUTES for name in attribute.fills}
    assert promised <= filled


def test_header_that_is_a_dash_counts_as_none(both: Both) -> None:
    als, otlp = both.pair("/dash")
    assert different(als, otlp) == {"user_agent_original"}
    assert als["user_agent_original"] == "-"


def test_logged_header_that_is_empty_counts_as_none(both: Both) -> None:
    als, otlp = both.pair("/empty")
    assert different(als, otlp) == {"http_request_content_type"}
    assert als["http_request_content_type"] == ""


def test_method_that_the_access_log_service_has_no_word_for_is_told(both: Both) -> None:
    als, otlp = both.pair("/method")
    assert different(als, otlp) == {"http_request_method"}
    assert otlp["http_request_method"] == "PROPFIND"


def test_bytes_that_are_no_utf8_are_mended_alike_and_hide_nothing(both: Both) -> None:
    _, otlp = both.pair("/bytes")
    assert (otlp["user_agent_original"], otlp["request_id_text"]) == ("x!!y", "!-7")
    assert otlp["src_spiffe_id"] == FRONTEND


def test_what_was_sent_is_what_is_told(both: Both) -> None:
    _, pay = both.pair("/pay")
    assert (pay["url_query"], pay["src_spiffe_id"], pay["dst_spiffe_id"]) == (
        "amount=42",
        FRONTEND,
        PAYMENTS,
    )
    assert pay["src_spiffe_id_trust"] == pay["decision_trust"] == "attested"
    assert pay["user_agent_original"] == 'a "b" 200 -'
    _, denied = both.pair("/admin")
    assert (denied["decision"], denied["policy_name"]) == ("denied", "no-admin")
    _, broken = both.pair("/broken")
    assert broken["envoy_attempt_count"] == 3
    assert broken["envoy_response_flags"] == "UF,URX"
    assert "SSL routines" in broken["envoy_upstream_transport_failure"]
    _, ledger = both.pair("/ledger")
    assert (ledger["side"], ledger["envoy_upstream_cluster"]) == ("source", "outbound|443||ledger")
    assert [
        both.pair(path)[1]["rpc_grpc_status_code"] for path in (wired.CHARGE, wired.UNKNOWN)
    ] == [0, 12]


def test_callee_is_told_at_the_source_by_its_certificate(both: Both) -> None:
    ends = {row["side"]: key for key, row in both.otlp.items() if row.get("url_path") == "/mesh"}
    assert ends.keys() == {"source", "destination"}
    for rows in (both.als, both.otlp):
        row = rows[ends["source"]]
        assert row["dst_spiffe_id"] == PAYMENTS
        assert row["envoy_upstream_cluster"] == TO_PAYMENTS


def test_failed_handshakes_and_connections_are_told_apart(both: Both) -> None:
    kinds = [row["kind"] for row in both.otlp.values()]
    assert kinds.count("handshake") == 2
    assert kinds.count("request") == REQUESTS_COUNT
    assert len(kinds) == kinds.count("connection") + REQUESTS_COUNT + 2


def test_resource_says_who_reports(both: Both) -> None:
    assert {one["node_name"] for one in both.resources} == {f"sidecar~{wired.NODE}"}
    assert {one["cluster_name"] for one in both.resources} == {"payments.shop"}
    assert {one["log_name"] for one in both.resources} == LOG_NAMES
    assert {one["service.name"] for one in both.resources} == {"envoy"}
