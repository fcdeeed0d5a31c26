"""The part of the tour that leads from a request to those who answer for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from meshtrail.demo.breach import CULPRIT, STOLEN_FROM
from meshtrail.demo.control_plane import (
    AUDIT_FILE,
    CLUSTER,
    GUARDING,
    HISTORY_FILE,
    INTERN,
    INVENTORY_FILE,
    LEAD,
    MISTAKEN,
)
from meshtrail.demo.finding_steps import DENIED, stolen_requests
from meshtrail.demo.workloads import EXPORT_PATH, RECOMMENDATIONS

if TYPE_CHECKING:
    from meshtrail.demo.story import Story
    from meshtrail.demo.tour import Row, Tour

_FILES: Final = {
    "kubernetes-audit": AUDIT_FILE,
    "inventory": INVENTORY_FILE,
    "git-log": HISTORY_FILE,
}
_READ: Final = """\
meshtrail search --sql "SELECT source, count(decode_error) AS unread FROM events
  WHERE source IN ('git-log', 'inventory', 'kubernetes-audit') GROUP BY ALL ORDER BY ALL\""""


def step_explained(tour: Tour, story: Story) -> None:
    """What stands behind the request that was denied."""
    tour.step(
        "Who answers for it?",
        "A cluster knows what ran where and who changed what; a repository knows why. What they "
        "know is put into the same log: here from files, which this demo made as an API server, "
        "kubectl, skopeo and git write them.",
    )
    for name, file in _FILES.items():
        tour.show(f"meshtrail import {name} --cluster {CLUSTER} {file}")
    tour.say(f"And this is what stands behind the try of {CULPRIT.name} at refunds.")
    told = _explain(tour, _denied_index(tour))
    control = story.control_plane
    caller = _end(told, "src")
    tour.begin_claims()
    tour.claim(
        "every record of the three files is an event that could be read",
        want=[(name, 0) for name in sorted(_FILES)],
        got=[(row["source"], row["unread"]) for row in tour.ask(_READ)],
    )
    tour.claim(
        "the caller's address leads to its pod, that to its image, and that to the commit it was "
        "built from",
        want=(CULPRIT.name, control.digest(RECOMMENDATIONS), control.built.id),
        got=(caller.get("workload"), caller.get("image_digest"), _commit(caller)),
    )
    governing = _governing(told)
    tour.claim(
        f"the policy in force, {GUARDING.name}, leads to who last changed it, and to that commit",
        want=(GUARDING.name, LEAD, control.guarding.id),
        got=(
            governing["object"].get("name"),
            (governing["in_force"] or {}).get("actor"),
            _commit(governing),
        ),
    )


def step_mistake(tour: Tour, story: Story) -> None:
    """What stands behind the export that went through."""
    tour.step(
        "And for what went through?",
        f"{EXPORT_PATH} was given to a certificate of {STOLEN_FROM.name}. Who had its address, and "
        "which policy let it through?",
    )
    query = f'{stolen_requests(story)} AND path:"{EXPORT_PATH}" AND decision:allowed'
    rows = tour.ask(f"meshtrail search '{query}'")
    told = _explain(tour, int(rows[0]["log_index"]) if rows else 0)
    caller = _end(told, "src")
    governing = _governing(told)
    changed = governing.get("in_force") or {}
    tour.begin_claims()
    tour.claim(
        f"the address is that of {CULPRIT.name}, whatever the certificate says",
        want=f"service_account is {STOLEN_FROM.name} by the event, {CULPRIT.name} by the inventory",
        got=str(caller.get("inventory_conflict")).partition(";")[0],
    )
    tour.claim(
        f"{MISTAKEN.name} let it through: {INTERN} had widened it two days before",
        want=(MISTAKEN.name, INTERN, ["widened"], story.control_plane.mistaken.id),
        got=(
            changed.get("object_name"),
            changed.get("actor"),
            changed.get("security"),
            _commit(governing),
        ),
    )


def _denied_index(tour: Tour) -> int:
    """The request that the guarding policy refused."""
    rows = tour.recall(f"meshtrail search '{DENIED}'")
    refused = [row for row in rows if row.get("policy_name") == GUARDING.name]
    return min((int(row["log_index"]) for row in refused), default=0)


def _explain(tour: Tour, index: int) -> Row:
    rows = tour.show_and_ask(f"meshtrail explain {index}")
    return rows[0] if rows else {}


def _end(told: Row, side: str) -> Row:
    ends: list[Row] = told.get("ends", [])
    return next((end for end in ends if end["side"] == side), {})


def _governing(told: Row) -> Row:
    """The first object that governed the event."""
    found: list[Row] = told.get("governing", [])
    return found[0] if found else {"object": {}, "in_force": {}}


def _commit(told: dict[str, Any]) -> str | None:
    """The commit that is told, if its own entry is there."""
    clues = [clue for clue in told.get("commits", []) if clue["commit"] is not None]
    return clues[0]["commit_id"] if clues else None
