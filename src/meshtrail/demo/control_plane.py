"""What a cluster, a registry and two repositories would have to say of the demo's mesh.

There is no Kubernetes here: Envoys are real, these files are made, as an API server, ``kubectl``,
``skopeo`` and ``git log`` write them. They tell of times before the demo began.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from meshtrail.demo.git_history import Commit, format_git_log
from meshtrail.demo.workloads import CUSTOMERS, NAMESPACE, PAYMENTS, RECOMMENDATIONS, WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from meshtrail.demo.workloads import Policy, Rule, Workload

Json = dict[str, Any]

CLUSTER: Final = "demo"
AUDIT_FILE: Final = "audit.log"
INVENTORY_FILE: Final = "inventory.jsonl"
HISTORY_FILE: Final = "history.git-log"

GITOPS: Final = "system:serviceaccount:argocd:argocd-application-controller"
LEAD: Final = "dora@shop.example"
INTERN: Final = "ivo@shop.example"
MISTAKEN: Final = CUSTOMERS.policies[0]
"""The policy whose last change let the export through."""
GUARDING: Final = PAYMENTS.policies[0]
"""The policy that refuses /admin."""

_CONFIG: Final = "https://git.shop.example/shop/mesh-config"
_CODE: Final = "https://git.shop.example/shop/recommendations"
_REGISTRY: Final = "registry.shop.example"
_BEFORE: Final = {MISTAKEN.name: "/customers/1*", GUARDING.name: "/admin/audit*"}
"""The paths of policies that are changed later, before that."""
_HOUR_S: Final = 3_600
_DAY_S: Final = 24 * _HOUR_S
_NANOS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """What the files tell.

    Attributes:
        began_s: when the demo began, in seconds since 1970.
        ips: the address of each workload, by its name.
    """

    began_s: int
    ips: Mapping[str, str]

    @property
    def founding(self) -> Commit:
        """The commit with every policy."""
        paths = tuple(("A", f"policies/{policy.name}.yaml") for _, policy in _policies())
        return Commit(
            author=f"Dora Lead <{LEAD}>",
            at_s=self.began_s - 30 * _DAY_S,
            subject="Policies of the shop",
            changes=paths,
        )

    @property
    def guarding(self) -> Commit:
        """The commit that has payments refuse /admin."""
        return Commit(
            author=f"Dora Lead <{LEAD}>",
            at_s=self.began_s - 9 * _DAY_S,
            subject="Nobody has any business under /admin of payments",
            changes=(("M", f"policies/{GUARDING.name}.yaml"),),
            parent=self.founding.id,
        )

    @property
    def mistaken(self) -> Commit:
        """The commit that lets more of customers be read than was meant."""
        return Commit(
            author=f"Ivo Intern <{INTERN}>",
            at_s=self.began_s - 2 * _DAY_S,
            subject="Customers from 2000 on can be read, too",
            changes=(("M", f"policies/{MISTAKEN.name}.yaml"),),
            parent=self.guarding.id,
        )

    @property
    def built(self) -> Commit:
        """The commit that the image of recommendations was built from."""
        return Commit(
            author="Ada Author <ada@shop.example>",
            at_s=self.began_s - 5 * _DAY_S,
            subject="Recommend what friends have bought",
            changes=(("M", "recommendations/friends.py"),),
        )

    def digest(self, workload: Workload) -> str:
        """Of the image that a workload runs."""
        return "sha256:" + hashlib.sha256(f"{workload.name}:1.4".encode()).hexdigest()

    def write(self, directory: Path) -> None:
        """Write the three files."""
        history = [self.mistaken, self.built, self.guarding, self.founding]
        (directory / HISTORY_FILE).write_bytes(format_git_log(history))
        _write_lines(directory / AUDIT_FILE, self._audited())
        _write_lines(directory / INVENTORY_FILE, [*self._pods(), self._image()])

    def _audited(self) -> Iterator[Json]:
        """Every policy is brought in; two are changed later, one by hand."""
        for workload, policy in _policies():
            spec = _spec(workload, policy, path=_BEFORE.get(policy.name, ""))
            yield self._change("create", policy, spec, self.founding, GITOPS)
        spec = _spec(PAYMENTS, GUARDING)
        yield self._change("update", GUARDING, spec, self.guarding, LEAD)
        spec = _spec(CUSTOMERS, MISTAKEN)
        yield self._change("update", MISTAKEN, spec, self.mistaken, INTERN)

    def _change(self, verb: str, policy: Policy, spec: Json, commit: Commit, actor: str) -> Json:
        """An audit event, a minute after the commit."""
        at = _time(commit.at_s + 60)
        shown = {
            "apiVersion": "security.istio.io/v1",
            "kind": "AuthorizationPolicy",
            "metadata": {
                "name": policy.name,
                "namespace": NAMESPACE,
                "annotations": {"meshtrail.io/commit": commit.id},
            },
            "spec": spec,
        }
        path = f"/apis/security.istio.io/v1/namespaces/{NAMESPACE}/authorizationpolicies"
        is_tool = actor == GITOPS
        return {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": "RequestResponse",
            "auditID": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{policy.name} {verb} {at}")),
            "stage": "ResponseComplete",
            "requestURI": path if verb == "create" else f"{path}/{policy.name}",
            "verb": verb,
            "user": {"username": actor, "groups": ["system:authenticated"]},
            "sourceIPs": ["10.40.0.7" if is_tool else "203.0.113.20"],
            "userAgent": "argocd-application-controller/v3.1" if is_tool else "kubectl/v1.34.1",
            "objectRef": {
                "apiGroup": "security.istio.io",
                "apiVersion": "v1",
                "resource": "authorizationpolicies",
                "namespace": NAMESPACE,
                "name": policy.name,
            },
            "responseStatus": {"metadata": {}, "code": 201 if verb == "create" else 200},
            "requestObject": shown,
            "responseObject": shown,
            "requestReceivedTimestamp": at,
            "stageTimestamp": at,
            "annotations": {"authorization.k8s.io/decision": "allow"},
        }

    def _pods(self) -> Iterator[Json]:
        """What ``kubectl get pods`` shows, each an hour old."""
        at = _time(self.began_s - _HOUR_S)
        for workload in WORKLOADS:
            image = f"{_REGISTRY}/{workload.name}"
            running = {"name": "app", "image": f"{image}:1.4"}
            imaged = {"imageID": f"{image}@{self.digest(workload)}", "state": {"running": {}}}
            yield {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": f"{workload.name}-6d5f7c9b84-x{workload.host}",
                    "namespace": NAMESPACE,
                    "uid": str(uuid.uuid5(uuid.NAMESPACE_URL, workload.name)),
                    "creationTimestamp": at,
                    "labels": {"version": "1.4", "pod-template-hash": "6d5f7c9b84"},
                    "ownerReferences": [
                        {
                            "kind": "ReplicaSet",
                            "name": f"{workload.name}-6d5f7c9b84",
                            "controller": True,
                        }
                    ],
                },
                "spec": {
                    "serviceAccountName": workload.name,
                    "nodeName": f"node-{1 + workload.host % 3}",
                    "containers": [running],
                },
                "status": {
                    "phase": "Running",
                    "podIP": self.ips[workload.name],
                    "startTime": at,
                    "containerStatuses": [{**running, **imaged}],
                },
            }

    def _image(self) -> Json:
        """What ``skopeo inspect`` shows of the image of recommendations."""
        return {
            "Name": f"{_REGISTRY}/{RECOMMENDATIONS.name}",
            "Digest": self.digest(RECOMMENDATIONS),
            "Created": _time(self.built.at_s + 600),
            "Labels": {
                "org.opencontainers.image.revision": self.built.id,
                "org.opencontainers.image.source": _CODE,
            },
            "Layers": [],
        }


def _policies() -> list[tuple[Workload, Policy]]:
    return [(workload, policy) for workload in WORKLOADS for policy in workload.policies]


def _spec(workload: Workload, policy: Policy, *, path: str = "") -> Json:
    """An AuthorizationPolicy's specification; ``path`` stands in for the paths of its rules."""
    return {
        "selector": {"matchLabels": {"app": workload.name}},
        "action": policy.action,
        "rules": [_rule(rule, path) for rule in policy.rules],
    }


def _rule(rule: Rule, path: str) -> Json:
    operation = {
        "methods": [rule.method] if rule.method else [],
        "paths": [path or f"{rule.path_prefix}*"] if rule.path_prefix else [],
    }
    principals = [f"cluster.local/ns/{NAMESPACE}/sa/{caller}" for caller in rule.callers]
    asked = {name: values for name, values in operation.items() if values}
    return {
        **({"from": [{"source": {"principals": principals}}]} if principals else {}),
        **({"to": [{"operation": asked}]} if asked else {}),
    }


def _time(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat().replace("+00:00", "Z")


def _write_lines(path: Path, objects: Iterator[Json] | list[Json]) -> None:
    path.write_text("".join(json.dumps(one) + "\n" for one in objects), encoding="utf-8")
