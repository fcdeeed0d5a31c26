"""Two real Envoys, traced as `meshtrail emit-config envoy` prints it: what their spans say."""

from __future__ import annotations

import contextlib
import http.client
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from envoy.service.accesslog.v3 import als_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from meshtrail.correlate.calls import COLUMNS, build_calls
from meshtrail.model.entry import PayloadFormat
from tests.als_records import derive_both, entry, opened
from tests.e2e import wired_proxy as wired
from tests.e2e.wired_proxy import LOOPBACK, Config
from tests.rig.envoy import Envoy
from tests.rig.receiver import METHOD, SERVICE
from tests.rig.recorder import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

Row = dict[str, Any]

TRACES = "opentelemetry.proto.collector.trace.v1.TraceService"
SECONDS_MAX = 30.0
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
LONG_PATH = "/long/" + "a" * 1_000
FLUSH_AT_ONCE = {"tracing.opentelemetry.min_flush_spans": 1}
REQUESTS = ("/pay", "/boom", "/admin", "/traced", LONG_PATH, wired.CHARGE, wired.UNKNOWN)
DENIED = "/admin"
"""The front proxy denies it, so that only that one tells of it."""
SAME = (
    *("request_id", "http_request_method", "url_scheme", "url_path", "url_query", "server_address"),
    *("user_agent_original", "http_response_status_code", "network_protocol_version"),
    *("http_request_body_size", "http_response_body_size", "envoy_response_flags"),
    *("rpc_method", "rpc_grpc_status_code", "time", "trace_id", "envoy_upstream_cluster"),
)
ROUTED = ("trace_id", "envoy_upstream_cluster")
"""What the access log of a request that went nowhere does not have, and its span does."""


class Received:
    """What both proxies sent, as events."""

    def __init__(self) -> None:
        self._records: list[bytes] = []
        self._spans: list[bytes] = []

    def take_access_logs(self, messages: Iterator[bytes], _: grpc.ServicerContext) -> bytes:
        with contextlib.suppress(grpc.RpcError):  # how the end of a client's process looks here
            for message in messages:
                logs = als_pb2.StreamAccessLogsMessage.FromString(message).http_logs
                self._records += [one.SerializeToString() for one in logs.log_entry]
        return b""

    def take_spans(self, request: bytes, _: grpc.ServicerContext) -> bytes:
        """Keep each span as the export request of its own that an entry holds."""
        for resource in trace_service_pb2.ExportTraceServiceRequest.FromString(
            request
        ).resource_spans:
            for scope in resource.instrumentation_library_spans:
                for span in scope.spans:
                    alone = trace_service_pb2.ExportTraceServiceRequest()
                    kept = alone.resource_spans.add(resource=resource.resource)
                    kept.instrumentation_library_spans.add(spans=[span])
                    self._spans.append(alone.SerializeToString())
        return b""

    def events(self) -> list[Row]:
        """The rows of both, which the row-wise reference must tell alike."""
        entries = [entry(record) for record in self._records]
        entries += [entry(span, PayloadFormat.OTLP_SPAN) for span in self._spans]
        return derive_both(opened(), *entries)[1:]


@contextlib.contextmanager
def running_receiver(received: Received) -> Iterator[int]:
    """A collector of both kinds on a loopback port, which is what is yielded."""
    logs: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_unary_rpc_method_handler(
        received.take_access_logs
    )
    traces: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(
        received.take_spans
    )
    server = grpc.server(ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(SERVICE, {METHOD: logs}),
            grpc.method_handlers_generic_handler(TRACES, {"Export": traces}),
        )
    )
    port = server.add_insecure_port(f"{LOOPBACK}:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(grace=None).wait()


def sidecar(kind: str, pieces: Config, routes: list[Config], clusters: list[Config]) -> Config:
    """A proxy with the printed pieces at their places; only the front one has policies."""
    added = {**pieces["http_connection_manager"], **pieces["http_tracing"]}
    manager = wired.http_manager(added=added, routes=routes, policies=kind == "front")
    return {
        **wired.bootstrap(
            listeners=[wired.listener(kind, [manager], added={})],
            clusters=[*pieces["clusters"], *clusters],
            kind=kind,
        ),
        "layered_runtime": {"layers": [{"name": "test", "static_layer": FLUSH_AT_ONCE}]},
    }


def route(cluster: str) -> Config:
    return {"match": {"prefix": "/"}, "route": {"cluster": cluster}}


def get(port: int, path: str, **headers: str) -> int:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=SECONDS_MAX)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"host": "payments:8080", **given})
        response = connection.getresponse()
        response.read()
        return response.status


def call_grpc(port: int, method: str) -> str:
    with grpc.insecure_channel(f"{LOOPBACK}:{port}") as channel:
        unary: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
        try:
            unary(b"42", timeout=SECONDS_MAX)
        except grpc.RpcError as error:
            return error.code().name
    return "OK"


