"""A secret discovery service, as a SPIRE agent is to an Envoy: a certificate, and its renewal."""

from __future__ import annotations

import contextlib
import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.discovery.v3 import discovery_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshtrail.demo.authority import Authority, Identity

SERVICE, METHOD = "envoy.service.secret.v3.SecretDiscoveryService", "StreamSecrets"
TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
STREAMS_MAX = 16


class SecretServer:
    """Serves one identity and whom it trusts, under the names that a SPIRE agent gives them."""

    def __init__(self, authority: Authority, identity: Identity) -> None:
        self._authority = authority
        self._identity = identity
        self._version = 1
        self._streams: list[queue.SimpleQueue[Any]] = []
        self._lock = threading.Lock()

    def renew(self, identity: Identity) -> None:
        """Serve another certificate from now on; whoever has the old one is told."""
        with self._lock:
            self._identity = identity
            self._version += 1
            for stream in self._streams:
                stream.put("renewed")

    def stream_secrets(self, requests: Iterator[bytes], _: grpc.ServicerContext) -> Iterator[bytes]:
        """Answer each first request for a name, and again when the certificate was renewed."""
        events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        with self._lock:
            self._streams.append(events)
        threading.Thread(target=_take, args=(requests, events), daemon=True).start()
        names: list[str] = []
        while (event := events.get()) is not None:
            if event != "renewed":
                request = discovery_pb2.DiscoveryRequest.FromString(event)
                if request.response_nonce:
                    continue  # they have it, or refuse it
                names = list(request.resource_names)
            yield self._respond(names)

    def _respond(self, names: list[str]) -> bytes:
        response = discovery_pb2.DiscoveryResponse(
            version_info=str(self._version), type_url=TYPE, nonce=str(self._version)
        )
        for name in names:
            response.resources.add().Pack(self._secret(name))
        encoded: bytes = response.SerializeToString()
        return encoded

    def _secret(self, name: str) -> Any:  # noqa: ANN401 - generated classes have no types
        secret = secret_pb2.Secret(name=name)
        if name == "default":
            own = secret.tls_certificate
            own.certificate_chain.inline_bytes = self._identity.chain.read_bytes()
            own.private_key.inline_bytes = self._identity.key.read_bytes()
        else:
            bundle = self._authority.bundle.read_bytes()
            secret.validation_context.trusted_ca.inline_bytes = bundle
        return secret


def _take(requests: Iterator[bytes], events: queue.SimpleQueue[Any]) -> None:
    with contextlib.suppress(grpc.RpcError):  # how the end of a client's process looks here
        for request in requests:
            events.put(request)
    events.put(None)


@contextlib.contextmanager
def running_secret_server(
    authority: Authority, identity: Identity
) -> Iterator[tuple[SecretServer, int]]:
    """The service on a free loopback port, in the clear."""
    secrets = SecretServer(authority, identity)
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(
        secrets.stream_secrets
    )
    server = grpc.server(ThreadPoolExecutor(STREAMS_MAX))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield secrets, port
    finally:
        server.stop(grace=None).wait()
