"""What a call says that has no column of its own, as JSON of bounded length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from meshtrail.model.event import Kind
from meshtrail.sources.claims import cut_text, fit_metadata
from meshtrail.sources.json_members import compact_json
from meshtrail.sources.kubernetes.audit_object import REMOVING, govern, read_origin
from meshtrail.sources.kubernetes.canonical_json import encode_canonical
from meshtrail.sources.kubernetes.json_parts import part_of
from meshtrail.sources.kubernetes.pods import read_pod

if TYPE_CHECKING:
    from meshtrail.sources.json_members import Members
    from meshtrail.sources.kubernetes.audit_object import ShownObject
    from meshtrail.sources.kubernetes.json_parts import Json

OBJECT_BYTES_MAX: Final = 16 << 10
"""A longer object is told by its length alone: the entry has it."""

_FAILED: Final = 400
_COMMANDS_COUNT_MAX: Final = 64
_SHOWN_KINDS: Final = frozenset({Kind.CONFIG_CHANGE, Kind.INFRASTRUCTURE})
_IN_COLUMNS: Final = frozenset({"authorization.k8s.io/decision", "authorization.k8s.io/reason"})
_SESSION_KINDS: Final = frozenset({Kind.EXEC, Kind.ATTACH, Kind.PORT_FORWARD})
_SESSION_FIELDS: Final = ("command", "cmd", "container", "ports", "port", "tty", "stdin")


def build_detail(
    event: Members,
    *,
    kind: Kind,
    resource: str,
    verb: str,
    shown: ShownObject,
    query: dict[str, list[str]],
) -> str | None:
    """The JSON of the column ``detail``; None where there is nothing to say.

    Args:
        event: the audit event.
        kind: of the event's row.
        resource: plural, lower case.
        verb: of the call.
        shown: what the record shows of the object.
        query: of the request, by field.
    """
    said: dict[str, Any] = {
        "actor": fit_metadata(_about_user(part_of(event.value("user")))),
        "impersonated": fit_metadata(_about_user(part_of(event.value("impersonatedUser")))),
        "impersonation": event.text("authenticationMetadata", "impersonationConstraint"),
        "failure": _failure(event),
        "dry_run": is_dry_run(event, query) or None,
        "annotations": fit_metadata(
            (name, value)
            for name, value in event.pairs("annotations").items()
            if name not in _IN_COLUMNS
        ),
    }
    if kind in _SESSION_KINDS:
        said |= {
            name: [cut_text(value) for value in query[name][:_COMMANDS_COUNT_MAX]]
            for name in _SESSION_FIELDS
            if name in query
        }
    if kind is Kind.TOKEN_REQUEST:
        said["token"] = fit_metadata(part_of(event.value("requestObject"), "spec").items())
    said |= _about_object(kind=kind, resource=resource, verb=verb, shown=shown)
    stated = {name: value for name, value in said.items() if value is not None}
    return compact_json(stated) if stated else None


def is_dry_run(event: Members, query: dict[str, list[str]]) -> bool:
    """Whether the call, or the options of a ``delete``, say that nothing is to be done."""
    options = event.value("requestObject")
    is_options = isinstance(options, dict) and options.get("kind") == "DeleteOptions"
    return bool(query.get("dryRun")) or (is_options and bool(options.get("dryRun")))


def _about_user(user: Json) -> list[tuple[str, Any]]:
    """What of a user has no column; of whom the actor took the place of, all but the name."""
    return [(name, user[name]) for name in ("uid", "extra") if user.get(name)]


def _failure(event: Members) -> dict[str, str] | None:
    code = event.value("responseStatus", "code")
    if not isinstance(code, int) or code < _FAILED:
        return None
    texts = {name: event.text("responseStatus", name) for name in ("reason", "message")}
    return {name: cut_text(text) for name, text in texts.items() if text is not None} or None


def _about_object(*, kind: Kind, resource: str, verb: str, shown: ShownObject) -> dict[str, Any]:
    """How the object came there, and what it asks for."""
    value = shown.whole if shown.whole is not None else shown.patch
    if value is None or kind is Kind.API_CALL:
        return {}
    said: dict[str, Any] = {"origin": read_origin(value) or None}
    if kind is Kind.WORKLOAD and shown.whole is not None:
        said |= read_pod(shown.whole).detail()
    if kind in _SHOWN_KINDS:
        name = "object_before" if verb in REMOVING else "object"
        name = name if shown.whole is not None else "patch"
        said |= _bounded(name, _without_secrets(value, resource))
    return said


def _without_secrets(value: Json, resource: str) -> Json:
    """The governing part; of a Secret the names of what it holds."""
    governing = govern(value, resource=resource)
    if resource != "secrets":
        return governing
    held = {**part_of(value, "data"), **part_of(value, "stringData")}
    return {"type": value.get("type"), "keys": sorted(held)}


def _bounded(name: str, value: Json) -> dict[str, Any]:
    size = len(encode_canonical(value))
    return {name: value} if size <= OBJECT_BYTES_MAX else {f"{name}_bytes": size}
