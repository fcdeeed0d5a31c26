"""The load of the end-to-end tests: how much of each kind, and how it is sent through the mesh.

Everything here is decided before anything is sent, so that a test can say what the log must hold.
"""

from __future__ import annotations

import asyncio
import random  # noqa: TID251 - seeded: the ids of a failed run can be made again
import uuid
from collections import Counter
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from meshtrail.demo.authority import Authority
from tests.rig.load import Answer, Request, exchange_bytes, send_requests

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.rig.mesh import Mesh

PLAINTEXT = b"GET /api/pay HTTP/1.1\r\nhost: payments\r\n\r\n"
TCP_PAYLOAD = b"settle 42\n"
USER_AGENT = "checkout/2.1 (staged)"


class Kind(Enum):
    """What a request is meant to show."""

    READ = auto()
    CREATED = auto()
    MISSING = auto()
    QUIET = auto()
    RPC = auto()
    B3_SINGLE = auto()
    B3_MULTI = auto()
    NO_IDS = auto()
    ADMIN = auto()
    ROGUE = auto()
    LEDGER = auto()


COUNTS = {
    Kind.READ: 60,
    Kind.CREATED: 11,
    Kind.MISSING: 7,
    Kind.QUIET: 3,
    Kind.RPC: 5,
    Kind.B3_SINGLE: 4,
    Kind.B3_MULTI: 2,
    Kind.NO_IDS: 6,
    Kind.ADMIN: 8,
    Kind.ROGUE: 13,
    Kind.LEDGER: 9,
}
STATUSES = {
    Kind.CREATED: 201,
    Kind.MISSING: 404,
    Kind.QUIET: 204,
    Kind.ADMIN: 403,
    Kind.ROGUE: 403,
}
"""What each kind is answered with; the others get a 200."""

TCP_ALLOWED_COUNT = 5
TCP_DENIED_COUNT = 3
PLAINTEXT_COUNT = 2
NO_CERTIFICATE_COUNT = 3
FOREIGN_AUTHORITY_COUNT = 4
HANDSHAKES_FAILED_COUNT = PLAINTEXT_COUNT + NO_CERTIFICATE_COUNT + FOREIGN_AUTHORITY_COUNT


@dataclass(frozen=True, slots=True)
class Sent:
    """One request of the load, and the ids that it carried."""

    kind: Kind
    request: Request
    request_id: str
    trace_id: str
    span_id: str

    @property
    def status(self) -> int:
        """What payments answers it with."""
        return STATUSES.get(self.kind, 200)


def make_load(*, seed: int) -> list[Sent]:
    """Every request of the load, the kinds one behind the other."""
    rng = random.Random(seed)  # noqa: S311 - load, not secrets
    return [_make(kind, rng, number=i) for kind, count in COUNTS.items() for i in range(count)]


def _make(kind: Kind, rng: random.Random, *, number: int) -> Sent:
    request_id = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    trace_id, span_id = f"{rng.getrandbits(128):032x}", f"{rng.getrandbits(64):016x}"
    headers = [("x-request-id", request_id), ("user-agent", USER_AGENT)]
    method, path, body = "GET", f"/api/pay/{seed_path(rng)}?page={number}", b""
    if kind is Kind.CREATED:
        method, path, body = "POST", f"/api/created/{number}", b"x" * (number + 1)
    elif kind is Kind.RPC:
        method, path = "POST", "/shop.v1.Payments/Charge"
        headers += [("content-type", "application/grpc"), ("te", "trailers")]
    elif kind in _PREFIXES:
        path = f"{_PREFIXES[kind]}/{number}"
    if kind is Kind.B3_SINGLE:
        headers.append(("b3", f"{trace_id}-{span_id}-1"))
    elif kind is Kind.B3_MULTI:
        headers += [("x-b3-traceid", trace_id), ("x-b3-spanid", span_id)]
    elif kind is Kind.NO_IDS:
        request_id = trace_id = span_id = ""
        headers = []
    else:
        headers.append(("traceparent", f"00-{trace_id}-{span_id}-01"))
    return Sent(kind, Request(method, path, tuple(headers), body), request_id, trace_id, span_id)


_PREFIXES = {
    Kind.MISSING: "/api/missing",
    Kind.QUIET: "/api/gone-quiet",
    Kind.NO_IDS: "/api/anonymous",
    Kind.ADMIN: "/admin/keys",
    Kind.ROGUE: "/api/stolen",
    Kind.LEDGER: "/ledger/book",
}


def seed_path(rng: random.Random) -> str:
    """A path segment that no other request has."""
    return f"{rng.getrandbits(48):012x}"


def send_http(load: Sequence[Sent], mesh: Mesh) -> Counter[int]:
    """Send the load, each identity through its own sidecar listener; statuses that came back."""
    answers: list[Answer] = []
    for listener, is_rogue in (("outbound", False), ("outbound-rogue", True)):
        requests = [sent.request for sent in load if (sent.kind is Kind.ROGUE) == is_rogue]
        port = mesh.frontend_ports[listener]
        answers += asyncio.run(send_requests(requests, port=port, connections_count=3))
    return Counter(answer.status for answer in answers)


def send_tcp(mesh: Mesh) -> list[bytes]:
    """Open the TCP connections of both identities, one after the other; what each read back."""
    ports = [mesh.frontend_ports["outbound-tcp"]] * TCP_ALLOWED_COUNT
    ports += [mesh.frontend_ports["outbound-tcp-rogue"]] * TCP_DENIED_COUNT
    return [asyncio.run(exchange_bytes(TCP_PAYLOAD, port=port)) for port in ports]


def fail_handshakes(mesh: Mesh, *, directory: Path) -> list[bytes]:
    """Connect without TLS, without a certificate, and with one of another authority."""
    trusted = mesh.identities.authority
    impostor = Authority(directory / "impostor").issue("ns/shop/sa/frontend")
    contexts = [None] * PLAINTEXT_COUNT
    attempts = [*contexts, *[trusted.client_context(None)] * NO_CERTIFICATE_COUNT]
    attempts += [trusted.client_context(impostor)] * FOREIGN_AUTHORITY_COUNT
    port = mesh.payments_ports["inbound"]
    return [asyncio.run(exchange_bytes(PLAINTEXT, port=port, context=one)) for one in attempts]
