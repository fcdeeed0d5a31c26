"""What every object of the Kubernetes API says of itself, as event columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from meshtrail.sources.json_members import compact_json

if TYPE_CHECKING:
    from meshtrail.sources.json_members import Members

_VOWELS: Final = frozenset("aeiou")
_HISSING: Final = ("s", "x", "z", "ch", "sh")


def object_columns(said: Members) -> dict[str, Any]:
    """The columns of an object's own identity and lifetime."""
    return {
        "object_kind": plural_of(said.text("kind")),
        "object_group": group_of(said.text("apiVersion")),
        "object_namespace": said.text("metadata", "namespace"),
        "object_name": said.text("metadata", "name"),
        "object_uid": said.text("metadata", "uid"),
        "object_version": said.text("metadata", "resourceVersion"),
        "object_created_time": said.moment("metadata", "creationTimestamp"),
        "object_deleted_time": said.moment("metadata", "deletionTimestamp"),
    }


def plural_of(kind: str | None) -> str | None:
    """The resource of a kind, as URLs of the API have it: NetworkPolicy, networkpolicies.

    Kinds do not say it themselves. This is the rule that their authors follow, and code generators.
    """
    if kind is None:
        return None
    name = kind.lower()
    if name.endswith("endpoints"):
        return name
    if name.endswith("y") and name[-2:-1] not in _VOWELS:
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith(_HISSING) else f"{name}s"


def group_of(api_version: str | None) -> str | None:
    """The group in ``group/version``; None for the core group, which has no name."""
    group, slash, _ = (api_version or "").partition("/")
    return group if slash and group else None


def said_json(detail: dict[str, Any]) -> str | None:
    """Detail as JSON, of what was said; None where nothing was."""
    said = {name: value for name, value in detail.items() if value not in (None, [], {}, "")}
    return compact_json(said) if said else None
