"""Nodes, scaling, services, and what a cluster says happened: the context of everything else.

Source: Kubernetes API reference: v1 Node, Event and Service, apps/v1, autoscaling/v2, events/v1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from meshtrail.model.event import Kind, Trust
from meshtrail.sources.delivery.repositories import read_repository
from meshtrail.sources.kubernetes.containers import PROXY_NAMES
from meshtrail.sources.kubernetes.metadata import (
    group_of,
    object_columns,
    plural_of,
    said_json,
)
from meshtrail.sources.kubernetes.pods import read_commit_label, read_repository_label, read_version
from meshtrail.sources.record_rows import RecordRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshtrail.sources.json_members import Members

_EVENT_TIMES: Final = (
    ("series", "lastObservedTime"),
    ("lastTimestamp",),
    ("deprecatedLastTimestamp",),
    ("eventTime",),
    ("firstTimestamp",),
    ("deprecatedFirstTimestamp",),
)


def read_infrastructure(said: Members) -> RecordRow:
    """Any object of the API that is neither a pod nor a delivery."""
    kind = said.text("kind") or ""
    if kind == "Event":
        return _read_event(said)
    columns = object_columns(said)
    labels = said.pairs("metadata", "labels")
    annotations = said.pairs("metadata", "annotations")
    template = said.inner("spec", "template")
    template_labels = template.pairs("metadata", "labels")
    told = _DETAILS[kind](said) if kind in _DETAILS else {}
    columns |= {
        "kind": Kind.INFRASTRUCTURE.value,
        "pod_service_account": template.text("spec", "serviceAccountName"),
        "pod_version": read_version(template_labels) or read_version(labels),
        "image": ",".join(_images(template)) or None,
        "commit_id": read_commit_label(
            annotations, labels, template.pairs("metadata", "annotations"), template_labels
        ),
        "repository_url": read_repository(read_repository_label(annotations, labels)),
        "detail": said_json(told),
    }
    return RecordRow(columns, said.problems)


def _read_event(said: Members) -> RecordRow:
    """What happened to another object, told by one of the cluster's components."""
    about = said.inner("regarding" if said.has("regarding") else "involvedObject")
    component = said.text("reportingController") or said.text("reportingComponent")
    component = component or said.text("source", "component")
    times = (said.moment(*path) for path in _EVENT_TIMES)
    count = said.integer("series", "count") or said.integer("count")
    columns = {
        "kind": Kind.INFRASTRUCTURE.value,
        "time": next((time_ns for time_ns in times if time_ns is not None), None),
        "actor": component,
        "actor_trust": Trust.REPORTED.value if component is not None else None,
        "object_kind": plural_of(about.text("kind")),
        "object_group": group_of(about.text("apiVersion")),
        "object_namespace": about.text("namespace"),
        "object_name": about.text("name"),
        "object_uid": about.text("uid"),
        "object_version": about.text("resourceVersion"),
        "pod_node": said.text("source", "host"),
        "detail": said_json(
            {
                "event": said.text("metadata", "name"),
                "reason": said.text("reason"),
                "type": said.text("type"),
                "action": said.text("action"),
                "message": said.text("message") or said.text("note"),
                "field": about.text("fieldPath"),
                "instance": said.text("reportingInstance"),
                "count": count or said.integer("deprecatedCount"),
                "first_ns": said.moment("firstTimestamp"),
            }
        ),
    }
    return RecordRow(columns, said.problems)


def _node(said: Members) -> dict[str, Any]:
    conditions = {
        name: one.text("status")
        for one in said.objects("status", "conditions")
        if (name := one.text("type")) is not None
    }
    return {
        "addresses": [
            address
            for one in said.objects("status", "addresses")
            if (address := one.text("address"))
        ],
        "pod_cidrs": said.texts("spec", "podCIDRs"),
        "conditions": conditions,
        "unschedulable": said.is_true("spec", "unschedulable") or None,
        "provider_id": said.text("spec", "providerID"),
        "kubelet": said.text("status", "nodeInfo", "kubeletVersion"),
        "runtime": said.text("status", "nodeInfo", "containerRuntimeVersion"),
        "boot_id": said.text("status", "nodeInfo", "bootID"),
    }


def _scaled(said: Members) -> dict[str, Any]:
    owners = said.objects("metadata", "ownerReferences")
    wanted = ("replicas", "readyReplicas", "updatedReplicas", "availableReplicas")
    of_daemons = ("desiredNumberScheduled", "numberReady", "updatedNumberScheduled")
    status = {name: said.integer("status", name) for name in (*wanted, *of_daemons)}
    return {
        "replicas": said.integer("spec", "replicas"),
        "status": {name: count for name, count in status.items() if count is not None},
        "generation": said.integer("metadata", "generation"),
        "observed_generation": said.integer("status", "observedGeneration"),
        "revision": said.text("metadata", "annotations", "deployment.kubernetes.io/revision"),
        "owner": next((one.text("name") for one in owners), None),
    }


def _autoscaler(said: Members) -> dict[str, Any]:
    return {
        "target": said.text("spec", "scaleTargetRef", "name"),
        "target_kind": said.text("spec", "scaleTargetRef", "kind"),
        "replicas_min": said.integer("spec", "minReplicas"),
        "replicas_max": said.integer("spec", "maxReplicas"),
        "replicas": said.integer("status", "currentReplicas"),
        "replicas_wanted": said.integer("status", "desiredReplicas"),
        "scaled_ns": said.moment("status", "lastScaleTime"),
    }


def _service(said: Members) -> dict[str, Any]:
    addresses = said.texts("spec", "clusterIPs")
    return {
        "type": said.text("spec", "type"),
        "addresses": addresses or [one for one in [said.text("spec", "clusterIP")] if one],
        "external_addresses": said.texts("spec", "externalIPs"),
        "external_name": said.text("spec", "externalName"),
        "selector": said.pairs("spec", "selector"),
        "ports": [
            {"port": one.integer("port"), "protocol": one.text("protocol")}
            for one in said.objects("spec", "ports")
        ],
    }


def _images(template: Members) -> list[str]:
    """What the containers of a template are to run, the mesh's proxy left out."""
    return [
        image
        for one in template.objects("spec", "containers")
        if (image := one.text("image")) and one.text("name") not in PROXY_NAMES
    ]


_DETAILS: Final[dict[str, Callable[[Members], dict[str, Any]]]] = {
    "Node": _node,
    "Deployment": _scaled,
    "ReplicaSet": _scaled,
    "StatefulSet": _scaled,
    "DaemonSet": _scaled,
    "HorizontalPodAutoscaler": _autoscaler,
    "Service": _service,
}
