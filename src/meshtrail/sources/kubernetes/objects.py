"""Records of an inventory: what there is in a cluster, as lists, watches and files tell it.

A record is an object of the Kubernetes API, a watch event around one, a pod of meshtrail's own
inventory file, or what describes an image. Which it is, it says itself.
"""

from __future__ import annotations

from typing import Final

from meshtrail.errors import InputError
from meshtrail.model.event import Kind
from meshtrail.sources.delivery.images import read_image
from meshtrail.sources.json_members import Members, read_object
from meshtrail.sources.kubernetes.infrastructure import read_infrastructure
from meshtrail.sources.kubernetes.inventory_pod import read_inventory_pod
from meshtrail.sources.kubernetes.metadata import said_json
from meshtrail.sources.kubernetes.pods import read_pod
from meshtrail.sources.kubernetes.revisions import read_delivery
from meshtrail.sources.record_rows import RecordRow

UNKNOWN: Final = "neither an object of the Kubernetes API nor anything else of an inventory"
UNCUT: Final = "a list that was not cut into its objects"
BOOKMARK: Final = "a bookmark of a watch, which says nothing of any object"
REFUSED: Final = "an error that a watch ended with"
_WATCHED: Final = frozenset({"ADDED", "MODIFIED", "DELETED"})
_GONE: Final = "deleted"


def read_inventory(record: bytes) -> RecordRow:
    """One record of an inventory as an event.

    Raises:
        InputError: it is none; says why in one of few messages.
    """
    said = Members(read_object(record))
    watched = said.value("type")
    if said.has("object") and isinstance(watched, str):
        if watched not in _WATCHED:
            reasons = {"BOOKMARK": BOOKMARK, "ERROR": REFUSED}
            raise InputError(reasons.get(watched, UNKNOWN))
        return _read_object(said.value("object"), operation=watched.lower())
    if said.has("kind") and said.has("apiVersion"):
        return _read_object(said.value(), operation=None)
    if said.has("pod") and said.has("namespace"):
        return read_inventory_pod(said)
    if said.has("metadata") and said.has("spec", "containers"):
        # The API leaves out of the objects of a list what the list says of all of them.
        return _read_pod(said.value(), operation=None)
    if said.has("pods"):
        raise InputError(UNCUT)
    row_of_image = read_image(said, record)
    if row_of_image is None:
        raise InputError(UNKNOWN)
    return row_of_image


def _read_object(value: object, *, operation: str | None) -> RecordRow:
    said = Members(value)
    kind = said.text("kind")
    if kind is None or not said.has("apiVersion"):
        raise InputError(UNKNOWN)
    if kind.endswith("List") and said.has("items"):
        raise InputError(UNCUT)
    if kind == "Pod" and said.text("apiVersion") == "v1":
        return _read_pod(value, operation=operation)
    row = read_delivery(said) or read_infrastructure(said)
    if operation is not None:
        row.columns["operation"] = operation
    return row


def _read_pod(value: object, *, operation: str | None) -> RecordRow:
    facts = read_pod(value)
    columns = {
        "kind": Kind.WORKLOAD.value,
        **facts.columns(),
        "operation": operation,
        "detail": said_json(facts.detail()),
    }
    if operation == _GONE and facts.finished_ns is not None:
        # It ended then; when it was to be gone at the latest is no longer of interest.
        columns["object_deleted_time"] = facts.finished_ns
    return RecordRow(columns, list(facts.problems))
