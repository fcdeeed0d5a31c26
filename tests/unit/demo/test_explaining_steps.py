from __future__ import annotations

from typing import Any

from meshtrail.demo.control_plane import GUARDING, INTERN, LEAD, MISTAKEN
from meshtrail.demo.explaining_steps import step_explained, step_mistake
from meshtrail.demo.workloads import RECOMMENDATIONS
from tests.unit.demo.fake_shell import STORY, FakeShell, make_tour, shell_of

CONTROL = STORY.control_plane
DENIED = {"log_index": 7, "policy_name": GUARDING.name, "src_service_account": "recommendations"}


def explained(name: str, actor: str, commit: str, **end: Any) -> dict[str, Any]:
    def clue(commit_id: str) -> dict[str, Any]:
        return {"commit_id": commit_id, "commit": {"log_index": 1}}

    caller = {"side": "src", "commits": [clue(CONTROL.built.id)], **end}
    changed = {"object_name": name, "actor": actor, "security": ["widened"]}
    governing = {"object": {"name": name}, "in_force": changed, "commits": [clue(commit)]}
    return {"ends": [caller], "governing": [governing]}


def shell(told: dict[str, Any], found: dict[str, Any]) -> FakeShell:
    unread = [{"source": one, "unread": 0} for one in ("git-log", "inventory", "kubernetes-audit")]
    return shell_of({"--sql": unread, "meshtrail search '": [found], "meshtrail explain": [told]})


def test_a_refused_request_leads_to_image_commit_and_operator() -> None:
    digest = CONTROL.digest(RECOMMENDATIONS)
    told = explained(
        GUARDING.name, LEAD, CONTROL.guarding.id, workload="recommendations", image_digest=digest
    )
    tour, _ = make_tour(shell(told, DENIED))
    step_explained(tour, STORY)
    assert (tour.claims_count, tour.failures_count) == (3, 0)


def test_a_claim_fails_when_somebody_else_changed_the_policy() -> None:
    tour, _ = make_tour(shell(explained(GUARDING.name, INTERN, "other"), DENIED))
    step_explained(tour, STORY)
    assert tour.failures_count == 2


def test_what_went_through_leads_to_the_mistake() -> None:
    conflict = "service_account is checkout by the event, recommendations by the inventory; x"
    told = explained(MISTAKEN.name, INTERN, CONTROL.mistaken.id, inventory_conflict=conflict)
    tour, _ = make_tour(shell(told, DENIED))
    step_mistake(tour, STORY)
    assert (tour.claims_count, tour.failures_count) == (2, 0)
    tour, _ = make_tour(shell({}, DENIED))
    step_mistake(tour, STORY)
    assert tour.failures_count == 2
