"""A pod as the Kubernetes API gives it: who runs there, as what, out of which image, since when.

The object comes from a watch, a list, or the body in an audit event, where most of it may be
missing: a pod that is asked for has no name yet, one that was not scheduled no node or address.

Source: Kubernetes API reference, v1 Pod.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from meshtrail.sources.delivery.repositories import read_repository
from meshtrail.sources.digests import read_address, read_commit
from meshtrail.sources.json_members import Members, compact_json
from meshtrail.sources.kubernetes.containers import Container, read_containers

_VERSION_LABELS: Final = (
    "app.kubernetes.io/version",
    "version",
    "service.istio.io/canonical-revision",
)
_COMMIT_KEYS: Final = (
    "meshtrail.io/commit",
    "org.opencontainers.image.revision",
    "app.kubernetes.io/commit",
    "app.kubernetes.io/revision",
)
_REPOSITORY_KEYS: Final = (
    "meshtrail.io/repository",
    "org.opencontainers.image.source",
    "app.openshift.io/vcs-uri",
)
_TEMPLATE_HASHES: Final = {
    "pod-template-hash": "Deployment",
    "rollouts-pod-template-hash": "Rollout",
}
_OF_CRON_JOB: Final = re.compile(r"(.+)-[0-9]{8,10}", re.DOTALL)
_LABELS_CHARACTERS_MAX: Final = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFacts:
    """What a pod object says; None or empty where it does not.

    Attributes:
        workload: what it is a replica of: the Deployment of its ReplicaSet, or its owner.
        workload_kind: Deployment, StatefulSet, DaemonSet, …
        labels: sorted by key.
        images: of the containers that are the workload's own, in their order.
        digests: of what those run, in the same order, each once; what the object asks for by
            digest where nothing runs yet.
        containers: all, with those that came with the mesh.
        ips: addresses in one spelling; those of the node where it is on the host's network.
        created_ns: when the object was made.
        started_ns: when the kubelet took it on.
        finished_ns: when its last container ended, if all have.
        deleted_ns: when it was to be gone, told since its deletion was asked for.
        commit_id: what an annotation or label claims that it was built from.
        problems: members that could not be read.
    """

    namespace: str | None
    name: str | None
    uid: str | None
    resource_version: str | None
    service_account: str | None
    node: str | None
    labels: dict[str, str]
    workload: str | None
    workload_kind: str | None
    version: str | None
    images: tuple[str, ...]
    digests: tuple[str, ...]
    containers: tuple[Container, ...]
    ips: tuple[str, ...]
    node_ips: tuple[str, ...]
    is_on_host_network: bool
    phase: str | None
    created_ns: int | None
    started_ns: int | None
    finished_ns: int | None
    deleted_ns: int | None
    commit_id: str | None
    repository_url: str | None
    problems: tuple[str, ...]

    def columns(self) -> dict[str, Any]:
        """The event columns that it fills, but for ``kind``, ``operation`` and ``detail``."""
        return {
            "object_kind": "pods",
            "object_namespace": self.namespace,
            "object_name": self.name,
            "object_uid": self.uid,
            "object_version": self.resource_version,
            "object_created_time": self.created_ns,
            "object_deleted_time": self.deleted_ns,
            "pod_workload": self.workload,
            "pod_service_account": self.service_account,
            "pod_node": self.node,
            "pod_ips": ",".join(self.ips) or None,
            "pod_phase": self.phase,
            "pod_version": self.version,
            "pod_labels": compact_json(self.labels) if self.labels else None,
            "image": ",".join(self.images) or None,
            "image_digest": ",".join(self.digests) or None,
            "commit_id": self.commit_id,
            "repository_url": self.repository_url,
        }

    def detail(self) -> dict[str, Any]:
        """What has no column, as JSON; only what was said."""
        said = {
            "workload_kind": self.workload_kind,
            "host_network": self.is_on_host_network or None,
            "node_ips": list(self.node_ips),
            "started_ns": self.started_ns,
            "finished_ns": self.finished_ns,
            "containers": [one.detail() for one in self.containers],
        }
        return {name: value for name, value in said.items() if value not in (None, [])}


def read_pod(said: object) -> PodFacts:
    """The facts in a v1 Pod, whatever of it is there.

    Args:
        said: a parsed JSON value; ``sources.json_members.read_object`` gives one that is bounded.
    """
    pod = Members(said)
    labels = _bounded(pod.pairs("metadata", "labels"))
    annotations = pod.pairs("metadata", "annotations")
    owner = _read_owner(pod, labels)
    containers = read_containers(pod)
    own = [one for one in containers if one.is_workloads_own]
    return PodFacts(
        namespace=pod.text("metadata", "namespace"),
        name=pod.text("metadata", "name"),
        uid=pod.text("metadata", "uid"),
        resource_version=pod.text("metadata", "resourceVersion"),
        service_account=pod.text("spec", "serviceAccountName")
        or pod.text("spec", "serviceAccount"),
        node=pod.text("spec", "nodeName"),
        labels=labels,
        workload=owner.workload,
        workload_kind=owner.kind,
        version=read_version(labels),
        images=tuple(one.image for one in own if one.image is not None),
        digests=tuple(dict.fromkeys(one.digest for one in own if one.digest is not None)),
        containers=containers,
        ips=_read_ips(pod, "podIP", "podIPs"),
        node_ips=_read_ips(pod, "hostIP", "hostIPs"),
        is_on_host_network=pod.is_true("spec", "hostNetwork"),
        phase=pod.text("status", "phase"),
        created_ns=pod.moment("metadata", "creationTimestamp"),
        started_ns=pod.moment("status", "startTime"),
        finished_ns=_finished_ns(containers),
        deleted_ns=pod.moment("metadata", "deletionTimestamp"),
        commit_id=read_commit_label(annotations, labels),
        repository_url=read_repository(read_repository_label(annotations, labels)),
        problems=tuple(pod.problems),
    )


def read_commit_label(*pairs: dict[str, str]) -> str | None:
    """The first whole commit id under a key that is known to hold one."""
    found = (read_commit(one.get(key)) for one in pairs for key in _COMMIT_KEYS)
    return next((commit for commit in found if commit is not None), None)


def read_repository_label(*pairs: dict[str, str]) -> str | None:
    """The first repository under a key that is known to name one."""
    found = (_first(one, _REPOSITORY_KEYS) for one in pairs)
    return next((url for url in found if url is not None), None)


def read_version(labels: dict[str, str]) -> str | None:
    """What labels say of the version of a workload."""
    return _first(labels, _VERSION_LABELS)


class _Owner(NamedTuple):
    workload: str | None = None
    kind: str | None = None


def _read_owner(pod: Members, labels: dict[str, str]) -> _Owner:
    """What a pod is a replica of, by how Kubernetes names ReplicaSets and the Jobs of CronJobs."""
    owners = pod.objects("metadata", "ownerReferences")
    owners.sort(key=lambda owner: not owner.is_true("controller"))
    for owner in owners[:1]:
        kind, name = owner.text("kind"), owner.text("name")
        if name is None or kind == "Node":
            # A pod that a kubelet reads from a file of its own is owned by its node.
            return _Owner()
        if kind == "ReplicaSet":
            for key, of_kind in _TEMPLATE_HASHES.items():
                ending = f"-{labels.get(key, '')}"
                if len(ending) > 1 and name.endswith(ending) and name != ending:
                    return _Owner(name.removesuffix(ending), of_kind)
        if kind == "Job" and (match := _OF_CRON_JOB.fullmatch(name)):
            return _Owner(match[1], "CronJob")
        return _Owner(name, kind)
    return _Owner()


def _read_ips(pod: Members, one: str, many: str) -> tuple[str, ...]:
    said = [pod.text("status", one), *(entry.text("ip") for entry in pod.objects("status", many))]
    read = [(text, read_address(text)) for text in said if text is not None]
    if any(address is None for _, address in read):
        pod.note("status", one, what="is no address")
    return tuple(dict.fromkeys(address for _, address in read if address is not None))


def _finished_ns(containers: tuple[Container, ...]) -> int | None:
    """When the last one ended; None while one may run."""
    ends = [one.finished_ns for one in containers if one.role in {"workload", "proxy"}]
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) else None


def _bounded(labels: dict[str, str]) -> dict[str, str]:
    """As many labels as a column should hold."""
    kept, characters = {}, 0
    for key, value in labels.items():
        characters += len(key) + len(value)
        if characters <= _LABELS_CHARACTERS_MAX:
            kept[key] = value
    return kept


def _first(pairs: dict[str, str], keys: tuple[str, ...]) -> str | None:
    return next((pairs[key] for key in keys if pairs.get(key)), None)
