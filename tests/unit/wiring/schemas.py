"""Closed schemas of what is printed for others, by name and version.

No package that Python's registry has carries these. Each has exactly the members that are printed,
as the documentation and the custom resource definitions of that version have them: a member that is
misspelt, or stands elsewhere, is refused.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

STRING: Schema = {"type": "string", "minLength": 1}
BOOLEAN: Schema = {"type": "boolean"}
INTEGER: Schema = {"type": "integer"}
EMPTY: Schema = {"type": "array", "maxItems": 0}
ON: Schema = {"const": True}
LEVEL: Schema = {"enum": ["None", "Metadata", "Request", "RequestResponse"]}
STAGES: Schema = {
    "type": "array",
    "items": {"enum": ["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"]},
}


def closed(required: Schema | None = None, optional: Schema | None = None) -> Schema:
    """An object of these members and no other."""
    return {
        "type": "object",
        "properties": {**(required or {}), **(optional or {})},
        "required": list(required or {}),
        "additionalProperties": False,
    }


def some(items: Schema) -> Schema:
    """A list of at least one."""
    return {"type": "array", "items": items, "minItems": 1}


def one_of(*values: object) -> Schema:
    """One of these values."""
    return {"enum": list(values)}


def resource(version: str, kind: str, spec: Schema, metadata: Schema) -> Schema:
    """A resource of Kubernetes."""
    return closed(
        {"apiVersion": one_of(version), "kind": one_of(kind), "metadata": metadata, "spec": spec}
    )


_NAMESPACED = closed({"name": STRING, "namespace": STRING})
_OF_MESH = closed({"name": STRING, "namespace": STRING, "labels": closed({"kuma.io/mesh": STRING})})
_MESH = closed({"kind": one_of("Mesh")})
_KEYS = some(closed({"key": STRING, "value": STRING}))
_BACKEND_REF = closed({"kind": one_of("MeshOpenTelemetryBackend"), "name": STRING})
_KUMA_FORMAT = closed({"type": one_of("Json"), "json": _KEYS}, {"omitEmptyValues": BOOLEAN})
_KUMA_BACKENDS = some(
    {
        "oneOf": [
            closed(
                {
                    "type": one_of("File"),
                    "file": closed({"path": STRING, "format": _KUMA_FORMAT}),
                }
            ),
            closed(
                {
                    "type": one_of("OpenTelemetry"),
                    "openTelemetry": closed({"backendRef": _BACKEND_REF, "attributes": _KEYS}),
                }
            ),
        ]
    }
)
_KUMA_DEFAULT = closed({"backends": _KUMA_BACKENDS})
_RULES = closed({"targetRef": _MESH, "rules": some(closed({"default": _KUMA_DEFAULT}))})
_TO = closed(
    {"targetRef": _MESH, "to": some(closed({"targetRef": _MESH, "default": _KUMA_DEFAULT}))}
)
_PORTS = some(closed({"port": {"type": "string", "pattern": "^[0-9]+$"}, "protocol": STRING}))

AUDIT_POLICY = "audit.k8s.io/v1 Policy, Kubernetes 1.33"
KUBECONFIG = "v1 Config, Kubernetes 1.33"
PROXY_DEFAULTS = "consul.hashicorp.com/v1alpha1 ProxyDefaults, consul-k8s 1.7"
ACCESS_LOG = "kuma.io/v1alpha1 MeshAccessLog, Kuma 2.14"
PROXY_PATCH = "kuma.io/v1alpha1 MeshProxyPatch, Kuma 2.14"
TRACE = "kuma.io/v1alpha1 MeshTrace, Kuma 2.14"
OTLP_BACKEND = "kuma.io/v1alpha1 MeshOpenTelemetryBackend, Kuma 2.14"
NETWORK_POLICY = "cilium.io/v2 CiliumNetworkPolicy, Cilium 1.19"
CILIUM_VALUES = "values of chart cilium, 1.19"
LINKERD_VALUES = "values of chart linkerd-control-plane, Linkerd 2.18"
ZTUNNEL_VALUES = "values of chart istio/ztunnel, Istio 1.27"

_SWITCH = closed({"enabled": BOOLEAN})
_GROUP = closed(
    {"group": {"type": "string", "pattern": r"^[a-z0-9.-]*$"}},
    {"resources": some(STRING), "resourceNames": some(STRING)},
)

SCHEMAS: dict[str, Schema] = {
    AUDIT_POLICY: closed(
        {
            "apiVersion": one_of("audit.k8s.io/v1"),
            "kind": one_of("Policy"),
            "rules": some(
                closed(
                    {"level": LEVEL},
                    {
                        "users": some(STRING),
                        "userGroups": some(STRING),
                        "verbs": some(STRING),
                        "resources": some(_GROUP),
                    },
                )
            ),
        },
        {"omitStages": STAGES, "omitManagedFields": BOOLEAN},
    ),
    KUBECONFIG: closed(
        {
            "apiVersion": one_of("v1"),
            "kind": one_of("Config"),
            "clusters": some(
                closed(
                    {
                        "name": STRING,
                        "cluster": closed(
                            {
                                "server": {"type": "string", "pattern": "^https://"},
                                "certificate-authority": STRING,
                            }
                        ),
                    }
                )
            ),
            "users": some(
                closed(
                    {
                        "name": STRING,
                        "user": {
                            "oneOf": [
                                closed({"client-certificate": STRING, "client-key": STRING}),
                                closed({"tokenFile": STRING}),
                            ]
                        },
                    }
                )
            ),
            "contexts": some(
                closed({"name": STRING, "context": closed({"cluster": STRING, "user": STRING})})
            ),
            "current-context": STRING,
        }
    ),
    PROXY_DEFAULTS: resource(
        "consul.hashicorp.com/v1alpha1",
        "ProxyDefaults",
        closed(
            {
                "accessLogs": closed(
                    {
                        "enabled": BOOLEAN,
                        "disableListenerLogs": BOOLEAN,
                        "type": one_of("stdout", "stderr", "file"),
                        "jsonFormat": STRING,
                    },
                    {"path": STRING},
                )
            }
        ),
        closed({"name": one_of("global")}),
    ),
    ACCESS_LOG: resource("kuma.io/v1alpha1", "MeshAccessLog", {"oneOf": [_RULES, _TO]}, _OF_MESH),
    PROXY_PATCH: resource(
        "kuma.io/v1alpha1",
        "MeshProxyPatch",
        closed(
            {
                "targetRef": _MESH,
                "default": closed(
                    {
                        "appendModifications": some(
                            closed(
                                {
                                    "listener": closed(
                                        {
                                            "operation": one_of("Patch"),
                                            "match": closed({"origin": one_of("inbound")}),
                                            "value": STRING,
                                        }
                                    )
                                }
                            )
                        )
                    }
                ),
            }
        ),
        _OF_MESH,
    ),
    TRACE: resource(
        "kuma.io/v1alpha1",
        "MeshTrace",
        closed(
            {
                "targetRef": _MESH,
                "default": closed(
                    {
                        "backends": some(
                            closed(
                                {
                                    "type": one_of("OpenTelemetry"),
                                    "openTelemetry": closed({"backendRef": _BACKEND_REF}),
                                }
                            )
                        ),
                        "sampling": closed(
                            {"overall": INTEGER, "client": INTEGER, "random": INTEGER}
                        ),
                    }
                ),
            }
        ),
        _OF_MESH,
    ),
    OTLP_BACKEND: resource(
        "kuma.io/v1alpha1",
        "MeshOpenTelemetryBackend",
        closed(
            {
                "endpoint": closed({"address": STRING, "port": INTEGER}),
                "protocol": one_of("grpc"),
            }
        ),
        _OF_MESH,
    ),
    NETWORK_POLICY: resource(
        "cilium.io/v2",
        "CiliumNetworkPolicy",
        closed(
            {
                "endpointSelector": closed(),
                "enableDefaultDeny": closed({"ingress": BOOLEAN, "egress": BOOLEAN}),
                "ingress": some(
                    closed(
                        {
                            "toPorts": some(
                                closed({"ports": _PORTS, "rules": closed({"http": some(closed())})})
                            )
                        }
                    )
                ),
                "egress": some(
                    closed(
                        {
                            "toEndpoints": some(
                                closed(
                                    {
                                        "matchLabels": closed(
                                            {
                                                "k8s:io.kubernetes.pod.namespace": STRING,
                                                "k8s-app": STRING,
                                            }
                                        )
                                    }
                                )
                            ),
                            "toPorts": some(
                                closed(
                                    {
                                        "ports": _PORTS,
                                        "rules": closed(
                                            {"dns": some(closed({"matchPattern": STRING}))}
                                        ),
                                    }
                                )
                            ),
                        }
                    )
                ),
            }
        ),
        _NAMESPACED,
    ),
    CILIUM_VALUES: closed(
        {
            "hubble": closed(
                {
                    "enabled": ON,
                    "eventBufferCapacity": {"type": "string", "pattern": "^[0-9]+$"},
                    "networkPolicyCorrelation": _SWITCH,
                    "export": closed(
                        {
                            "static": closed(
                                {
                                    "enabled": ON,
                                    "filePath": STRING,
                                    "fieldMask": EMPTY,
                                    "fieldAggregate": EMPTY,
                                    "allowList": EMPTY,
                                    "denyList": EMPTY,
                                    "fileMaxSizeMb": INTEGER,
                                    "fileMaxBackups": INTEGER,
                                    "fileCompress": BOOLEAN,
                                }
                            )
                        }
                    ),
                }
            ),
            "bpf": closed(
                {
                    "events": closed({"drop": _SWITCH, "policyVerdict": _SWITCH, "trace": _SWITCH}),
                    "monitorAggregation": one_of("none", "low", "medium", "maximum"),
                }
            ),
        }
    ),
    LINKERD_VALUES: closed(
        {
            "proxy": closed(
                {
                    "accessLog": one_of("json", "apache"),
                    "logLevel": STRING,
                    "logFormat": one_of("json", "plain"),
                }
            )
        }
    ),
    ZTUNNEL_VALUES: closed(
        {
            "env": closed(
                {"LOG_FORMAT": one_of("json"), "AUTHZ_POLICY_INFO_LOGGING": one_of("true")}
            ),
            "logLevel": one_of("info"),
        }
    ),
}
