"""A sidecar that reports as `meshtrail emit-config` prints it: bootstrap, upstreams, callers.

Where the printed pieces go is what their keys say; everything else here is a proxy as anybody runs.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import io
import socket
import socketserver
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typing_extensions import override

from meshtrail.cli.emit_config import main

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from meshtrail.demo.authority import Authority, Identity

Config = dict[str, Any]

LOOPBACK = "127.0.0.1"
ANSWER_S_MAX = 20.0
SERVER_NAME = "payments.shop"
NODE = "10.0.0.7~payments-7d9c5bf6b4-x2vkq.shop~shop.svc.cluster.local"
ALLOW_POLICY = "ns[shop]-policy[payments-allow]-rule[0]"
DENY_POLICY = "ns[shop]-policy[no-admin]-rule[1]"
DRY_RUN_POLICY = "ns[shop]-policy[no-writes]-rule[0]"
CHARGE, UNKNOWN = "/shop.v1.Payments/Charge", "/shop.v1.Payments/Refund"
_EXTENSIONS = "type.googleapis.com/envoy.extensions"


def emit(*arguments: str) -> list[Config]:
    """The YAML documents that the command prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(arguments) == 0
    return list(yaml.safe_load_all(printed.getvalue()))


def typed(name: str, kind: str, **fields: Any) -> Config:
    """An extension of Envoy with its configuration."""
    return {"name": name, "typed_config": {"@type": f"{_EXTENSIONS}.{kind}", **fields}}


def bootstrap(
    *, listeners: Sequence[Config], clusters: Sequence[Config], kind: str = "sidecar"
) -> Config:
    """A whole static configuration; ``kind`` is what Istio calls the proxy in its node id."""
    return {
        "node": {"id": f"{kind}~{NODE}", "cluster": "payments.shop"},
        "admin": {"address": address(0)},
        "static_resources": {"listeners": list(listeners), "clusters": list(clusters)},
    }


def address(port: int) -> Config:
    """A socket on loopback; port 0 takes a free one."""
    return {"socket_address": {"address": LOOPBACK, "port_value": port}}


def listener(
    name: str, filters: Sequence[Config], *, added: Config, tls: Config | None = None
) -> Config:
    """A listener with what the printed piece for listeners adds."""
    chain: Config = {"filters": list(filters)}
    if tls is not None:
        chain["transport_socket"] = tls
    return {"name": name, "address": address(0), "filter_chains": [chain], **added}


def http_manager(
    *, added: Config, routes: Sequence[Config], policies: bool = True, first: Sequence[Config] = ()
) -> Config:
    """A connection manager with what the printed piece for it adds, and Istio-like policies."""
    router = typed("envoy.filters.http.router", "filters.http.router.v3.Router")
    virtual_host = {"name": "all", "domains": ["*"], "routes": list(routes)}
    return typed(
        "envoy.filters.network.http_connection_manager",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="inbound",
        route_config={"virtual_hosts": [virtual_host]},
        http_filters=[*first, *(_policies() if policies else []), router],
        **added,
    )


def tcp_proxy(*, added: Config, cluster: str, allowed: Sequence[str] | None = None) -> list[Config]:
    """A TCP proxy with what the printed piece for it adds, behind a policy if anybody is named."""
    proxy = typed(
        "envoy.filters.network.tcp_proxy",
        "filters.network.tcp_proxy.v3.TcpProxy",
        stat_prefix="inbound_tcp",
        cluster=cluster,
        **added,
    )
    if allowed is None:
        return [proxy]
    principals = [{"authenticated": {"principal_name": {"exact": one}}} for one in allowed]
    guard = typed(
        "envoy.filters.network.rbac",
        "filters.network.rbac.v3.RBAC",
        stat_prefix="inbound_tcp",
        rules={"policies": {ALLOW_POLICY: {"permissions": [ANY], "principals": principals}}},
    )
    return [guard, proxy]


ANY = {"any": True}


def _policies() -> list[Config]:
    """DENY before ALLOW, as Istio orders them, and a dry run that would refuse all but GET."""

    def prefix(path: str) -> Config:
        return {"url_path": {"path": {"prefix": path}}}

    get = {"header": {"name": ":method", "string_match": {"exact": "GET"}}}

    def rules(action: str, name: str, permission: Config) -> Config:
        policy = {"permissions": [permission], "principals": [ANY]}
        return {"action": action, "policies": {name: policy}}

    kind, name = "filters.http.rbac.v3.RBAC", "envoy.filters.http.rbac"
    return [
        typed(name, kind, rules=rules("DENY", DENY_POLICY, prefix("/admin"))),
        typed(
            name,
            kind,
            rules=rules("ALLOW", ALLOW_POLICY, ANY),
            shadow_rules=rules("ALLOW", DRY_RUN_POLICY, get),
            shadow_rules_stat_prefix="istio_dry_run_allow_",
        ),
    ]


def answer(prefix: str, status: int) -> Config:
    """A route that Envoy answers by itself."""
    body = {"inline_string": f"{status}\n"}
    return {
        "name": f"answer-{status}",
        "match": {"prefix": prefix},
        "direct_response": {"status": status, "body": body},
    }


