"""The mesh whose access log is recorded: many workloads, several services, two Envoys.

    load ──► source Envoy ──mTLS──► destination Envoy
             an SVID a workload     an SVID a service

The source Envoy chooses the workload by the request's ``x-workload`` header, and each workload
calls from an address of its own in 127.0.0.0/8. What is sent follows from the seed alone.
"""

from __future__ import annotations

import contextlib
import random  # noqa: TID251 - seeded: a recording can be made again
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshtrail.demo.authority import Authority, Identity
from tests.rig import configuration as envoy_config
from tests.rig.envoy import Envoy
from tests.rig.load import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.rig.configuration import Config

WORKLOADS_COUNT = 240
ROGUES_COUNT = 4
SERVICES = (
    "payments",
    "orders",
    "cart",
    "catalogue",
    "users",
    "sessions",
    "search",
    "ledger",
    "shipping",
    "mail",
    "prices",
    "stock",
)
HTTP2_SERVICES = frozenset(SERVICES[::2])
NAMESPACES = ("shop", "web", "ops", "data", "partner")
ROGUE_SHARE = 0.005
ADMIN_SHARE = 0.005
POPULAR_SHARE = 0.35
POPULAR_PATHS_COUNT = 5_000
IDS_COUNT = 4_000_000
METHODS = ("GET", "GET", "GET", "GET", "GET", "GET", "POST", "POST", "PUT", "DELETE")
USER_AGENTS = (
    "Go-http-client/1.1",
    "python-requests/2.34.2",
    "axios/1.13.2",
    "okhttp/5.3.0",
    "Apache-HttpClient/5.5 (Java/21.0.9)",
    "grpc-python/1.85.1 grpc-c/51.0.0 (linux; chttp2)",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0",
    "curl/8.17.0",
)
STATUS_BY_PREFIX = {"/v1/absent": 404, "/v1/created": 201, "/v1/broken": 503, "/v1/busy": 429}
KINDS = ("items", "items", "items", "items", "invoices", "created", "absent", "broken", "busy")


@dataclass(frozen=True, slots=True)
class Workload:
    """A caller: its SVID, its address, and the service that it calls."""

    name: str
    identity: Identity
    ip: str
    service: str


@dataclass(frozen=True, slots=True)
class BenchMesh:
    """The running mesh."""

    source: Envoy
    destination: Envoy
    port: int


def make_requests(count: int, *, seed: int) -> list[Request]:
    """Make ``count`` requests with unique ids, as many workloads as there are, and rare denials."""
    rng = random.Random(seed)  # noqa: S311 - load, not secrets
    popular = [_make_path(rng) for _ in range(POPULAR_PATHS_COUNT)]
    return [_make_request(rng, popular) for _ in range(count)]


def _make_request(rng: random.Random, popular: list[str]) -> Request:
    if rng.random() < ROGUE_SHARE:
        workload = f"rogue-{rng.randrange(ROGUES_COUNT)}"
    else:
        workload = f"workload-{rng.randrange(WORKLOADS_COUNT)}"
    path = rng.choice(popular) if rng.random() < POPULAR_SHARE else _make_path(rng)
    if rng.random() < ADMIN_SHARE:
        path = f"/admin{path}"
    method = rng.choice(METHODS)
    request_id = uuid.UUID(int=rng.getrandbits(128), version=4)
    headers = [
        ("x-workload", workload),
        ("x-request-id", str(request_id)),
        ("traceparent", f"00-{rng.getrandbits(128):032x}-{rng.getrandbits(64):016x}-01"),
        ("user-agent", rng.choice(USER_AGENTS)),
    ]
    body = b""
    if method in {"POST", "PUT"}:
        headers.append(("content-type", "application/json"))
        body = b"x" * rng.randrange(20, 400)
    return Request(method, path, tuple(headers), body)


def _make_path(rng: random.Random) -> str:
    path = f"/v1/{rng.choice(KINDS)}/{rng.randrange(IDS_COUNT):07d}"
    kind = rng.randrange(4)
    if kind == 0:
        path += f"?page={rng.randrange(50)}&limit=25"
    elif kind == 1:
        path += "/history"
    return path


