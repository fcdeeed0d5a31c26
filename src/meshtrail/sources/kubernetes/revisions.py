"""Which revision a tool delivered into a cluster: objects of Argo CD and of Flux.

Source: Argo CD v2 and v3 Application (argoproj.io/v1alpha1); Flux v2 Kustomization, HelmRelease,
GitRepository and OCIRepository (toolkit.fluxcd.io).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from meshtrail.model.event import Kind, Trust
from meshtrail.sources.delivery.images import REVISION, SOURCE
from meshtrail.sources.delivery.repositories import Revision, read_repository, read_revision
from meshtrail.sources.digests import find_digest
from meshtrail.sources.kubernetes.metadata import group_of, object_columns, said_json
from meshtrail.sources.record_rows import RecordRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshtrail.sources.json_members import Members

_IMAGES_COUNT_MAX: Final = 64
_GIT: Final = "GitRepository"


def read_delivery(said: Members) -> RecordRow | None:
    """An object that tells what was delivered, as a deployment; None for any other object."""
    group, kind = group_of(said.text("apiVersion")) or "", said.text("kind") or ""
    if group == "argoproj.io" and kind == "Application":
        told = _read_application(said)
    elif group.endswith(".toolkit.fluxcd.io") and kind in _OF_FLUX:
        told = _OF_FLUX[kind](said)
    else:
        return None
    detail = told.pop("detail")
    columns = {
        "kind": Kind.DEPLOYMENT.value,
        **object_columns(said),
        **told,
        "detail": said_json(detail),
    }
    return RecordRow(columns, said.problems)


def _read_application(said: Members) -> dict[str, Any]:
    """What Argo CD last brought into the cluster."""
    operation = said.inner("status", "operationState")
    sync = said.inner("status", "sync")
    synced = operation.inner("syncResult")
    # What was compared with is not there yet where the last operation failed.
    delivered = synced if operation.text("phase") == "Succeeded" else sync
    revisions = [delivered.text("revision"), *delivered.texts("revisions")]
    revision = next((one for one in map(read_revision, revisions) if one.commit_id), Revision())
    sources = [said.inner("spec", "source"), *said.objects("spec", "sources")]
    urls = [read_repository(one.text("repoURL")) for one in sources]
    actor = operation.text("operation", "initiatedBy", "username")
    return {
        "time": operation.moment("finishedAt") or operation.moment("startedAt"),
        "actor": actor,
        "actor_trust": Trust.REPORTED.value if actor is not None else None,
        "operation": operation.text("phase"),
        "commit_id": revision.commit_id,
        "commit_ref": next((ref for one in sources if (ref := one.text("targetRevision"))), None),
        "repository_url": next((url for url in urls if url is not None), None),
        "image": ",".join(said.texts("status", "summary", "images")[:_IMAGES_COUNT_MAX]) or None,
        "detail": {
            "revisions": [one for one in revisions if one is not None],
            "repositories": [url for url in urls if url is not None],
            "paths": [path for one in sources if (path := one.text("path"))],
            "compared_revision": sync.text("revision"),
            "sync": sync.text("status"),
            "health": said.text("status", "health", "status"),
            "automated": operation.is_true("operation", "initiatedBy", "automated") or None,
            "message": operation.text("message"),
            "destination": said.pairs("spec", "destination"),
            "project": said.text("spec", "project"),
        },
    }


def _read_applied(said: Members) -> dict[str, Any]:
    """What a Kustomization or HelmRelease last applied."""
    applied = said.text("status", "lastAppliedRevision")
    history = said.objects("status", "history")[:1]
    chart = said.inner("spec", "chart", "spec")
    source = said.pairs("spec", "chartRef") or said.pairs("spec", "sourceRef")
    source = source or chart.pairs("sourceRef")
    # Of a source that is no repository, the revision is a digest that looks like a commit.
    origin = said.text("status", "lastAppliedOriginRevision")
    is_git = source.get("kind", _GIT) == _GIT
    revision = read_revision(origin or (applied if is_git else None))
    return {
        "commit_id": revision.commit_id,
        "commit_ref": revision.ref,
        "detail": {
            "revision": applied or next((one.text("chartVersion") for one in history), None),
            "attempted_revision": said.text("status", "lastAttemptedRevision"),
            "origin_revision": origin,
            "source": source,
            "path": said.text("spec", "path"),
            "chart": chart.text("chart"),
            "oci_digest": next((one.text("ociDigest") for one in history), None),
            **_ready(said),
        },
        "time": _ready_ns(said),
    }


def _read_fetched(said: Members) -> dict[str, Any]:
    """What a GitRepository or OCIRepository last fetched."""
    artifact = said.inner("status", "artifact")
    metadata = artifact.pairs("metadata")
    told = artifact.text("revision")
    revision = read_revision(metadata.get(REVISION) or told)
    url = said.text("spec", "url")
    branch = said.text("spec", "ref", "branch") or said.text("spec", "ref", "tag")
    is_git = said.text("kind") == _GIT
    return {
        "commit_id": revision.commit_id if is_git or REVISION in metadata else None,
        "commit_ref": revision.ref or branch,
        "repository_url": read_repository(url if is_git else metadata.get(SOURCE)),
        "image_digest": None if is_git else find_digest(told),
        "detail": {"revision": told, "url": None if is_git else url, **_ready(said)},
        "time": artifact.moment("lastUpdateTime"),
    }


_OF_FLUX: Final[dict[str, Callable[[Members], dict[str, Any]]]] = {
    "Kustomization": _read_applied,
    "HelmRelease": _read_applied,
    _GIT: _read_fetched,
    "OCIRepository": _read_fetched,
}


def _condition(said: Members) -> Members | None:
    conditions = said.objects("status", "conditions")
    return next((one for one in conditions if one.text("type") == "Ready"), None)


def _ready(said: Members) -> dict[str, Any]:
    ready = _condition(said)
    if ready is None:
        return {}
    return {
        "ready": ready.text("status"),
        "reason": ready.text("reason"),
        "message": ready.text("message"),
    }


def _ready_ns(said: Members) -> int | None:
    ready = _condition(said)
    return ready.moment("lastTransitionTime") if ready is not None else None