def send_everything(port: int) -> None:
    assert get(port, "/pay?amount=42", user_agent="cart/1", x_forwarded_for="192.0.2.7") == 200
    assert get(port, "/boom") == 503
    assert get(port, DENIED) == 403
    assert get(port, "/traced", traceparent=f"00-{TRACE_ID}-{SPAN_ID}-01") == 200
    assert get(port, "/unsampled", traceparent=f"00-{TRACE_ID}-{SPAN_ID}-00") == 200
    assert get(port, LONG_PATH) == 200
    assert call_grpc(port, wired.CHARGE) == "OK"
    assert call_grpc(port, wired.UNKNOWN) == "UNIMPLEMENTED"


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """All that two proxies and an application behind them cause."""
    directory = tmp_path_factory.mktemp("spans")
    received = Received()
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(running_receiver(received))
        application = stack.enter_context(wired.running_grpc_upstream())
        address = ["--address", f"{LOOPBACK}:{port}"]
        [pieces] = wired.emit("envoy", *address, "--service-name", "payments")
        answers = [wired.answer("/boom", 503)]
        rpc = {"match": {"prefix": "/shop.v1."}, "route": {"cluster": "inbound|8080||"}}
        upstream = wired.cluster("inbound|8080||", application, is_http2=True)
        back = sidecar("back", pieces, [rpc, *answers, wired.answer("/", 200)], [upstream])
        behind = stack.enter_context(Envoy("back", back, directory=directory)).ports()["back"]
        name = "outbound|8080||back"
        next_proxy = [wired.cluster(name, behind, is_http2=True)]
        front = sidecar("front", pieces, [route(name)], next_proxy)
        entrance = stack.enter_context(Envoy("front", front, directory=directory)).ports()["front"]
        send_everything(entrance)
        records, spans = 2 * (len(REQUESTS) + 1) - 1, 2 * len(REQUESTS) - 1
        wait_until(
            lambda: len(received.events()) >= records + spans,
            f"{records} records and {spans} spans are here",
            seconds_max=SECONDS_MAX,
        )
        return received.events()


def told(rows: list[Row], kind: str, path: str) -> dict[str | None, Row]:
    """The rows about a path, by the side that tells."""
    return {row["side"]: row for row in rows if row["kind"] == kind and row["url_path"] == path}


def test_every_request_has_its_records_and_its_spans(rows: list[Row]) -> None:
    assert {row["kind"] for row in rows} == {"request", "span"}
    assert [row for row in rows if row["decode_error"] is not None] == []


@pytest.mark.parametrize("path", REQUESTS)
def test_spans_have_the_ids_of_the_access_logs_of_the_same_requests(
    rows: list[Row], path: str
) -> None:
    records, spans = told(rows, "request", path), told(rows, "span", path)
    assert len(records) == len(spans) == (1 if path == DENIED else 2)
    for side, span in spans.items():
        record = records[side] if side in records else records[None]
        names = set(SAME) - ({*ROUTED} if path == DENIED else set())
        assert {name: span[name] for name in names} == {name: record[name] for name in names}


@pytest.mark.parametrize("path", sorted({*REQUESTS} - {DENIED}))
def test_the_span_behind_a_proxy_is_a_child_of_its_span(rows: list[Row], path: str) -> None:
    records, spans = told(rows, "request", path), told(rows, "span", path)
    front = spans["source"]
    [behind] = [span for side, span in spans.items() if side != "source"]
    assert behind["parent_span_id"] == front["span_id"]
    assert front["parent_span_id"] == (bytes.fromhex(SPAN_ID) if path == "/traced" else None)
    # What a proxy logs is the header that it sent on: its own span. Who sends nothing on logs the
    # span that it was called in.
    assert records["source"]["span_id"] == front["span_id"]
    sent_on = path in {wired.CHARGE, wired.UNKNOWN}
    [record] = [record for side, record in records.items() if side != "source"]
    assert record["span_id"] == (behind["span_id"] if sent_on else behind["parent_span_id"])


def test_a_caller_can_have_no_span_sent_but_not_no_record(rows: list[Row]) -> None:
    assert told(rows, "span", "/unsampled") == {}
    assert len(told(rows, "request", "/unsampled")) == 2


def test_the_peer_is_who_connected_and_not_whom_a_header_names(rows: list[Row]) -> None:
    for span in told(rows, "span", "/pay").values():
        assert span["src_ip"] == LOOPBACK
    assert told(rows, "span", "/pay")["source"]["user_agent_original"] == "cart/1"


def test_a_denial_is_not_in_a_span(rows: list[Row]) -> None:
    [span] = told(rows, "span", DENIED).values()
    [record] = told(rows, "request", DENIED).values()
    assert (record["decision"], span["decision"]) == ("denied", None)
    assert span["http_response_status_code"] == 403


def test_spans_and_records_of_a_request_are_one_call(rows: list[Row]) -> None:
    trace = bytes.fromhex(TRACE_ID)
    kept = [row for row in rows if row["trace_id"] == trace and row["url_path"] == "/traced"]
    chosen = [{name: row[name] for name in COLUMNS} for row in kept]
    [call] = build_calls(chosen)
    assert (len(call.records), len(call.spans), call.caused) == (2, 2, [])
