"""Images of containers: which digest was built from which commit, as its labels say.

Read are what ``skopeo inspect`` and ``docker image inspect`` print, and the manifests, indexes and
configurations of images themselves. Who builds an image writes its labels: they are claims.

Source: OCI image specification 1.1, annotations, manifest, index and config.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from meshtrail.model.event import Kind
from meshtrail.sources.delivery.repositories import read_repository, read_revision
from meshtrail.sources.digests import find_digest
from meshtrail.sources.json_members import compact_json
from meshtrail.sources.record_rows import RecordRow

if TYPE_CHECKING:
    from meshtrail.sources.json_members import Members

REVISION: Final = "org.opencontainers.image.revision"
SOURCE: Final = "org.opencontainers.image.source"
_TOLD: Final = {
    "version": "org.opencontainers.image.version",
    "title": "org.opencontainers.image.title",
    "base_digest": "org.opencontainers.image.base.digest",
    "base_name": "org.opencontainers.image.base.name",
}
_ATTESTATION: Final = "vnd.docker.reference.type"


def read_image(said: Members, record: bytes) -> RecordRow | None:
    """What describes an image, as a deployment; None for anything else.

    Args:
        said: the object.
        record: its bytes, whose hash is the digest of a manifest, index or configuration.
    """
    form = _form_of(said)
    if form is None:
        return None
    labels = {**said.pairs("config", "Labels"), **said.pairs("annotations")}
    labels |= said.pairs("Labels") | said.pairs("Config", "Labels")
    revision = read_revision(labels.get(REVISION))
    detail: dict[str, Any] = {"form": form, "revision": labels.get(REVISION)}
    detail |= {name: labels[key] for name, key in _TOLD.items() if key in labels}
    columns = {
        "kind": Kind.DEPLOYMENT.value,
        "object_kind": "images",
        "object_name": said.text("Name"),
        "object_created_time": said.moment("Created") or said.moment("created"),
        "image": ",".join(_names(said)) or None,
        "image_digest": ",".join(_digests(said, form, record)) or None,
        "commit_id": revision.commit_id,
        "commit_ref": revision.ref,
        "repository_url": read_repository(labels.get(SOURCE)),
        "detail": compact_json({key: value for key, value in detail.items() if value is not None}),
    }
    return RecordRow(columns, said.problems)


def _form_of(said: Members) -> str | None:
    """Which description it is."""
    if said.has("schemaVersion"):
        return "index" if said.has("manifests") else "manifest" if said.has("config") else None
    if said.has("rootfs") and said.has("config"):
        return "config"
    if said.has("Digest") and (said.has("Layers") or said.has("Name")):
        return "skopeo"
    return "docker" if said.has("Id") and said.has("RepoDigests") else None


def _names(said: Members) -> list[str]:
    """What the image is called."""
    names = [*said.texts("RepoTags"), *said.texts("RepoDigests")] if said.has("Id") else []
    return [name] if (name := said.text("Name")) else names


def _digests(said: Members, form: str, record: bytes) -> list[str]:
    """Every digest that a runtime may give for what it runs, each once."""
    if form == "skopeo":
        found = [find_digest(said.text("Digest"))]
    elif form == "docker":
        found = [find_digest(one) for one in [*said.texts("RepoDigests"), said.text("Id")]]
    else:
        found = ["sha256:" + hashlib.sha256(record).hexdigest()]
        found.append(find_digest(said.text("config", "digest")) if form == "manifest" else None)
        found += [
            find_digest(one.text("digest"))
            for one in (said.objects("manifests") if form == "index" else [])
            # What Docker puts beside the images of an index to tell how they were built.
            if not one.has("annotations", _ATTESTATION)
        ]
    return list(dict.fromkeys(digest for digest in found if digest is not None))
