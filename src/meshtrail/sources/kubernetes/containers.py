"""The containers of a pod: what was asked for, what runs, and which of them are the mesh's.

Source: Kubernetes API reference, v1 Container and ContainerStatus.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from meshtrail.sources.digests import find_digest
from meshtrail.sources.json_members import Members

PROXY_NAMES: Final = frozenset(
    {"istio-proxy", "linkerd-proxy", "consul-dataplane", "kuma-sidecar", "cilium-agent"}
)
"""Containers that a mesh puts into other people's pods.

Gap: the name is all there is to go by, and whoever writes the pod chooses it; ``detail`` has the
image of every container.
"""
_LISTS: Final = {
    "containers": ("containerStatuses", "workload"),
    "initContainers": ("initContainerStatuses", "init"),
    "ephemeralContainers": ("ephemeralContainerStatuses", "ephemeral"),
}
_STATES: Final = ("running", "terminated", "waiting")


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container.

    Attributes:
        role: workload, proxy (of the mesh), init or ephemeral.
        image: as the pod asks for it.
        image_id: as the runtime tells what it pulled.
        digest: of the image that runs, or that the pod asks for by digest.
        state: running, waiting or terminated.
        reason: why it waits or ended, e.g. OOMKilled; of the run before where it runs again.
    """

    name: str | None
    role: str
    image: str | None
    image_id: str | None
    digest: str | None
    state: str | None
    reason: str | None
    exit_code: int | None
    restarts: int | None
    started_ns: int | None
    finished_ns: int | None

    @property
    def is_workloads_own(self) -> bool:
        """Whether it is neither the mesh's nor there only to prepare or to look."""
        return self.role == "workload"

    def detail(self) -> dict[str, Any]:
        """What is said, for JSON."""
        said = {
            "name": self.name,
            "role": self.role,
            "image": self.image,
            "image_id": self.image_id,
            "digest": self.digest,
            "state": self.state,
            "reason": self.reason,
            "exit_code": self.exit_code,
            "restarts": self.restarts or None,
            "started_ns": self.started_ns,
            "finished_ns": self.finished_ns,
        }
        return {name: value for name, value in said.items() if value is not None}


def read_containers(pod: Members) -> tuple[Container, ...]:
    """All containers of a pod, in the order of its lists."""
    names = {one.text("name") for one in pod.objects("spec", "containers")}
    # The pods of a gateway, or of the mesh itself, hold its proxy alone: that is the workload.
    proxies = PROXY_NAMES if names - PROXY_NAMES else frozenset[str]()
    found = []
    for of_spec, (of_status, role) in _LISTS.items():
        statuses = {one.text("name"): one for one in pod.objects("status", of_status)}
        for asked in pod.objects("spec", of_spec):
            name = asked.text("name")
            is_proxy = role == "workload" and name in proxies
            status = statuses.get(name, Members(None, pod.problems))
            found.append(_read(asked, status, "proxy" if is_proxy else role))
    return tuple(found)


def _read(asked: Members, status: Members, role: str) -> Container:
    """One container, of what was asked for and what is told of it."""
    image, image_id = asked.text("image"), status.text("imageID")
    state = next((name for name in _STATES if status.has("state", name)), None)
    ended = status.inner("state", "terminated")
    last = status.inner("lastState", "terminated")
    return Container(
        name=asked.text("name"),
        role=role,
        image=image,
        image_id=image_id,
        digest=find_digest(image_id) or find_digest(image),
        state=state,
        reason=ended.text("reason")
        or status.text("state", "waiting", "reason")
        or last.text("reason"),
        exit_code=ended.integer("exitCode") if state == "terminated" else last.integer("exitCode"),
        restarts=status.integer("restartCount"),
        started_ns=status.moment("state", "running", "startedAt") or ended.moment("startedAt"),
        finished_ns=ended.moment("finishedAt"),
    )
