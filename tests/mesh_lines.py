"""Lines of ztunnel and Linkerd's proxy for tests, as these write them; none is recorded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from meshtrail.model.entry import PayloadFormat
from tests.als_records import derive_both, entry

if TYPE_CHECKING:
    from collections.abc import Mapping

TIME = "2026-11-21T01:31:24.882174Z"
TIME_NS = 1_795_224_684_882_174_000
FRONTEND = "spiffe://cluster.local/ns/shop/sa/frontend"
PAYMENTS = "spiffe://cluster.local/ns/shop/sa/payments"
WEB = "web.shop.serviceaccount.identity.linkerd.cluster.local"

Fields = dict[str, "str | int"]


def connection(**changes: str | int | None) -> Fields:
    """What ztunnel says of a connection at its caller's; of arguments ``__`` stands for a dot."""
    fields: dict[str, str | int | None] = {
        "src.addr": "10.0.0.5:40001",
        "src.workload": "frontend-1",
        "src.namespace": "shop",
        "src.identity": FRONTEND,
        "src.cluster": "east",
        "dst.addr": "10.0.0.7:15008",
        "dst.hbone_addr": "10.0.0.7:8080",
        "dst.service": "payments.shop.svc.cluster.local",
        "dst.workload": "payments-1",
        "dst.namespace": "shop",
        "dst.identity": PAYMENTS,
        "dst.cluster": "west",
        "direction": "outbound",
        "bytes_sent": 200,
        "bytes_recv": 603,
        "duration": "1006ms",
    }
    fields |= {name.replace("__", "."): value for name, value in changes.items()}
    return {name: value for name, value in fields.items() if value is not None}


def refusal(error: str, **changes: str | int | None) -> Fields:
    """The same where it is refused, at its callee's."""
    return connection(
        **{
            "dst__addr": "10.0.0.7:8080",
            "dst__hbone_addr": None,
            "direction": "inbound",
            "bytes_sent": 0,
            "bytes_recv": 0,
            "duration": "0ms",
            "error": error,
            **changes,
        }
    )


def ztunnel_text(
    fields: Mapping[str, str | int],
    *,
    message: str = "connection complete",
    scope: str = "access",
    time: str = TIME,
) -> bytes:
    """A line as ztunnel writes it unless it is told otherwise."""
    bare = {"src.addr", "dst.addr", "dst.hbone_addr"}
    said = " ".join(
        f"{name}={value}" if name in bare or isinstance(value, int) else f"{name}={quote(value)}"
        for name, value in fields.items()
    )
    return f"{time}\tinfo\t{scope}\t{message}\t{said}".encode()


def ztunnel_json(
    fields: Mapping[str, str | int],
    *,
    message: str = "connection complete",
    scope: str = "access",
    time: str = TIME,
) -> bytes:
    """The same as ztunnel writes it with LOG_FORMAT=json."""
    head = {"level": "info", "time": time, "scope": scope, "message": message}
    return json.dumps(head | dict(fields), ensure_ascii=False, separators=(",", ":")).encode()


def quote(text: str) -> str:
    """A text as Rust's ``Debug`` writes it."""
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}
    return '"' + "".join(escapes.get(letter, letter) for letter in text) + '"'


def ztunnel_row(*lines: bytes) -> dict[str, Any]:
    """What lines of ztunnel become, all alike and by both mappers; without nulls."""
    rows = told(PayloadFormat.ZTUNNEL, *lines)
    for row in rows[1:]:
        assert row == rows[0]
    return rows[0]


def linkerd_access(**changes: str | int | None) -> bytes:
    """A line of the access log as Linkerd's proxy writes it in JSON."""
    said: dict[str, str | int | None] = {
        "client.addr": "10.0.0.5:40001",
        "client.id": WEB,
        "host": "payments:8080",
        "method": "GET",
        "processing_ns": "39826",
        "request_bytes": "12",
        "response_bytes": "19627",
        "status": 200,
        "timestamp": "2026-11-21T01:31:24.882174001Z",
        "total_ns": "14441135",
        "trace_id": "",
        "uri": "http://payments:8080/api/pay?x=1",
        "user_agent": "curl/8",
        "version": "HTTP/2.0",
    }
    said |= changes
    told = {name: value for name, value in said.items() if value is not None}
    return json.dumps(told, separators=(",", ":")).encode()


def linkerd_apache(
    *, client: str = WEB, uri: str = "http://payments:8080/api/pay?x=1", status: str = "200"
) -> bytes:
    """The same in Apache's form."""
    line = f'10.0.0.5:40001 {client} - [2026-11-21T01:31:24.882174001Z] "GET {uri} HTTP/2.0"'
    return f"{line} {status}".rstrip().encode()


def established(client_id: str) -> str:
    """What Linkerd's proxy writes of mutual TLS."""
    name = f'Some(ClientId(Dns(Name("{client_id}"))))'
    return f"Some(Established {{ client_id: {name}, negotiated_protocol: None }})"


def linkerd_policy(
    message: str = "Request denied",
    *,
    tls: str = "None(NoClientHello)",
    client: str = "10.0.0.5",
    behind: str = "",
    spans: str = "inbound:server{port=8080}",
) -> bytes:
    """What the policy of Linkerd's proxy writes."""
    layer = "http" if message.startswith("Request") else "tcp"
    fields = "server.group=policy.linkerd.io server.kind=server server.name=payments-http "
    if layer == "http":
        fields += "route.group= route.kind=default route.name=probe client.tls="
        fields += f"{tls} client.ip={client}"
    else:
        fields += f"tls={tls} client={client}"
    head = f"[  3002.281434s]  INFO ThreadId(01) {spans}: linkerd_app_inbound::policy::{layer}"
    return f"{head}: {message} {fields}{behind}".encode()


def linkerd_policy_json(message: str = "Request denied", **changes: str | int | None) -> bytes:
    """The same as it writes it with LINKERD2_PROXY_LOG_FORMAT=json."""
    fields: dict[str, str | int | None] = {
        "message": message,
        "server.group": "policy.linkerd.io",
        "server.kind": "server",
        "server.name": "payments-http",
        "route.group": "",
        "route.kind": "default",
        "route.name": "probe",
        "client.tls": established(WEB),
        "client.ip": "10.0.0.5",
    }
    fields |= changes
    said = {
        "timestamp": "[  3002.281434s]",
        "level": "INFO",
        "fields": {name: value for name, value in fields.items() if value is not None},
        "target": "linkerd_app_inbound::policy::http",
        "spans": [{"name": "inbound"}, {"port": 8080, "name": "server"}],
        "threadId": "ThreadId(1)",
    }
    return json.dumps(said).encode()


def linkerd_row(line: bytes) -> dict[str, Any]:
    """What a line of Linkerd's proxy becomes, by both mappers; without nulls."""
    return told(PayloadFormat.LINKERD, line)[0]


def told(payload_format: PayloadFormat, *lines: bytes) -> list[dict[str, Any]]:
    """What lines say, by both mappers: without nulls and without what is known of any record."""
    rows = derive_both(*(entry(line, payload_format) for line in lines))
    of_any = {
        *("log", "log_index", "received_time", "source", "stream", "seq", "payload_format"),
        *("mapper_version", "is_duplicate", "time_quality", "reporter_auth"),
    }
    return [
        {name: value for name, value in row.items() if value is not None and name not in of_any}
        for row in rows
    ]
