"""Who had an address, row by row and dict by dict: slow, and plainly as docs/inventory.md says."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]

FOREVER = 2**63 - 1
ATTRIBUTES = {
    "cluster": "reporter_cluster",
    "namespace": "object_namespace",
    "pod": "object_name",
    "uid": "object_uid",
    "workload": "pod_workload",
    "service_account": "pod_service_account",
    "node": "pod_node",
    "version": "pod_version",
    "image": "image",
    "image_digest": "image_digest",
    "commit_id": "commit_id",
}


@dataclass(eq=False)
class Tenure:
    """A pod at an address; ``pieces`` are of (from, to, what is known, beside it)."""

    pod: object
    begun: int
    begin: int
    seen: int
    sure: int
    end: int
    ended_by: str
    is_host: bool
    pieces: list[tuple[int, int, Row, object]] = field(default_factory=list)

    def add(self, from_ns: int, to_ns: int, known: Row, beside: object) -> None:
        """Add a piece, or make the last one longer where nothing changed."""
        if self.pieces:
            begun, _, before, last = self.pieces[-1]
            if last == beside and all(before[name] == known[name] for name in ATTRIBUTES):
                self.pieces[-1] = begun, to_ns, before, last
                return
        self.pieces.append((from_ns, to_ns, known, beside))


def naive_lifetimes(events: list[Row]) -> list[Row]:
    """The rows of ``pod_lifetimes``, in no order."""
    facts = [shifted(row) for row in events if is_fact(row)]
    pods: dict[object, list[Row]] = {}
    for fact in facts:
        pods.setdefault(pod_of(fact, facts), []).append(fact)
    held: dict[tuple[object, str], list[Tenure]] = {}
    for pod, said in pods.items():
        said.sort(key=lambda fact: (fact["at"], version_of(fact), fact["log_index"]))
        for place, tenures in tenures_of(pod, said).items():
            held.setdefault(place, []).extend(tenures)
    rows = []
    for (_, address), tenures in held.items():
        settle(tenures)
        for tenure in tenures:
            rows += rows_of(tenure, address)
    return rows


def is_fact(row: Row) -> bool:
    return (
        row["kind"] == "workload"
        and (row["object_uid"] is not None or row["object_name"] is not None)
        and (row["http_response_status_code"] or 0) < 300
        and row["audit_stage"] in {None, "ResponseComplete"}
        and '"dry_run":true' not in (row["detail"] or "")
    )


def shifted(row: Row) -> Row:
    """With its times on the collector's clock."""
    offset = row["time_offset"] or 0

    def moved(name: str) -> int | None:
        return None if row[name] is None else row[name] - offset

    at = row["received_time"] if row["time"] is None else moved("time")
    return {
        **row,
        "at": at,
        "created": moved("object_created_time"),
        "planned": moved("object_deleted_time"),
    }


def version_of(fact: Row) -> int:
    text = fact["object_version"] or ""
    return int(text) if text.isdigit() else 0


def name_of(fact: Row) -> tuple[object, ...]:
    return fact["reporter_cluster"], fact["object_namespace"], fact["object_name"]


def pod_of(fact: Row, facts: list[Row]) -> object:
    """The UID; without one, that of the last pod of this name that had begun."""
    if fact["object_uid"] is not None:
        return "uid", fact["object_uid"]
    begun: dict[str, tuple[int, int]] = {}
    for other in facts:
        if other["object_uid"] is not None and name_of(other) == name_of(fact):
            created, seen = begun.get(other["object_uid"], (FOREVER, FOREVER))
            if other["created"] is not None:
                created = min(created, other["created"])
            begun[other["object_uid"]] = created, min(seen, other["at"])
    earlier = [
        (created if created != FOREVER else seen, uid)
        for uid, (created, seen) in begun.items()
        if (created if created != FOREVER else seen) <= fact["at"]
    ]
    return ("uid", max(earlier)[1]) if earlier else ("name", name_of(fact))


def addresses_said(fact: Row) -> tuple[str, ...] | None:
    if fact["pod_ips"] is None:
        return () if fact["pod_phase"] == "Pending" else None
    return tuple(dict.fromkeys(one.strip() for one in fact["pod_ips"].split(",") if one.strip()))


def known_at(said: list[Row], at: int, name: str) -> tuple[Any, int | None]:
    """What is known at a fact, and which entry says so."""
    values = [addresses_said(fact) if name == "pod_ips" else fact[name] for fact in said]
    for place in [*range(at, -1, -1), *range(at, len(said))]:
        if values[place] is not None:
            return values[place], said[place]["log_index"]
    return None, None


