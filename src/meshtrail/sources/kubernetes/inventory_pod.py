"""A pod of meshtrail's own inventory file, docs/completeness.md: written by hand or by a script."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

from meshtrail.model.event import Kind
from meshtrail.sources.digests import find_digest, read_address
from meshtrail.sources.record_rows import RecordRow
from meshtrail.sources.timestamps import parse_any_time
from meshtrail.units import INT64_MAX

if TYPE_CHECKING:
    from meshtrail.sources.json_members import Members

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NANOSECONDS: Final = re.compile(r"[0-9]{16,19}")


def read_inventory_pod(said: Members) -> RecordRow:
    """A pod as the file writes it; its addresses may be networks."""
    digest = said.text("image_digest")
    columns = {
        "kind": Kind.WORKLOAD.value,
        "object_kind": "pods",
        "object_namespace": said.text("namespace"),
        "object_name": said.text("pod"),
        "object_created_time": _moment(said, "from"),
        "object_deleted_time": _moment(said, "to"),
        "pod_service_account": said.text("service_account"),
        "pod_ips": ",".join(_addresses(said)) or None,
        "image_digest": find_digest(digest),
    }
    if digest is not None and columns["image_digest"] is None:
        said.note("image_digest", what="is no digest")
    return RecordRow(columns, said.problems)


def _addresses(said: Members) -> list[str]:
    """Addresses as they are, networks with the length of their prefix."""
    found = []
    for text in said.texts("addresses"):
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            said.note("addresses", what="holds what is neither an address nor a network")
            continue
        found.append(read_address(text) or str(network))
    return found


def _moment(said: Members, name: str) -> int | None:
    """A moment as the file may write it: RFC 3339, a date, or nanoseconds since 1970."""
    text = said.text(name)
    if text is None:
        return None
    if _NANOSECONDS.fullmatch(text) and int(text) <= INT64_MAX:
        return int(text)
    moment_ns = parse_any_time(f"{text}T00:00:00Z" if _DATE.fullmatch(text) else text)
    if moment_ns is None:
        said.note(name, what="is no moment")
    return moment_ns
