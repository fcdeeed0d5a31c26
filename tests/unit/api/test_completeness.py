from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.cli.main import main
from tests.unit.api.test_search import get
from tests.unit.correlate.test_completeness import minute, stated
from tests.unit.search.small_log import SmallLog, make_log

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallLog:
    monkeypatch.setenv("MESHTRAIL_HOME", str(tmp_path / "home"))
    made = make_log(tmp_path / "data")
    lost: dict[str, Any] = {"cause": "dropped", "missing_min": 2, "missing_max": 5}
    made.add_segment([minute("web", 0, received=7), stated("gap", "web", 0, **lost)])
    return made


def test_what_is_missing_is_told_with_its_bounds_and_cause(log: SmallLog) -> None:
    told = get(log, "/api/completeness").json
    (web,) = told["reporters"]
    assert (web["about"], web["received"], web["missing_min"], web["missing_max"]) == (
        "web",
        7,
        2,
        5,
    )
    assert [one["cause"] for one in web["missing"]] == ["dropped"]
    assert told["summary"].startswith("completeness: 1 reporter, 7 records accounted for until ")
    assert told["summary"].endswith(", 2 to 5 missing of web")


def test_it_is_what_the_command_prints(log: SmallLog, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completeness", "--data", str(log.layout.root), "--json"]) == 0
    told, printed = get(log, "/api/completeness").json, json.loads(capsys.readouterr().out)
    # The test's server is told its key, the command takes the log's word for it.
    for one in (told, printed):
        del one["pinned"], one["source"]
    assert told == printed


def test_a_period_in_which_nothing_was_told_has_no_reporters(log: SmallLog) -> None:
    told = get(log, "/api/completeness?from=2001-01-01T00:00Z&to=2001-01-02T00:00Z").json
    assert told["reporters"] == []
    assert told["summary"] == "completeness: nothing is accounted for in this period"


@pytest.mark.parametrize("asked", ["from=yesterday", "since=-1h", "from=-1h&from=-2h"])
def test_a_period_that_is_none_is_refused(log: SmallLog, asked: str) -> None:
    assert get(log, f"/api/completeness?{asked}").status == 400


@pytest.mark.parametrize("path", ["/api/completeness", "/api/search"])
def test_a_period_that_ends_before_it_begins_is_refused_in_the_words_of_the_request(
    log: SmallLog, path: str
) -> None:
    answer = get(log, f"{path}?from=-1h&to=-2h")
    assert answer.error == (400, "QueryError")
    assert answer.json["message"].startswith("from is not before to")
