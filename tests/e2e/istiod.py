"""What istiod makes of the resources that `meshtrail emit-config istio` prints, for a real Envoy.

A reading of istiod's source, not istiod: pilot/pkg/networking/core/accesslog.go attaches every
provider of a Telemetry to HTTP, to TCP and, for connections without a route only, to listeners;
pilot/pkg/model/telemetry_logging.go makes the loggers; an EnvoyFilter's MERGE adds to a list.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.e2e import wired_proxy as wired

if TYPE_CHECKING:
    from meshtrail.demo.authority import Authority, Identity
    from tests.e2e.wired_proxy import Config

CLIENT, SERVER = "CLIENT", "SERVER"
SIDECAR_INBOUND, SIDECAR_OUTBOUND, GATEWAY = "SIDECAR_INBOUND", "SIDECAR_OUTBOUND", "GATEWAY"
_MODES = {SIDECAR_INBOUND: SERVER, SIDECAR_OUTBOUND: CLIENT, GATEWAY: CLIENT}
_LOGGERS = "type.googleapis.com/envoy.extensions.access_loggers.grpc.v3"
_OTLP_LOGGER = (
    "type.googleapis.com/envoy.extensions.access_loggers.open_telemetry.v3"
    ".OpenTelemetryAccessLogConfig"
)
_CEL = "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
_PEERS = ["upstream_peer", "downstream_peer"]
NO_ROUTE: Config = {"response_flag_filter": {"flags": ["NR"]}}


@dataclass(frozen=True)
class Istiod:
    """The control plane that was given these resources.

    Attributes:
        documents: as printed, MeshConfig among them.
    """

    documents: list[dict[str, Any]]

    def of_kind(self, kind: str) -> dict[str, Any]:
        """The only resource of a kind."""
        [found] = [one for one in self.documents if one.get("kind") == kind]
        return found

    def access_log(self, context: str, *, of_listener: bool = False) -> list[Config]:
        """The loggers of a connection manager, a TCP proxy or a listener in a context."""
        loggers = []
        for entry in self.of_kind("Telemetry")["spec"]["accessLogging"]:
            if entry.get("match", {}).get("mode", _MODES[context]) != _MODES[context]:
                continue
            filters = [copy.deepcopy(NO_ROUTE)] if of_listener else []
            filters.append(_cel_filter(entry["filter"]["expression"]))
            for provider in entry["providers"]:
                logger = self._logger(provider["name"])
                logger["filter"] = (
                    filters[0] if len(filters) == 1 else {"and_filter": {"filters": filters}}
                )
                loggers.append(logger)
        return loggers

    def listener(
        self, name: str, context: str, chains: list[Config], *, inspector: bool = True
    ) -> Config:
        """A listener with its own log, and what EnvoyFilters add to it."""
        config: Config = {
            "name": name,
            "address": wired.address(0),
            "filter_chains": chains,
            "access_log": self.access_log(context, of_listener=True),
        }
        if inspector:
            kind = "filters.listener.tls_inspector.v3.TlsInspector"
            config["listener_filters"] = [wired.typed("envoy.filters.listener.tls_inspector", kind)]
        for patch in self.of_kind("EnvoyFilter")["spec"]["configPatches"]:
            assert patch["applyTo"] == "LISTENER"
            assert patch["patch"]["operation"] == "MERGE"
            match = patch["match"]
            named = match.get("listener", {}).get("name", name)
            if match["context"] == context and named == name:
                config["access_log"] += copy.deepcopy(patch["patch"]["value"]["access_log"])
        return config

    def cluster(self, port: int, authority: Authority, identity: Identity) -> Config:
        """The collector's cluster in a sidecar: ISTIO_MUTUAL with the workload's certificate."""
        rule = self.of_kind("DestinationRule")["spec"]
        tls = rule["trafficPolicy"]["tls"]
        assert tls["mode"] == "ISTIO_MUTUAL"
        matchers = [
            {"san_type": "URI", "matcher": {"exact": name}} for name in tls["subjectAltNames"]
        ]
        socket = wired.typed(
            "envoy.transport_sockets.tls",
            "transport_sockets.tls.v3.UpstreamTlsContext",
            sni=f"outbound_.4317_._.{rule['host']}",
            common_tls_context={
                "alpn_protocols": ["istio-peer-exchange", "istio", "h2"],
                "tls_certificates": [
                    {
                        "certificate_chain": {"filename": str(identity.chain)},
                        "private_key": {"filename": str(identity.key)},
                    }
                ],
                "validation_context": {
                    "trusted_ca": {"filename": str(authority.bundle)},
                    "match_typed_subject_alt_names": matchers,
                },
            },
        )
        return wired.cluster(f"outbound|4317||{rule['host']}", port, is_http2=True, tls=socket)

    def _logger(self, name: str) -> Config:
        [mesh] = [one["meshConfig"] for one in self.documents if "meshConfig" in one]
        [provider] = [one for one in mesh["extensionProviders"] if one["name"] == name]
        common = {"transport_api_version": "V3", "filter_state_objects_to_log": _PEERS}

        def target(config: dict[str, Any]) -> Config:
            cluster = f"outbound|{config['port']}||{config['service']}"
            grpc = {"envoy_grpc": {"cluster_name": cluster, "authority": config["service"]}}
            return {**common, "log_name": config["logName"], "grpc_service": grpc}

        if "envoyTcpAls" in provider:
            typed = {
                "@type": f"{_LOGGERS}.TcpGrpcAccessLogConfig",
                "common_config": target(provider["envoyTcpAls"]),
            }
            return {"name": "envoy.tcp_grpc_access_log", "typed_config": typed}
        if "envoyOtelAls" in provider:
            return _otlp_logger(provider["envoyOtelAls"], target(provider["envoyOtelAls"]))
        config = provider["envoyHttpAls"]
        typed = {
            "@type": f"{_LOGGERS}.HttpGrpcAccessLogConfig",
            "common_config": target(config),
            "additional_request_headers_to_log": config["additionalRequestHeadersToLog"],
            "additional_response_headers_to_log": config["additionalResponseHeadersToLog"],
            "additional_response_trailers_to_log": config["additionalResponseTrailersToLog"],
        }
        return {"name": "envoy.access_loggers.http_grpc", "typed_config": typed}


def _otlp_logger(config: dict[str, Any], common: Config) -> Config:
    """An ``envoyOtelAls``: its text as the body, its labels as attributes, and a mute resource."""
    labels = config["logFormat"]["labels"]
    typed = {
        "@type": _OTLP_LOGGER,
        "common_config": common,
        "disable_builtin_labels": True,
        "body": {"string_value": config["logFormat"]["text"]},
        "attributes": {
            "values": [
                {"key": key, "value": {"string_value": label}} for key, label in labels.items()
            ]
        },
    }
    return {"name": "envoy.access_loggers.open_telemetry", "typed_config": typed}


def _cel_filter(expression: str) -> Config:
    typed = {"@type": _CEL, "expression": expression}
    name = "envoy.access_loggers.extension_filters.cel"
    return {"extension_filter": {"name": name, "typed_config": typed}}
