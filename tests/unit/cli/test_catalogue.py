from __future__ import annotations

import hashlib
import json
from pathlib import Path

import duckdb
import pytest

from meshtrail.cli import exit_codes
from meshtrail.cli.main import main
from tests.unit.search.small_log import ORIGIN, SmallLog, make_log


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallLog:
    monkeypatch.setenv("MESHTRAIL_HOME", str(tmp_path / "home"))
    log = make_log(tmp_path / "data")
    for _ in range(3):
        log.add_segment([{}] * 2)
    return log


def test_another_engine_reads_every_entry_once_from_the_listed_paths(
    log: SmallLog, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["catalogue", "--data", str(log.layout.root)]) == exit_codes.OK
    captured = capsys.readouterr()
    paths = captured.out.splitlines()
    read = duckdb.execute("SELECT log_index FROM read_parquet(?) ORDER BY 1", [paths]).fetchall()
    assert read == [(index,) for index in range(6)]
    assert f"3 of 3 segments with 6 entries of {ORIGIN}" in captured.err


def test_a_period_lists_only_what_it_can_touch(
    log: SmallLog, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["catalogue", "--data", str(log.layout.root), "--from", "2025-11-21T08:00:02Z"])
    assert [Path(line).name[:12] for line in capsys.readouterr().out.splitlines()] == [
        "000000000002",
        "000000000004",
    ]


def test_json_tells_ranges_lengths_digests_and_the_checkpoint(
    log: SmallLog, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["catalogue", "--data", str(log.layout.root), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["log"], found["tree_size"]) == (ORIGIN, 6)
    assert found["root"] == log.frontier.root().hex()
    assert [(one["start"], one["end"]) for one in found["segments"]] == [(0, 2), (2, 4), (4, 6)]
    for one in found["segments"]:
        data = Path(one["path"]).read_bytes()
        assert (one["bytes"], one["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
