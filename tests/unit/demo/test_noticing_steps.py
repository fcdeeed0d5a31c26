"""What the ledger noticed: each step holds for what happened, and fails for anything else."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.demo import noticing_steps as steps
from tests.unit.demo.fake_shell import STORY, FakeShell, Row, make_tour, shell_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshtrail.demo.story import Story
    from meshtrail.demo.tour import Tour

    Step = Callable[[Tour, Story], None]

SPIFFE = "spiffe://cluster.local/ns/shop/sa"
TOLD, GAPS = "kind:gap OR kind:finding", "search 'kind:gap'"
COMPLETENESS, BOTH, SHARED = "meshtrail completeness", "AS told_by", "'cause:key_shared'"


def gap(cause: str, missing_min: int) -> Row:
    return {"kind": "gap", "cause": cause, "missing_min": missing_min}


def use(**changed: str) -> Row:
    detail = {
        "about": f"{SPIFFE}/checkout",
        "address": STORY.culprit_ip,
        "certificate_sha256": STORY.stolen_sha256,
    }
    return {"detail": json.dumps({**detail, **changed})}


FOUND = [gap("not_written", 2), gap("connection_reset", 6), gap("not_written", 15)]
FINDING: Row = {"kind": "finding", "cause": "key_shared"}
REPORTERS = [
    {"spiffe_id": f"{SPIFFE}/customers", "missing": [{"cause": "not_written"}]},
    {"spiffe_id": f"{SPIFFE}/checkout", "missing": []},
]
CASES: dict[str, tuple[Step, dict[str, list[Row]]]] = {
    "missing": (
        steps.step_missing,
        {
            TOLD: [*FOUND, FINDING],
            GAPS: FOUND,
            COMPLETENESS: [{"reporters": REPORTERS}],
            BOTH: [{"told_by": "destination", "calls": 38}, {"told_by": "source", "calls": 50}],
        },
    ),
    "noticed": (
        steps.step_noticed,
        {
            SHARED: [use()],
        },
    ),
    "kinds": (
        steps.step_kinds,
        {"SELECT kind": [{"kind": kind, "events": 1} for kind in (*steps.KINDS, "stream_closed")]},
    ),
}
DOCTORED: list[tuple[str, str, Callable[[list[Row]], Any]]] = [
    ("missing", GAPS, lambda rows: rows.pop()),
    ("missing", GAPS, lambda rows: rows.pop(1)),
    ("missing", GAPS, lambda rows: rows[0].update(missing_min=3)),
    ("missing", GAPS, lambda rows: rows[0].update(cause="unknown")),
    ("missing", COMPLETENESS, lambda rows: rows[0]["reporters"].pop(0)),
    ("missing", COMPLETENESS, lambda rows: rows[0]["reporters"][1]["missing"].append({})),
    ("missing", BOTH, lambda rows: rows[0].update(calls=39)),
    ("missing", BOTH, lambda rows: rows.pop()),
    ("noticed", SHARED, lambda rows: rows.append(rows[0])),
    ("noticed", SHARED, lambda rows: rows[0].update(use(about=f"{SPIFFE}/customers"))),
    ("noticed", SHARED, lambda rows: rows[0].update(use(address="127.0.1.14"))),
    ("noticed", SHARED, lambda rows: rows[0].update(use(certificate_sha256="00"))),
    *[("kinds", "SELECT kind", lambda rows, at=at: rows.pop(at)) for at in range(len(steps.KINDS))],
    ("kinds", "SELECT kind", lambda rows: rows.append({"kind": "undecoded", "events": 1})),
]


@pytest.mark.parametrize("name", CASES)
def test_step_holds_for_what_really_happened(name: str) -> None:
    step, answers = CASES[name]
    tour, said = make_tour(shell_of(answers))
    step(tour, STORY)
    assert tour.claims_count >= 2
    assert tour.failures_count == 0, said.getvalue()
    assert "waiting" not in said.getvalue()


@pytest.mark.parametrize(("name", "query", "doctor"), DOCTORED)
def test_step_fails_when_the_record_says_anything_else(
    name: str,
    query: str,
    doctor: Callable[[list[Row]], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(steps, "LEDGER_S_MAX", -1.0)
    step, answers = copy.deepcopy(CASES[name])
    doctor(answers[query])
    tour, _ = make_tour(shell_of(answers))
    step(tour, STORY)
    assert tour.failures_count >= 1


@pytest.mark.parametrize("name", CASES)
def test_step_fails_when_nothing_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "LEDGER_S_MAX", -1.0)
    tour, _ = make_tour(FakeShell({}))
    CASES[name][0](tour, STORY)
    assert tour.failures_count >= 1


@pytest.mark.parametrize("told", [[FINDING, *FOUND[:2]], [FINDING, FOUND[0], FOUND[2]], FOUND])
def test_ledger_is_waited_for_until_it_told_of_everything(
    told: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "LEDGER_S_MAX", -1.0)
    step, answers = CASES["missing"]
    tour, said = make_tour(shell_of({**answers, TOLD: told}))
    step(tour, STORY)
    assert "in vain" in said.getvalue()
