"""How Cilium's agents are told to export what Hubble sees, and to see more than packets.

Source: Cilium 1.19, install/kubernetes/cilium (values and their schema), cilium.io/v2;
docs/sources/hubble.md for what is read of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from meshtrail.wiring.arrival import Lines, format_arrival
from meshtrail.wiring.comments import format_comment
from meshtrail.wiring.values import check_namespace, quote

if TYPE_CHECKING:
    from meshtrail.wiring.values import Endpoint

CiliumPart = Literal["values", "resources"]

LINES: Final = Lines(
    record_format="hubble",
    path="/var/run/cilium/hubble/events.log",
    folder="/var/run/cilium/hubble",
)


def format_cilium(collector: Endpoint, *, namespace: str, part: CiliumPart | None = None) -> str:
    """The configuration as YAML documents.

    Args:
        collector: the HTTP door of meshtrail.
        namespace: whose requests and names are to be seen.
        part: only values of the chart, or only the policy that makes requests seen; None for both.
    """
    check_namespace(namespace, option="--namespace")
    documents = {
        "values": [_format_values()],
        "resources": [_format_visibility(namespace)],
        None: [_format_values(), _format_visibility(namespace)],
    }[part]
    return f"{_format_head(collector)}---\n" + "---\n".join(documents)


def _format_head(collector: Endpoint) -> str:
    about = format_comment(
        "What Cilium needs to tell all that it can, made by `meshtrail emit-config cilium`. The "
        "first document is values for the chart, of 1.18 or newer; the second is a policy of a "
        "namespace. The agents restart, and with them what Hubble has not exported yet is gone."
    )
    limits = format_comment(
        "What it still cannot say: a SPIFFE ID or anything of TLS, who changed a policy (the "
        "audit log of Kubernetes does), every packet (aggregation leaves out most; that is no "
        "loss, but a flow is a sample of a connection), requests where no policy sends them "
        "through the proxy."
    )
    return f"{about}#\n{limits}#\n{format_arrival(LINES, collector)}"


def _format_values() -> str:
    return """\
# Values of the chart cilium.
hubble:
  enabled: true
  # Flows that a node holds until they are exported, one less than a power of two. Cilium's own 4095
  # last some seconds on a busy node; what is overwritten is told in a lost_events line, which
  # becomes a gap. More flows cost more memory, on each node.
  eventBufferCapacity: "65535"
  # Which policy allowed or denied, by name. It needs this; costs a look-up for each verdict.
  networkPolicyCorrelation:
    enabled: true
  export:
    # One exporter, of everything. The dynamic one takes filters from a ConfigMap, which anybody who
    # may write it can narrow without a trace but in the audit log.
    static:
      enabled: true
      filePath: /var/run/cilium/hubble/events.log
      # Empty: all fields, all flows. What a mask or a list leaves out is in no line.
      fieldMask: []
      fieldAggregate: []
      allowList: []
      denyList: []
      # Half a gigabyte on each node. At 1,000 flows of 1.5 kB a second that is five minutes for a
      # reader that is away; Cilium's own five files of 10 MB are half a minute.
      fileMaxSizeMb: 50
      fileMaxBackups: 10
      # A packed file is not read any more.
      fileCompress: false
bpf:
  # What an agent tells Hubble of: drops, verdicts of policies, packets as they pass.
  events:
    drop:
      enabled: true
    policyVerdict:
      enabled: true
    trace:
      enabled: true
  # medium is Cilium's own: of a connection its first packets, its flags, and one for each interval.
  # none tells of every packet, at a cost that few clusters can bear.
  monitorAggregation: medium
# policyAuditMode: true would let pass what policies drop, and only say so (verdict AUDIT).
"""


def _format_visibility(namespace: str) -> str:
    return f"""\
# Requests and DNS names are seen where a policy sends them through Cilium's proxy. This one allows
# all of them, and closes nothing (enableDefaultDeny, 1.16 or newer): every request through an Envoy
# of the node, which costs CPU and a fraction of a millisecond. Name ports that speak HTTP in the
# clear, and no other: what is no HTTP would be refused there. Where policies name a port already,
# add rules to those instead.
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  name: meshtrail-visibility
  namespace: {quote(namespace)}
spec:
  endpointSelector: {{}}
  enableDefaultDeny:
    ingress: false
    egress: false
  ingress:
  - toPorts:
    - ports:
      - port: "8080"
        protocol: TCP
      rules:
        http:
        - {{}}
  egress:
  - toEndpoints:
    - matchLabels:
        k8s:io.kubernetes.pod.namespace: kube-system
        k8s-app: kube-dns
    toPorts:
    - ports:
      - port: "53"
        protocol: ANY
      rules:
        dns:
        - matchPattern: "*"
"""