def cluster(name: str, port: int, *, is_http2: bool = False, tls: Config | None = None) -> Config:
    """One static endpoint on loopback."""
    config: Config = {
        "name": name,
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}],
        },
    }
    if is_http2:
        options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        config["typed_extension_protocol_options"] = {
            options: {
                "@type": f"type.googleapis.com/{options}",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    if tls is not None:
        config["transport_socket"] = tls
    return config


def downstream_tls(authority: Authority, identity: Identity) -> Config:
    """TLS that asks every caller for a certificate of the authority."""
    return typed(
        "envoy.transport_sockets.tls",
        "transport_sockets.tls.v3.DownstreamTlsContext",
        require_client_certificate=True,
        common_tls_context={
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificates": [
                {
                    "certificate_chain": {"filename": str(identity.chain)},
                    "private_key": {"filename": str(identity.key)},
                }
            ],
            "validation_context": {"trusted_ca": {"filename": str(authority.bundle)}},
        },
    )


def upstream_tls() -> Config:
    """TLS that trusts anybody: only for an upstream that speaks none."""
    return typed("envoy.transport_sockets.tls", "transport_sockets.tls.v3.UpstreamTlsContext")


@dataclass(frozen=True, slots=True)
class Caller:
    """A workload that calls through TLS, with the certificate of its context."""

    context: ssl.SSLContext

    def get(
        self,
        port: int,
        path: str,
        headers: Mapping[str, str],
        *,
        method: str = "GET",
        server_name: str = SERVER_NAME,
    ) -> int:
        """Send one HTTP/1.1 request on a connection of its own; the status of the answer."""
        body = b"x" * 64 if method == "POST" else None
        connection = http.client.HTTPConnection(server_name)
        with self.connected(port, server_name=server_name) as stream:
            connection.sock = stream
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            response.read()
            return response.status

    @contextlib.contextmanager
    def connected(self, port: int, *, server_name: str = SERVER_NAME) -> Iterator[ssl.SSLSocket]:
        """A connection through TLS."""
        with (
            socket.create_connection((LOOPBACK, port), ANSWER_S_MAX) as raw,
            self.context.wrap_socket(raw, server_hostname=server_name) as stream,
        ):
            yield stream

    def echo(self, port: int, payload: bytes, *, server_name: str = SERVER_NAME) -> bytes:
        """Send bytes and read as many back; what came until the other side hung up."""
        with contextlib.suppress(OSError), self.connected(port, server_name=server_name) as stream:
            return _exchange(stream, payload)
        return b""


def echo_plain(port: int, payload: bytes) -> bytes:
    """Send bytes in the clear, as an application does to its own sidecar; what came back."""
    with socket.create_connection((LOOPBACK, port), ANSWER_S_MAX) as stream:
        return _exchange(stream, payload)


def _exchange(stream: socket.socket, payload: bytes) -> bytes:
    stream.sendall(payload)
    received = b""
    with contextlib.suppress(OSError):  # with TLS 1.3 a refusal comes as an alert, afterwards
        while len(received) < len(payload) and (chunk := stream.recv(4096)):
            received += chunk
    return received


def get_plain(port: int, path: str) -> int:
    """Send one request in the clear, as an application does to its own sidecar; the status."""
    with contextlib.closing(
        http.client.HTTPConnection(LOOPBACK, port, timeout=ANSWER_S_MAX)
    ) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        return response.status


def call_grpc(port: int, method: str, authority: Authority, identity: Identity) -> grpc.StatusCode:
    """Make one gRPC call through TLS; the sidecar's certificate must name localhost."""
    credentials = grpc.ssl_channel_credentials(
        authority.bundle.read_bytes(), identity.key.read_bytes(), identity.chain.read_bytes()
    )
    options = (("grpc.ssl_target_name_override", "localhost"),)
    with grpc.secure_channel(f"{LOOPBACK}:{port}", credentials, options) as channel:
        # No serialisers: what is sent are bytes.
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
        try:
            call(b"42", timeout=ANSWER_S_MAX)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


@contextlib.contextmanager
def running_grpc_upstream() -> Iterator[int]:
    """An application that answers ``CHARGE`` in the clear; yields its port."""

    def charge(request: bytes, _: grpc.ServicerContext) -> bytes:
        return request

    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(charge)
    service, _, method = CHARGE.strip("/").partition("/")
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {method: handler}),)
    )
    port = server.add_insecure_port(f"{LOOPBACK}:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(grace=None).wait()


@contextlib.contextmanager
def running_silent_upstream() -> Iterator[int]:
    """An application that takes connections and never says a word; yields its port."""
    with socket.create_server((LOOPBACK, 0)) as server:
        port: int = server.getsockname()[1]
        yield port


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


@contextlib.contextmanager
def running_upstream(
    serve: Callable[[socket.socket], None], *, ip: str = LOOPBACK
) -> Iterator[int]:
    """An application that does this with each connection, until it is gone; yields its port."""

    class Handler(socketserver.BaseRequestHandler):
        @override
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                serve(self.request)

    with _Server((ip, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def answering(answer: Callable[[], bytes]) -> Callable[[socket.socket], None]:
    """What an application does with a connection that answers each request with a status line.

    Args:
        answer: gives what follows the version: ``200 OK``.
    """

    def serve(connection: socket.socket) -> None:
        while connection.recv(4096):
            connection.sendall(b"HTTP/1.1 " + answer() + b"\r\ncontent-length: 0\r\n\r\n")

    return serve


def reset_on_close(connection: socket.socket) -> None:
    """Have a connection end without a word to the other side."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def running_echo_upstream() -> contextlib.AbstractContextManager[int]:
    """An application that sends back what it gets; yields its port."""

    def echo(connection: socket.socket) -> None:
        while data := connection.recv(4096):
            connection.sendall(data)

    return running_upstream(echo)


def stranger(authority: Authority, directory: Path) -> ssl.SSLContext:
    """A TLS client that signed its own certificate, and its name in it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stranger")])
    now = dt.datetime.now(dt.UTC)  # noqa: TID251 - Envoy holds validity against the machine's clock
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    both = directory / "stranger.pem"
    pem, traditional = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(pem, traditional, serialization.NoEncryption())
    both.write_bytes(certificate.public_bytes(pem) + secret)
    context = authority.client_context(None)
    context.load_cert_chain(both)
    return context
