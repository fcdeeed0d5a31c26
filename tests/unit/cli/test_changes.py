from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from meshtrail.cli import exit_codes
from meshtrail.cli.main import main
from tests.unit.correlate.test_explanation import policy
from tests.unit.search.small_log import FIRST_NS, STEP_NS, SmallLog, make_log

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallLog:
    monkeypatch.setenv("MESHTRAIL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MESHTRAIL_DATA", str(tmp_path / "data"))
    log = make_log(tmp_path / "data")
    log.add_segment(
        [
            policy(50, "update", [{}], actor="eve\x1b", actor_impersonated="root"),
            policy(10, "create", [], reporter_cluster=None),
            policy(60, "update", [], http_response_status_code=403),
            {**policy(70, "update", [{}], actor="bob"), "spec_hash": bytes([50]) * 32},
            {"kind": "request"},
        ]
    )
    return log


def test_changes_are_told_in_their_order_with_what_they_did(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["changes"]) == exit_codes.OK
    captured = capsys.readouterr()
    titles, created, widened, nothing = captured.out.splitlines()
    assert titles.split() == ["TIME", "ACTOR", "VERB", "OBJECT", "EFFECT", "SPEC", "ENTRY"]
    assert "ann" in created
    assert "eve\\x1b as root  update" in widened
    assert "authorizationpolicies shop/deny-admin  widened" in widened
    assert widened.endswith("0a0a0a0a>32323232  0")
    assert "bob" in nothing
    assert "  none  " in nothing
    assert captured.err.startswith("3 changes\n")


def test_a_query_and_a_period_choose_and_what_stood_before_is_known_all_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["changes", "actor:eve*", "--json"]) == exit_codes.OK
    [line] = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert (told["log_index"], told["security"]) == (0, ["widened"])
    assert told["before_hash"] == "0a" * 32
    arrived = str(FIRST_NS + 3 * STEP_NS)
    assert main(["changes", "--from", arrived, "--json"]) == exit_codes.OK
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["is_effectless"]


def test_a_query_that_is_not_understood_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["changes", "nofield:x"]) == exit_codes.BAD_INPUT
    assert "nofield" in capsys.readouterr().err
