"""One workload's Envoy: who may come in, where its service's calls go, what is reported of both.

Others come in at ``inbound`` with mTLS, are held against the policies, and reach the service; what
the service calls goes out at ``outbound``, with mTLS again. All doors report to meshtrail.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meshtrail.demo import envoy_config, reporting
from meshtrail.demo.workloads import NAMESPACE, WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshtrail.demo.authority import Authority, Identity
    from meshtrail.demo.envoy_config import Config
    from meshtrail.demo.listener_file import ListenerFile
    from meshtrail.demo.loopback import Ports
    from meshtrail.demo.reporting import AccessLogger
    from meshtrail.demo.workloads import Policy, Rule, Workload

DOORS: Final = ("inbound", "outbound", "public")
"""Listeners, which report connections and failed handshakes, and the connection managers behind
them, which report requests."""
_TO_SERVICE: Final = "inbound|8080||"


@dataclass(frozen=True, slots=True)
class MeshPlan:
    """Where everybody is, and who they are.

    Attributes:
        ips: the address of each workload, by its name.
        identities: the SVID of each workload, by its name.
        collector: the SVID of meshtrail's gRPC door.
        collector_port: of that door, on 127.0.0.1.
        listener_files: where each sidecar takes its listeners from, by its workload's name.
    """

    ips: Mapping[str, str]
    ports: Ports
    authority: Authority
    identities: Mapping[str, Identity]
    collector: Identity
    collector_port: int
    listener_files: Mapping[str, ListenerFile]


def make_sidecar_config(workload: Workload, plan: MeshPlan, *, listeners: ListenerFile) -> Config:
    """The whole configuration of one workload's Envoy, but for its listeners.

    Args:
        workload: whose sidecar it is.
        plan: of the mesh.
        listeners: where it takes them from.
    """
    ip, ports = plan.ips[workload.name], plan.ports
    service = envoy_config.cluster(_TO_SERVICE, ports.application, ip=ip, source_ip=ip)
    return envoy_config.bootstrap(
        node=envoy_config.node(workload=workload.name, namespace=NAMESPACE, ip=ip),
        listeners=[],
        clusters=[
            service,
            _collector(workload, plan),
            *(_upstream(workload, other, plan) for other in _others(workload)),
        ],
        admin=envoy_config.address(ports.admin, ip=ip),
        dynamic_resources=listeners.source(),
        **reporting.process_wide(),
    )


def make_listeners(workload: Workload, plan: MeshPlan) -> list[Config]:
    """The doors of one workload's Envoy."""
    listeners = [_inbound(workload, plan), _outbound(workload, plan)]
    if workload.is_public:
        listeners.append(_public(workload, plan))
    return listeners


def make_rbac_filters(policies: tuple[Policy, ...], *, ids: Mapping[str, str]) -> list[Config]:
    """The filters that enforce a workload's policies: DENY before ALLOW, as Istio orders them.

    Args:
        policies: of the workload.
        ids: the SPIFFE ID of each workload, by its name.
    """
    filters = []
    for action in ("DENY", "ALLOW"):
        rules = {
            f"ns[{NAMESPACE}]-policy[{policy.name}]-rule[{at}]": _rbac_policy(rule, ids)
            for policy in policies
            if policy.action == action
            for at, rule in enumerate(policy.rules)
        }
        if rules:
            filters.append(envoy_config.http_rbac(action, rules))
    return filters


def _rbac_policy(rule: Rule, ids: Mapping[str, str]) -> Config:
    return envoy_config.policy(
        spiffe_ids=[ids[name] for name in rule.callers],
        path_prefix=rule.path_prefix,
        method=rule.method,
    )


def _inbound(workload: Workload, plan: MeshPlan) -> Config:
    identity = plan.identities[workload.name]
    return envoy_config.listener(
        "inbound",
        [_to_service("inbound", workload, plan)],
        at=envoy_config.address(plan.ports.inbound, ip=plan.ips[workload.name]),
        access_log=_access_logger(workload).connections(),
        transport_socket=envoy_config.downstream_mtls(plan.authority, identity),
        listener_filters=[envoy_config.tls_inspector()],
    )


def _public(workload: Workload, plan: MeshPlan) -> Config:
    return envoy_config.listener(
        "public",
        [_to_service("public", workload, plan)],
        at=envoy_config.address(plan.ports.public, ip=plan.ips[workload.name]),
        access_log=_access_logger(workload).connections(),
    )


def _to_service(stat_prefix: str, workload: Workload, plan: MeshPlan) -> Config:
    ids = {name: identity.spiffe_id for name, identity in plan.identities.items()}
    return envoy_config.http_filter(
        stat_prefix,
        access_log=_access_logger(workload).http(),
        tracing=_tracing(workload),
        routes=[envoy_config.route("/", _TO_SERVICE)],
        http_filters=make_rbac_filters(workload.policies, ids=ids),
    )


def _outbound(workload: Workload, plan: MeshPlan) -> Config:
    http = envoy_config.http_filter(
        "outbound",
        access_log=_access_logger(workload).http(),
        tracing=_tracing(workload),
        virtual_hosts=[
            envoy_config.virtual_host(
                other.name, [other.domain], [envoy_config.route("/", _cluster_name(other))]
            )
            for other in _others(workload)
        ],
    )
    at = envoy_config.address(plan.ports.outbound, ip=plan.ips[workload.name])
    log = _access_logger(workload).connections()
    return envoy_config.listener("outbound", [http], at=at, access_log=log)


def _access_logger(workload: Workload) -> AccessLogger:
    if workload.is_logging_by_otlp:
        return reporting.OtlpAccessLogger()
    return reporting.AccessLogService()


def _tracing(workload: Workload) -> Config:
    return reporting.tracing(f"{workload.name}.{NAMESPACE}")


def _upstream(workload: Workload, other: Workload, plan: MeshPlan) -> Config:
    """Another workload's sidecar, called with this one's identity from this one's address."""
    transport_socket = envoy_config.upstream_mtls(
        plan.authority,
        plan.identities[workload.name],
        peer=plan.identities[other.name].spiffe_id,
        sni=f"outbound_.8080_._.{other.domain}",
    )
    return envoy_config.cluster(
        _cluster_name(other),
        plan.ports.inbound,
        ip=plan.ips[other.name],
        source_ip=plan.ips[workload.name],
        transport_socket=transport_socket,
    )


def _others(workload: Workload) -> list[Workload]:
    return [other for other in WORKLOADS if other is not workload]


def _cluster_name(other: Workload) -> str:
    return f"outbound|8080||{other.domain}"


def _collector(workload: Workload, plan: MeshPlan) -> Config:
    return envoy_config.cluster(
        envoy_config.COLLECTOR_CLUSTER,
        plan.collector_port,
        source_ip=plan.ips[workload.name],
        transport_socket=envoy_config.upstream_mtls(
            plan.authority,
            plan.identities[workload.name],
            peer=plan.collector.spiffe_id,
            alpn="h2",
        ),
        is_http2=True,
    )
