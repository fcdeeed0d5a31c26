"""The ConfigMaps and Secrets that meshes and clusters are governed by, known by their names.

Most others are an application's own. Names are taken in any namespace: a mesh can be installed in
one of any name, and a change too many is better than one that nobody saw.
"""

from __future__ import annotations

import re
from typing import Final

_NAME_CHARS_MAX: Final = 253
"""No object has a longer name; one that was refused may have asked for any."""

_CONFIG_MAPS: Final = re.compile(
    r"istio(?:-[a-z0-9-]+)?|linkerd-config(?:-overrides)?"
    r"|cilium-config|kuma-(?:control-plane|injector)-config|consul-[a-z0-9-]*config[a-z0-9-]*"
    r"|coredns|kube-proxy|aws-auth|argocd-cm|argocd-rbac-cm"
)
"""Of Istio's the mesh configuration (``istio``, ``istio-<revision>``) and what it injects; DNS and
who is let in (``aws-auth``, Argo CD's RBAC), govern a mesh as well."""

_TRUSTED_MAPS: Final = frozenset(
    {"istio-ca-root-cert", "linkerd-identity-trust-roots", "kube-root-ca.crt", "spire-bundle"}
    | {"extension-apiserver-authentication", "cilium-root-ca.crt"}
)
_TRUSTED_SECRETS: Final = re.compile(
    r"cacerts|istio-ca-secret|istio-remote-secret-.*|linkerd-identity-issuer|linkerd-trust-anchor"
    r"|linkerd-identity-trust-roots|cilium-ca|hubble-ca-secret|clustermesh-apiserver-.*"
    r"|consul(?:-[a-z0-9-]+)?-ca-(?:cert|key)|kuma-tls-cert|.*-ca-builtin-(?:cert|key)-.*"
)
_COPIED_MAPS: Final = frozenset({"istio-ca-root-cert", "kube-root-ca.crt", "cilium-root-ca.crt"})


def is_mesh_config(resource: str, name: str) -> bool:
    """Whether an object holds configuration of a mesh, or of what a mesh rests on."""
    return resource == "configmaps" and _matches(_CONFIG_MAPS, name)


def is_trust_root(resource: str, name: str) -> bool:
    """Whether an object holds whom a mesh trusts: its roots, or the key that signs for it."""
    if resource == "configmaps":
        return name in _TRUSTED_MAPS
    return resource == "secrets" and _matches(_TRUSTED_SECRETS, name)


def is_copied(name: str) -> bool:
    """Whether a controller puts this ConfigMap into each new namespace, which changes no trust."""
    return name in _COPIED_MAPS


def _matches(pattern: re.Pattern[str], name: str) -> bool:
    return len(name) <= _NAME_CHARS_MAX and pattern.fullmatch(name) is not None
