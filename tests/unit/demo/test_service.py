from __future__ import annotations

import contextlib
import http.client
import json
import threading
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import TYPE_CHECKING

import pytest

from meshtrail.demo.behaviour import Behaviour, Call, Route
from meshtrail.demo.service import ServiceServer, make_child_span

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOPBACK = "127.0.0.1"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
REQUEST_ID = "d1c8e0de-2f4b-4b7a-8d9d-0d6b7c9f1a2b"


class FakeSidecar(ThreadingTCPServer):
    """Answers every call with one status and remembers what it was asked."""

    daemon_threads = True

    def __init__(self, status: int) -> None:
        self.status = status
        self.seen: list[dict[str, str]] = []
        super().__init__((LOOPBACK, 0), SidecarHandler)


class SidecarHandler(BaseHTTPRequestHandler):
    server: FakeSidecar

    def do_POST(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.append({"path": self.path, **headers})
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - as in the library
        del format, arguments


@contextlib.contextmanager
def running(server: ThreadingTCPServer) -> Iterator[int]:
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def checkout(outbound_port: int) -> ServiceServer:
    routes = (
        Route(
            "POST",
            "/checkout/{customer}",
            status=201,
            calls=(Call("payments", "POST", "/charges/{customer}"),),
        ),
        Route("GET", "/export", row='{"id": {row}}', rows_count=3),
    )
    behaviour = Behaviour(
        name="checkout",
        ip=LOOPBACK,
        port=0,
        outbound_port=outbound_port,
        hosts={"payments": "payments.shop.svc.cluster.local"},
        routes=routes,
    )
    return ServiceServer(behaviour)


def ask(port: int, method: str, path: str, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10)
    with contextlib.closing(connection):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=named)
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_call_carries_request_id_and_trace_on_and_has_a_span_of_its_own() -> None:
    sidecar = FakeSidecar(201)
    with running(sidecar) as outbound, running(checkout(outbound)) as port:
        status, body = ask(
            port, "POST", "/checkout/1003", x_request_id=REQUEST_ID, traceparent=TRACEPARENT
        )
    assert (status, json.loads(body)["status"]) == (201, 201)
    [seen] = sidecar.seen
    assert seen["path"] == "/charges/1003"
    assert seen["host"] == "payments.shop.svc.cluster.local"
    assert seen["x-request-id"] == REQUEST_ID
    version, trace_id, span_id, flags = seen["traceparent"].split("-")
    assert (version, trace_id, flags) == ("00", TRACE_ID, "01")
    assert span_id not in TRACEPARENT


@pytest.mark.parametrize(("theirs", "ours"), [(403, 403), (500, 502)])
def test_refusal_of_a_call_is_passed_on(theirs: int, ours: int) -> None:
    with running(FakeSidecar(theirs)) as outbound, running(checkout(outbound)) as port:
        assert ask(port, "POST", "/checkout/1003")[0] == ours


def test_call_that_nobody_takes_is_a_bad_gateway() -> None:
    with running(FakeSidecar(200)) as outbound:
        pass
    with running(checkout(outbound)) as port:
        assert ask(port, "POST", "/checkout/1003")[0] == 502


def test_request_without_a_route_is_not_found() -> None:
    with running(checkout(0)) as port:
        assert ask(port, "GET", "/checkout/1003")[0] == 404


def test_rows_are_numbered_lines() -> None:
    with running(checkout(0)) as port:
        _, body = ask(port, "GET", "/export?format=lines")
    assert [json.loads(line)["id"] for line in body.splitlines()] == [1, 2, 3]


def test_trace_context_that_is_none_is_passed_on_as_it_is() -> None:
    assert make_child_span("not a trace") == "not a trace"
