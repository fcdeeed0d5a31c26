from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from meshtrail.cli import exit_codes
from meshtrail.cli.main import main
from tests.unit.correlate.test_explanation import (
    COMMIT,
    DENIED,
    IMAGE,
    POD,
    POLICY_COMMIT,
    commit,
    policy,
)
from tests.unit.search.small_log import SmallLog, make_log

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallLog:
    monkeypatch.setenv("MESHTRAIL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MESHTRAIL_DATA", str(tmp_path / "data"))
    return make_log(tmp_path / "data")


def test_an_explanation_reads_from_the_event_to_the_commits(
    log: SmallLog, capsys: pytest.CaptureFixture[str]
) -> None:
    denied = {**DENIED, "http_request_method": "GET", "url_path": "/a\x1b[2J", "policy_rule": "0"}
    denied |= {"http_response_status_code": 403, "decision_trust": "attested", "user_id": "mallory"}
    log.add_segment([denied, POD, {**IMAGE, "commit_id": COMMIT}, commit(COMMIT, "Add exports")])
    change = policy(50, "update", [], actor_ip="10.1.1.1", commit_id=POLICY_COMMIT)
    log.add_segment([policy(10, "create", [{}]), change, policy(70, "delete")])
    assert main(["explain", "0"]) == exit_codes.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("entry 0: request at ")
    told = "\n".join(lines)
    for part in (
        "  request      GET /a\\x1b[2J  answered 403",
        "  decision     denied  by policy shop/deny-admin rule 0  attested",
        "  user         mallory",
        "caller",
        "  identity     spiffe://td/ns/shop/sa/web  attested",
        "  pod          shop/web-1  derived  entry 1",
        "  workload     web",
        f'  commit       {COMMIT[:12]}  "Add exports"',
        "asserted  entry 2",
        "callee",
        "  pod          no pod is known to have had this address then",
        "authorizationpolicies shop/deny-admin",
        "  in force     since ",
        "  update  entry 5",
        "  actor        ann  10.1.1.1",
        "  effect       narrowed",
        f"  commit       {POLICY_COMMIT[:12]}",
        "  next change  gone since ",
    ):
        assert part in told, (part, told)


def test_an_explanation_is_one_json_object(
    log: SmallLog, capsys: pytest.CaptureFixture[str]
) -> None:
    log.add_segment([DENIED, POD, policy(10, "create", [{}]), {**IMAGE, "commit_id": COMMIT}])
    assert main(["explain", "0", "--json"]) == exit_codes.OK
    told = json.loads(capsys.readouterr().out)
    assert (told["event"]["log_index"], told["is_policy_named"]) == (0, True)
    assert [end["side"] for end in told["ends"]] == ["src", "dst"]
    assert told["ends"][0]["commits"][0]["commit_id"] == COMMIT
    [governing] = told["governing"]
    assert governing["object"]["name"] == "deny-admin"
    assert (governing["in_force"]["actor"], governing["next"]) == ("ann", None)


def test_what_the_log_does_not_know_is_said(
    log: SmallLog, capsys: pytest.CaptureFixture[str]
) -> None:
    log.add_segment([DENIED, {"kind": "request"}])
    assert main(["explain", "0"]) == exit_codes.OK
    assert "policy shop/deny-admin: the log holds no change of it" in capsys.readouterr().out
    assert main(["explain", "9"]) == exit_codes.BAD_INPUT
    assert "no sealed entry 9" in capsys.readouterr().err


def test_policies_are_told_of_an_event_that_names_none(
    log: SmallLog, capsys: pytest.CaptureFixture[str]
) -> None:
    unnamed = {**DENIED, "policy_name": None, "policy_namespace": None}
    log.add_segment([unnamed, policy(70, "create")])
    assert main(["explain", "0"]) == exit_codes.OK
    told = capsys.readouterr().out
    assert "no policy is named; policies in the callee's namespace" in told
    assert "authorizationpolicies  deny-admin  not known: the log begins later" in told
