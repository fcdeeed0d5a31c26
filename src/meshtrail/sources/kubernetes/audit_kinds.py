"""What a call of the API is about: a closed table of resources and what is done to them.

Whether a call had an effect is not asked here: who tried to change a policy and was refused is
found where changes of policies are.
"""

from __future__ import annotations

import re
from typing import Final

from meshtrail.model.audited_resources import (
    GOVERNING_CORE,
    GOVERNING_GROUPS,
    GOVERNING_PARTS,
    INFRASTRUCTURE_CORE,
    INFRASTRUCTURE_GROUPS,
    POD_PARTS,
    READS,
    REPORTING,
    SESSIONS,
    WRITES,
)
from meshtrail.model.event import Kind
from meshtrail.sources.kubernetes.mesh_names import is_mesh_config, is_trust_root

_KUBELET: Final = re.compile(r"/api/v1/nodes/[^/]+/proxy/(exec|run|attach|portForward)\b")
"""A call of a node's kubelet through the API server, which does what the pod's own would."""
_KUBELET_KINDS: Final = {
    "exec": Kind.EXEC,
    "run": Kind.EXEC,
    "attach": Kind.ATTACH,
    "portForward": Kind.PORT_FORWARD,
}


def kind_of(
    *,
    group: str,
    resource: str,
    subresource: str = "",
    name: str = "",
    verb: str,
    path: str | None = None,
) -> Kind:
    """The kind of the event of a call.

    Args:
        group: API group, empty for the core group.
        resource: plural, lower case; empty for paths that are no resource.
        subresource: empty for the object itself.
        name: of the object.
        verb: as the API server calls it.
        path: of the request.
    """
    session = SESSIONS.get((resource, subresource)) if not group else None
    if session is not None:
        return Kind(session)
    if resource == "nodes" and subresource == "proxy" and path is not None:
        call = _KUBELET.match(path)
        if call is not None:
            return _KUBELET_KINDS[call[1]]
    if verb in READS or not resource:
        return Kind.API_CALL
    if not group:
        return _kind_of_core(resource, subresource, name)
    return _kind_of_group(group, resource, subresource)


def is_below(group: str, groups: tuple[str, ...]) -> bool:
    """Whether an API group is one of some, or below one: security.istio.io is below istio.io."""
    return group in groups or group.endswith(tuple(f".{name}" for name in groups))


def _kind_of_core(resource: str, subresource: str, name: str) -> Kind:
    written = WRITES.get((resource, subresource))
    if written is not None:
        return Kind(written)
    if resource == "pods" and subresource in POD_PARTS:
        return Kind.WORKLOAD
    governs = resource in GOVERNING_CORE or is_mesh_config(resource, name)
    if (governs or is_trust_root(resource, name)) and subresource in GOVERNING_PARTS:
        return Kind.CONFIG_CHANGE
    return Kind.INFRASTRUCTURE if resource in INFRASTRUCTURE_CORE else Kind.API_CALL


def _kind_of_group(group: str, resource: str, subresource: str) -> Kind:
    if is_below(group, GOVERNING_GROUPS):
        if resource in REPORTING:
            return Kind.INFRASTRUCTURE
        return Kind.CONFIG_CHANGE if subresource in GOVERNING_PARTS else Kind.API_CALL
    return Kind.INFRASTRUCTURE if group in INFRASTRUCTURE_GROUPS else Kind.API_CALL
