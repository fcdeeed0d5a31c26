"""How Kuma's proxies are told to log and trace: as lines in a file, or as OTLP.

Source: Kuma 2.14, kuma.io/v1alpha1 (MeshAccessLog, MeshProxyPatch, MeshTrace,
MeshOpenTelemetryBackend) and what its control plane makes of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import indent
from typing import TYPE_CHECKING, Final

from meshtrail.model.otlp_attributes import Told
from meshtrail.wiring.arrival import POD_LOGS, Lines, format_arrival
from meshtrail.wiring.comments import format_comment
from meshtrail.wiring.mesh_formats import WHAT_LACKS, mesh_operators
from meshtrail.wiring.values import check_namespace, check_path, quote

if TYPE_CHECKING:
    from meshtrail.wiring.values import Endpoint

LINES: Final = Lines(record_format="envoy-json", path=f"{POD_LOGS}/*/kuma-sidecar/*.log")
BACKEND: Final = "meshtrail"
_FILE_LOGGER: Final = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"


@dataclass(frozen=True, slots=True, kw_only=True)
class KumaWiring:
    """What a mesh has to know.

    Attributes:
        collector: the HTTP door of meshtrail; with ``is_otlp`` whoever takes OTLP over gRPC.
        mesh: its name.
        namespace: of Kuma's control plane, where policies count for the whole mesh.
        access_log_file: where proxies write, as they see it.
        is_otlp: whether logs and spans are sent as OTLP instead.

    Raises:
        ConfigError: a value cannot stand.
    """

    collector: Endpoint
    mesh: str = "default"
    namespace: str = "kuma-system"
    access_log_file: str = "/dev/stdout"
    is_otlp: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot stand in YAML."""
        check_namespace(self.mesh, option="--mesh")
        check_namespace(self.namespace, option="--root-namespace")
        check_path(self.access_log_file, option="--access-log-file")


def format_kuma(wiring: KumaWiring) -> str:
    """The resources as YAML documents."""
    backend = _format_otlp_backend() if wiring.is_otlp else _format_file_backend(wiring)
    documents = [
        _format_log(wiring, "meshtrail-inbound", "rules:\n  - ", backend),
        _format_log(
            wiring, "meshtrail-outbound", "to:\n  - targetRef: {kind: Mesh}\n    ", backend
        ),
    ]
    if wiring.is_otlp:
        documents = [_format_otlp_target(wiring), *documents, _format_trace(wiring)]
    else:
        documents.append(_format_listener_patch(wiring))
    return f"{_format_head(wiring)}---\n" + "---\n".join(documents)


def _format_head(wiring: KumaWiring) -> str:
    about = format_comment(
        "What Kuma's proxies need to tell all that they can, made by `meshtrail emit-config "
        f"kuma{' --otlp' if wiring.is_otlp else ''}`: each request and each TCP connection, as it "
        f"ends, at both ends, with their SPIFFE IDs. {WHAT_LACKS} Resources of Kuma 2.14, to "
        "apply in the namespace of the control plane. An operator that a proxy's Envoy does not "
        "know costs it its listeners: apply them to a mesh for trial first."
    )
    if wiring.is_otlp:
        way = format_comment(
            "Proxies send in the clear, and show no certificate. meshtrail takes that on loopback "
            "alone, so --address is a collector on the same node or in the same pod, such as the "
            "OpenTelemetry Collector, which sends on with TLS and a token (`meshtrail keys "
            "token`). What is in such records is reported, never attested. Failed TLS handshakes "
            "are not among them: without --otlp they are. An export that fails is lost."
        )
        return f"{about}#\n{way}"
    limits = format_comment(
        "What it still cannot say: who was refused in a handshake beyond what the certificate "
        "said, and which rule of a MeshTrafficPermission allowed. Who changed a policy is in the "
        "audit log of Kubernetes."
    )
    return f"{about}#\n{limits}#\n{format_arrival(LINES, wiring.collector)}"