@contextlib.contextmanager
def running_bench_mesh(
    *, directory: Path, collector_port: int, add: Callable[[Config], None] | None = None
) -> Iterator[BenchMesh]:
    """Run both Envoys, reporting to a collector in the clear.

    Args:
        directory: of their files.
        collector_port: of the access log service.
        add: adds to the configuration of each what else it is to report.
    """
    authority = Authority(directory / "certificates")
    collector = envoy_config.cluster(envoy_config.COLLECTOR_CLUSTER, collector_port, is_http2=True)
    services = {name: authority.issue(f"ns/shop/sa/{name}") for name in SERVICES}
    workloads = _issue_workloads(authority)
    callers = [one.identity.spiffe_id for one in workloads if one.name.startswith("workload-")]

    def envoy(name: str, config: Config) -> Envoy:
        if add is not None:
            add(config)
        return Envoy(name, config, directory=directory)

    at_services = _destination_config(authority, services, callers=callers, collector=collector)
    with envoy("destination", at_services) as destination:
        ports = destination.ports()
        at_callers = _source_config(authority, workloads, service_ports=ports, collector=collector)
        with envoy("source", at_callers) as source:
            yield BenchMesh(source, destination, source.ports()["outbound"])


def _issue_workloads(authority: Authority) -> list[Workload]:
    names = [f"workload-{i}" for i in range(WORKLOADS_COUNT)]
    names += [f"rogue-{i}" for i in range(ROGUES_COUNT)]
    return [
        Workload(
            name,
            authority.issue(f"ns/{NAMESPACES[i % len(NAMESPACES)]}/sa/{name}"),
            f"127.1.{i // 200}.{i % 200 + 1}",
            SERVICES[i % len(SERVICES)],
        )
        for i, name in enumerate(names)
    ]


def _destination_config(
    authority: Authority, services: dict[str, Identity], *, callers: list[str], collector: Config
) -> Config:
    routes = [envoy_config.direct_response(*item) for item in STATUS_BY_PREFIX.items()]
    routes.append(envoy_config.direct_response("/", 200))
    listeners = []
    for name, identity in services.items():
        policy = f"ns[shop]-policy[{name}"
        admin = envoy_config.policy(path_prefix="/admin")
        known = envoy_config.policy(spiffe_ids=callers)
        http = envoy_config.http_filter(
            "inbound",
            access_log=envoy_config.http_access_log("http_envoy_accesslog"),
            routes=routes,
            http_filters=[
                envoy_config.whole_requests(),
                envoy_config.http_rbac("DENY", {f"{policy}-no-admin]-rule[0]": admin}),
                envoy_config.http_rbac("ALLOW", {f"{policy}-allow]-rule[0]": known}),
            ],
        )
        listeners.append(
            envoy_config.listener(
                name,
                [http],
                access_log=envoy_config.tcp_access_log("listener_envoy_accesslog"),
                transport_socket=envoy_config.downstream_mtls(authority, identity),
            )
        )
    node = envoy_config.node(workload="services", namespace="shop", ip="10.0.0.7")
    return envoy_config.bootstrap(node=node, listeners=listeners, clusters=[collector])


def _source_config(
    authority: Authority,
    workloads: list[Workload],
    *,
    service_ports: dict[str, int],
    collector: Config,
) -> Config:
    http = envoy_config.http_filter(
        "outbound",
        access_log=envoy_config.http_access_log("http_envoy_accesslog"),
        routes=[{"match": {"prefix": "/"}, "route": {"cluster_header": "x-workload"}}],
    )
    clusters = [collector]
    for workload in workloads:
        tls = envoy_config.upstream_mtls(
            authority,
            workload.identity,
            sni=f"outbound_.8080_._.{workload.service}.shop.svc.cluster.local",
        )
        cluster = envoy_config.cluster(
            workload.name,
            service_ports[workload.service],
            transport_socket=tls,
            is_http2=workload.service in HTTP2_SERVICES,
        )
        cluster["upstream_bind_config"] = {
            "source_address": {"address": workload.ip, "port_value": 0}
        }
        clusters.append(cluster)
    node = envoy_config.node(workload="callers", namespace="web", ip="10.0.0.5")
    listener = envoy_config.listener("outbound", [http])
    return envoy_config.bootstrap(node=node, listeners=[listener], clusters=clusters)
