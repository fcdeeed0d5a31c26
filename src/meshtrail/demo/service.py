"""A service of the demo: a small HTTP server that calls others through its sidecar.

    python -m meshtrail.demo.service BEHAVIOUR.json

It says ``ready`` on standard output once it listens. As the services of a mesh have to, it hands a
request's id and trace on to the calls that the request causes; each call is a span of its own.
"""

from __future__ import annotations

import http.client
import json
import secrets
import socketserver
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Final

import msgspec

from meshtrail.demo.behaviour import (
    Behaviour,
    Call,
    Route,
    answer_status,
    fill,
    find_route,
)

CALL_S_MAX: Final = 20.0
_TRACEPARENT_PARTS: Final = 4


class ServiceServer(socketserver.ThreadingTCPServer):
    """The listening socket, and what is done with a request."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, behaviour: Behaviour) -> None:
        """Listen.

        Args:
            behaviour: what the service is and does.
        """
        self.behaviour = behaviour
        super().__init__((behaviour.ip, behaviour.port), _Handler)

    def answer(
        self, method: str, path: str, *, request_id: str | None, traceparent: str | None
    ) -> tuple[int, bytes]:
        """Do what the route says.

        Returns:
            Status and JSON body.
        """
        found = find_route(self.behaviour.routes, method=method, path=path)
        if found is None:
            return HTTPStatus.NOT_FOUND, b'{"error": "no such thing"}\n'
        route, parameters = found
        statuses = [
            self._call(call, parameters, request_id=request_id, traceparent=traceparent)
            for call in route.calls
        ]
        status = answer_status(route, statuses)
        return status, _body(route, self.behaviour.name, path, status=status)

    def _call(
        self,
        call: Call,
        parameters: dict[str, str],
        *,
        request_id: str | None,
        traceparent: str | None,
    ) -> int:
        own = self.behaviour
        connection = http.client.HTTPConnection(
            own.ip, own.outbound_port, timeout=CALL_S_MAX, source_address=(own.ip, 0)
        )
        headers = {"host": own.hosts[call.to], "user-agent": f"{own.name}/1.4"}
        if request_id is not None:
            headers["x-request-id"] = request_id
        if traceparent is not None:
            headers["traceparent"] = make_child_span(traceparent)
        try:
            connection.request(call.method, fill(call.path, parameters), headers=headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return HTTPStatus.BAD_GATEWAY
        finally:
            connection.close()
        return answer.status


def make_child_span(traceparent: str) -> str:
    """The trace context of a call that a request causes: the same trace, a span of its own."""
    parts = traceparent.split("-")
    if len(parts) != _TRACEPARENT_PARTS:
        return traceparent
    version, trace_id, _, flags = parts
    return f"{version}-{trace_id}-{secrets.token_hex(8)}-{flags}"


def _body(route: Route, name: str, path: str, *, status: int) -> bytes:
    if route.row and status == route.status:
        lines = [route.row.replace("{row}", str(row)) for row in range(1, route.rows_count + 1)]
        return "".join(f"{line}\n" for line in lines).encode()
    return json.dumps({"service": name, "path": path, "status": status}).encode() + b"\n"


class _Handler(BaseHTTPRequestHandler):
    """One connection from the sidecar."""

    protocol_version = "HTTP/1.1"  # or every request of the sidecar would cost a connection
    server: ServiceServer

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", "0")))
        status, body = self.server.answer(
            self.command,
            self.path.partition("?")[0],
            request_id=self.headers.get("x-request-id"),
            traceparent=self.headers.get("traceparent"),
        )
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the library's name
        """Say nothing: the sidecar tells what happened."""


def main() -> None:
    """Serve until ended."""
    behaviour = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Behaviour)
    with ServiceServer(behaviour) as server:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