def over(said: list[Row]) -> tuple[int, int | None, str]:
    """When a pod was over, until when it was there if somebody saw that it was not, and why."""

    def is_deletion(fact: Row) -> bool:
        return fact["operation"] == "delete" and fact["object_subresource"] is None

    def is_gone(fact: Row) -> bool:
        by_kubelet = (fact["actor"] or "").startswith("system:node:")
        return fact["operation"] == "DELETED" or (is_deletion(fact) and by_kubelet)

    def told(fact: Row) -> int:
        planned = fact["planned"]
        return int(fact["at"] if planned is None else min(fact["at"], planned))

    gone = min((fact["at"] for fact in said if is_gone(fact)), default=FOREVER)

    def finished(fact: Row) -> int:
        detail = json.loads(fact["detail"] or "{}")
        return min(told(fact), int(detail.get("finished_ns", FOREVER)))

    phase = min(
        (finished(fact) for fact in said if fact["pod_phase"] in {"Succeeded", "Failed"}),
        default=FOREVER,
    )
    asked = [fact["at"] for fact in said if is_deletion(fact)]
    asked += [fact["planned"] for fact in said if fact["planned"] is not None]
    alive = [
        fact["at"]
        for fact in said
        if fact["pod_phase"] in {"Pending", "Running", "Unknown"}
        and not is_gone(fact)
        and not is_deletion(fact)
        and fact["planned"] is None
    ]
    deleted = gone if gone != FOREVER else max([*asked, *alive]) if asked else FOREVER
    end = min(phase, deleted)
    why = "phase" if phase <= deleted and phase != FOREVER else "deletion"
    if gone == FOREVER and why == "deletion":
        return end, None, why
    return end, min([phase, *(told(fact) for fact in said if is_gone(fact))]), why


def tenures_of(pod: object, said: list[Row]) -> dict[tuple[object, str], list[Tenure]]:
    created = min((fact["created"] for fact in said if fact["created"] is not None), default=None)
    begun = said[0]["at"] if created is None else created
    end, sure, why = over(said)
    found: dict[tuple[object, str], list[Tenure]] = {}
    open_now: dict[tuple[object, str], Tenure] = {}
    for at, fact in enumerate(said):
        cluster = known_at(said, at, "reporter_cluster")[0]
        addresses, entry = known_at(said, at, "pod_ips")
        places = [(cluster, address) for address in addresses or ()]
        for place in [place for place in open_now if place not in places]:
            tenure = open_now.pop(place)
            if fact["at"] < end:
                tenure.end, tenure.ended_by, tenure.sure = fact["at"], "address", fact["at"]
        for place in places:
            if place not in open_now:
                begin = begun
                if at:
                    otherwise = known_at(said, at - 1, "pod_ips")[1]
                    before = next(one["at"] for one in said if one["log_index"] == otherwise)
                    begin = max(begun, before)
                seen = next(one["at"] for one in said[at:] if addresses_said(one) is not None)
                tenure = Tenure(pod, begun, begin, max(seen, begin), 0, end, why, is_host=False)
                open_now[place] = tenure
                found.setdefault(place, []).append(tenure)
            tenure = open_now[place]
            tenure.is_host = any('"host_network":true' in (one["detail"] or "") for one in said)
            tenure.sure = min(fact["at"] + 1 if sure is None else sure, end)
            known = {name: known_at(said, at, of)[0] for name, of in ATTRIBUTES.items()}
            image = known_at(said, at, "image_digest")[1]
            known["image_index"] = known_at(said, at, "image")[1] if image is None else image
            known["log_index"] = entry
            next_ns = said[at + 1]["at"] if at + 1 < len(said) else FOREVER
            tenure.add(fact["at"], next_ns, known, addresses)
    return found


def settle(tenures: list[Tenure]) -> None:
    """Holders of one address against each other."""
    for tenure in tenures:
        tenure.seen = max(min(tenure.seen, tenure.end), tenure.begin)
    pairs = [(a, b) for a in tenures for b in tenures if a is not b]
    is_shared = any(a.is_host for a in tenures) or any(
        a.seen <= b.seen < min(a.sure, b.sure) for a, b in pairs
    )
    if is_shared:
        return
    order = sorted(tenures, key=lambda one: (one.seen, one.begun))
    for at, tenure in enumerate(order):
        later = [one.seen for one in order[at + 1 :] if one.begun > tenure.begun]
        if later and later[0] < tenure.end and tenure.sure < tenure.end:
            tenure.end, tenure.ended_by = later[0], "reuse"
    for tenure in order:
        held = max((one.end for one in order if one.seen < tenure.seen), default=0)
        tenure.begin = max(tenure.begin, min(held, tenure.seen))


def rows_of(tenure: Tenure, address: str) -> list[Row]:
    """What is known piece by piece, equal neighbours joined."""
    rows: list[Row] = []
    for at, (from_ns, to_ns, known, _) in enumerate(tenure.pieces):
        begin = tenure.begin if at == 0 else max(from_ns, tenure.begin)
        end = min(to_ns if at + 1 < len(tenure.pieces) else FOREVER, tenure.end)
        why = tenure.ended_by if end == tenure.end else "change"
        row = {**known, "ip": address, "from_ns": begin, "to_ns": end, "ended_by": why}
        if begin < end:
            rows.append(row)
    return rows


def holders(rows: list[Row], address: str, at: int) -> list[Row]:
    """The rows that hold."""
    return [row for row in rows if row["ip"] == address and row["from_ns"] <= at < row["to_ns"]]
