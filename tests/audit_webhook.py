"""A kube-apiserver that sends its audit events to a webhook: its bytes, its retries, its drops.

After kube-apiserver's own client: `plugin/pkg/audit/webhook` and `pkg/util/webhook` of apiserver,
`rest` (`request.go`, `with_retry.go`) and `tools/clientcmd` of client-go, Go's `net/http`, and a
request of it that was recorded.
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl

TIMEOUT_S = 30.0
"""Of a request; it also says so, in the query."""
TRIES_MAX = 5
BACKOFF_S = 10.0
BACKOFF_FACTOR = 1.5
RETRY_AFTER_MAX = 10
"""How often client-go itself comes again when it is told to, within each try."""


@dataclass
class AuditWebhook:
    """One apiserver, as its kubeconfig says.

    Attributes:
        server: ``server`` of the cluster, without its scheme and path.
        path: of that URL; what stands behind a question mark there is dropped.
        tls: certificates, where the scheme is https.
        token: bearer token; read from a kubeconfig for https only.
        slept_s: how long it waited, each time.
        dropped: events that nobody will ever have but the apiserver's own log of errors.
    """

    server: str
    path: str
    tls: ssl.SSLContext | None = None
    token: str | None = None
    slept_s: list[float] = field(default_factory=list)
    dropped: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    _connection: socket.socket | None = None

    def send(self, events: list[dict[str, Any]], *, version: str = "v1") -> bool:
        """Send a batch as often as it takes, at most five times; whether it was acknowledged."""
        body = encode_list(events, version=version)
        wait_s = BACKOFF_S
        for number in range(TRIES_MAX):
            if number:
                # With a jitter of up to a fifth.
                self.slept_s.append(wait_s)
                wait_s *= BACKOFF_FACTOR
            if self._try(body):
                return True
        self.dropped += events
        return False

    def request(self, body: bytes) -> bytes:
        """Every byte of a request, in the order in which Go writes headers."""
        token = f"Authorization: Bearer {self.token}\r\n" if self.token and self.tls else ""
        head = (
            f"POST {self.path}?timeout=30s HTTP/1.1\r\n"
            f"Host: {self.server}\r\n"
            "User-Agent: Go-http-client/1.1\r\n"
            f"Content-Length: {len(body)}\r\n"
            "Accept: application/json, */*\r\n"
            f"{token}"
            "Content-Type: application/json\r\n"
            "Accept-Encoding: gzip\r\n"
            "\r\n"
        )
        return head.encode() + body

    def close(self) -> None:
        """End its connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _try(self, body: bytes) -> bool:
        for _ in range(RETRY_AFTER_MAX + 1):
            try:
                status, headers = self._round_trip(self.request(body))
            except OSError:
                self.close()
                return False
            self.statuses.append(status)
            if (status != 429 and status < 500) or "retry-after" not in headers:
                # It takes any other answer than a good one for a reason to come again.
                return 200 <= status <= 206
            self.slept_s.append(float(headers["retry-after"]))
        return False

    def _round_trip(self, request: bytes) -> tuple[int, dict[str, str]]:
        if self._connection is None:
            host, _, port = self.server.rpartition(":")
            plain = socket.create_connection((host, int(port)), timeout=TIMEOUT_S)
            self._connection = self.tls.wrap_socket(plain) if self.tls else plain
        self._connection.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._receive()
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = [line.partition(": ") for line in lines]
        headers = {name.lower(): value for name, _, value in pairs}
        while len(body) < int(headers["content-length"]):
            body += self._receive()
        # What it is told is decoded as an object of the API where it can be; else it is a text.
        json.loads(body)
        return int(first.split(" ")[1]), headers

    def _receive(self) -> bytes:
        assert self._connection is not None
        part = self._connection.recv(65_536)
        if not part:
            raise ConnectionResetError("closed")
        return part


def encode_list(events: list[dict[str, Any]], *, version: str) -> bytes:
    """An ``EventList`` as the apiserver's serializer writes it: compact, with a line feed."""
    document = {
        "kind": "EventList",
        "apiVersion": f"audit.k8s.io/{version}",
        "metadata": {},
        "items": events,
    }
    # Go escapes what could end a script in a page.
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode() + b"\n"


def encode_event(event: dict[str, Any]) -> bytes:
    """An event as it stands in such a list."""
    return encode_list([event], version="").partition(b'"items":[')[2].removesuffix(b"]}\n")


def make_event(number: int, **more: Any) -> dict[str, Any]:
    """An audit event; inside a list it has neither ``kind`` nor ``apiVersion``."""
    return {
        "level": "Metadata",
        "auditID": f"0df269d3-69c5-4ca5-bed7-{number:012d}",
        "stage": "ResponseComplete",
        "requestURI": "/api/v1/namespaces/shop/configmaps?fieldManager=kubectl&dryRun=<All>",
        "verb": "create",
        "user": {"username": "käthe", "groups": ["system:authenticated"]},
        "sourceIPs": ["192.0.2.7"],
        "userAgent": "kubectl/v1.34.0",
        "objectRef": {"resource": "configmaps", "namespace": "shop", "name": f"c-{number}"},
        "responseStatus": {"metadata": {}, "code": 201},
        "requestReceivedTimestamp": "2026-11-21T10:00:00.000001Z",
        "stageTimestamp": "2026-11-21T10:00:00.000002Z",
        "annotations": {"authorization.k8s.io/decision": "allow"},
        **more,
    }