def _format_metadata(wiring: KumaWiring, name: str) -> str:
    return f"""\
metadata:
  name: {name}
  namespace: {quote(wiring.namespace)}
  labels:
    kuma.io/mesh: {quote(wiring.mesh)}
"""


def _format_log(wiring: KumaWiring, name: str, where: str, backend: str) -> str:
    """One MeshAccessLog: Kuma takes what comes in and what goes out in two."""
    side = "comes in" if name.endswith("inbound") else "goes out"
    return f"""\
# What {side}. A MeshAccessLog for fewer proxies takes the place of this one there.
apiVersion: kuma.io/v1alpha1
kind: MeshAccessLog
{_format_metadata(wiring, name)}spec:
  targetRef: {{kind: Mesh}}
  {where}default:
      backends:
{indent(backend, "      ")}"""


def _format_file_backend(wiring: KumaWiring) -> str:
    keys = "".join(
        f"      - {{key: {key}, value: {quote(operator)}}}\n"
        for key, operator in mesh_operators(Told.BOTH).items()
    )
    return f"""\
- type: File
  file:
    path: {quote(wiring.access_log_file)}
    format:
      type: Json
      # Half of what is asked for has no value, in a usual record.
      omitEmptyValues: true
      # All that events are made of. What is logged is kept for good: never add authorization,
      # cookie or anything else that is a secret.
      json:
{keys}"""


def _format_otlp_backend() -> str:
    keys = "".join(
        f"    - {{key: {key}, value: {quote(operator)}}}\n"
        for key, operator in mesh_operators(Told.BOTH, is_json=False).items()
    )
    return f"""\
- type: OpenTelemetry
  openTelemetry:
    backendRef: {{kind: MeshOpenTelemetryBackend, name: {BACKEND}}}
    # All that events are made of. What is logged is kept for good: never add authorization,
    # cookie or anything else that is a secret.
    attributes:
{keys}"""


def _format_otlp_target(wiring: KumaWiring) -> str:
    return f"""\
# Where to. Without address kuma-dp takes the node's (HOST_IP), else its own loopback.
apiVersion: kuma.io/v1alpha1
kind: MeshOpenTelemetryBackend
{_format_metadata(wiring, BACKEND)}spec:
  endpoint:
    address: {quote(wiring.collector.host)}
    port: {wiring.collector.port}
  protocol: grpc
"""


def _format_trace(wiring: KumaWiring) -> str:
    return f"""\
# Optional: a span of each request. A missing one proves nothing: who calls chooses whether there is
# one (traceparent). Below 100 % nobody can tell what was lost from what was left out.
apiVersion: kuma.io/v1alpha1
kind: MeshTrace
{_format_metadata(wiring, "meshtrail")}spec:
  targetRef: {{kind: Mesh}}
  default:
    backends:
    - type: OpenTelemetry
      openTelemetry:
        backendRef: {{kind: MeshOpenTelemetryBackend, name: {BACKEND}}}
    sampling:
      overall: 100
      client: 100
      random: 100
"""


def _format_listener_patch(wiring: KumaWiring) -> str:
    keys = "".join(
        f"                  {key}: {quote(operator)}\n"
        for key, operator in mesh_operators(Told.CONNECTION).items()
    )
    return f"""\
# A line for each connection that comes in, as it ends: the only place where a TLS handshake that
# failed shows, and MeshAccessLog does not reach it. Count connections by these lines (access log
# type NotSet); one of TCP has another in its proxy's log (TcpConnectionEnd).
apiVersion: kuma.io/v1alpha1
kind: MeshProxyPatch
{_format_metadata(wiring, "meshtrail-listener-log")}spec:
  targetRef: {{kind: Mesh}}
  default:
    appendModifications:
    - listener:
        operation: Patch
        match: {{origin: inbound}}
        value: |
          accessLog:
          - name: envoy.access_loggers.file
            typedConfig:
              "@type": {_FILE_LOGGER}
              path: {quote(wiring.access_log_file)}
              logFormat:
                omitEmptyValues: true
                jsonFormat:
{keys}"""
