"""The object that a call of the API is about, as far as the audit log shows it.

What the API server answered is what it kept; what was asked for may have been changed on its way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from meshtrail.sources.digests import read_commit
from meshtrail.sources.kubernetes.audit_kinds import is_below
from meshtrail.sources.kubernetes.json_parts import part_of, text_of

if TYPE_CHECKING:
    from meshtrail.sources.kubernetes.json_parts import Json

REMOVING: Final = frozenset({"delete", "deletecollection"})
_NO_OBJECTS: Final = frozenset({"Status", "DeleteOptions", "Table", "PartialObjectMetadata"})
_WHOLE_SUBRESOURCES: Final = frozenset(
    {"", "status", "approval", "finalize", "ephemeralcontainers", "resize"}
)
"""A call of these shows the object itself, and not one that stands for the part."""

_ABOUT: Final = frozenset({"apiVersion", "kind", "metadata", "status"})
_GOVERNING_DOMAINS: Final = (
    *("istio.io", "linkerd.io", "cilium.io", "kuma.io", "consul.hashicorp.com"),
    *("gateway.networking.k8s.io", "pod-security.kubernetes.io", "rbac.authorization.k8s.io"),
)
"""Whose labels and annotations govern, on whatever they stand."""

_COMMIT_KEYS: Final = (
    *("meshtrail.io/commit", "org.opencontainers.image.revision"),
    "app.kubernetes.io/version",
)
_ORIGIN_KEYS: Final = (
    *_COMMIT_KEYS,
    "argocd.argoproj.io/tracking-id",
    "argocd.argoproj.io/instance",
    "kustomize.toolkit.fluxcd.io/name",
    "kustomize.toolkit.fluxcd.io/namespace",
    "helm.toolkit.fluxcd.io/name",
    "helm.toolkit.fluxcd.io/namespace",
    "meta.helm.sh/release-name",
    "meta.helm.sh/release-namespace",
    "app.kubernetes.io/managed-by",
)
_ORIGIN_CHARS_MAX: Final = 512


class ShownObject(NamedTuple):
    """What a record shows of an object.

    Attributes:
        whole: the object after the call, or of ``delete`` the last of it; None where it is not
            shown.
        patch: what was asked to be changed, where that is all that is shown.
        answered: the object in the answer: what the server kept.
    """

    whole: Json | None = None
    patch: Json | None = None
    answered: Json | None = None


def find_object(request: object, answer: object, *, verb: str, subresource: str) -> ShownObject:
    """The object in request and answer of a call.

    Args:
        request: the member ``requestObject``.
        answer: the member ``responseObject``.
        verb: of the call.
        subresource: empty for the object itself.
    """
    if subresource not in _WHOLE_SUBRESOURCES:
        return ShownObject()
    answered = _object(answer)
    if answered is not None:
        return ShownObject(whole=answered, answered=answered)
    if verb == "patch":
        return ShownObject(patch=_as_merge(request))
    asked = _object(request) if verb not in REMOVING else None
    return ShownObject(whole=asked)


def _object(value: object) -> Json | None:
    """An object of the API; lists and what stands in the place of an object are none."""
    if not isinstance(value, dict) or not isinstance(value.get("metadata"), dict):
        return None
    kind = value.get("kind")
    is_other = isinstance(kind, str) and (kind in _NO_OBJECTS or kind.endswith("List"))
    return None if is_other else value


def _as_merge(patch: object) -> Json | None:
    """A patch as the object that it sets, as far as that can be told: of a JSON Patch its paths."""
    if isinstance(patch, dict):
        return patch
    if not isinstance(patch, list):
        return None
    merged: Json = {}
    for step in patch[:_STEPS_MAX]:
        path = text_of(step, "path")
        if path is not None and path.startswith("/") and part_of(step).get("op") != "test":
            _set(merged, path, part_of(step).get("value"))
    return merged


_STEPS_MAX: Final = 1000
_PATH_DEPTH_MAX: Final = 20


def _set(merged: Json, path: str, value: object) -> None:
    """Set what a JSON Pointer names. Below a list the list itself counts as set, to what is new."""
    *way, last = (
        key.replace("~1", "/").replace("~0", "~") for key in path[1:].split("/", _PATH_DEPTH_MAX)
    )
    place = merged
    for at, key in enumerate(way):
        following = way[at + 1] if at + 1 < len(way) else last
        if following == "-" or following.isdecimal():
            found = place.setdefault(key, [])
            if isinstance(found, list):
                found.append(value)
            return
        inner = place.setdefault(key, {})
        if not isinstance(inner, dict):
            return
        place = inner
    place[last] = value


def govern(value: Json, *, resource: str) -> Json:
    """The governing part of an object: all that was asked for, nothing of what became of it.

    Args:
        value: the object.
        resource: plural, lower case.

    Returns:
        Everything but ``apiVersion``, ``kind``, ``metadata`` and ``status``; of ``metadata`` the
        labels and annotations that govern meshes, and all labels of a namespace, by which policies
        choose.
    """
    metadata: Json = {}
    for name in ("labels", "annotations"):
        stated = part_of(value, "metadata", name)
        is_all = name == "labels" and resource == "namespaces"
        kept = {
            key: text
            for key, text in stated.items()
            if is_all or is_below(key.partition("/")[0], _GOVERNING_DOMAINS)
        }
        if kept:
            metadata[name] = kept
    governing = {name: member for name, member in value.items() if name not in _ABOUT}
    return {**governing, "metadata": metadata} if metadata else governing


def read_origin(value: Json | None) -> dict[str, str]:
    """What an object's annotations and labels say of how it came there; anyone can write them."""
    metadata = part_of(value, "metadata")
    stated = {**part_of(metadata, "labels"), **part_of(metadata, "annotations")}
    return {
        key: text[:_ORIGIN_CHARS_MAX]
        for key in _ORIGIN_KEYS
        if isinstance(text := stated.get(key), str) and text
    }


def find_commit(origin: dict[str, str]) -> str | None:
    """The commit that an object names as its own."""
    commits = (read_commit(origin.get(key)) for key in _COMMIT_KEYS)
    return next((commit for commit in commits if commit is not None), None)
