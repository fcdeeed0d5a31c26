"""The search benchmark as a process, on a small log: every answer checked, nothing left behind."""

from __future__ import annotations

import importlib.util
import json
import random  # noqa: TID251 - seeded: the same log each time
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from bench.harness.search import jsonl_engine
from bench.harness.search.draw import draw_tasks
from bench.harness.search.jsonl_engine import JsonlEngine
from bench.harness.search.questions import Proof
from bench.harness.search.reference import read_log_columns
from tests.rig.recorder import ROOT
from tests.unit.search.small_log import make_log

if TYPE_CHECKING:
    from pathlib import Path

ENTRIES_BY_SEGMENT = (1_500, 1, 900, 600)
HAS_PROGRAMS = all(shutil.which(program) for program in jsonl_engine.PROGRAMS)
CONNECTIONS_SHARE = 0.02
KINDS = {
    "trace",
    "trace_all_columns",
    "request",
    "request_all_columns",
    "identity_hour",
    "pairs_hour",
    "principal",
    "principal_rare",
    "principal_absent",
    "path_none",
    "path_rare",
    "path_common",
    "prove_check",
    "prove_check_anew",
}


def make_events(chance: random.Random, count: int) -> list[dict[str, Any]]:
    """Both reports of requests one after the other, and connections, which have neither id."""
    events: list[dict[str, Any]] = []
    while len(events) < count:
        ends = {
            "src_spiffe_id": f"spiffe://td/ns/web/sa/caller-{chance.randrange(5)}",
            "dst_spiffe_id": chance.choice([None, "spiffe://td/ns/web/sa/o'callee"]),
        }
        if chance.random() < CONNECTIONS_SHARE:
            events.append(ends)
            continue
        number = chance.randrange(10_000, 10_100)
        request = {
            "trace_id": chance.randbytes(16),
            "request_id": chance.randbytes(16),
            "url_path": chance.choice([f"/v1/items/{number}", f"/v1/items/{number}/history", "/"]),
        }
        events += [ends | request, ends | request | {"side": "destination"}]
    return events[:count]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("searched")
    log = make_log(path / "data")
    chance = random.Random(7)  # noqa: S311 - rows to search, not secrets
    for count in ENTRIES_BY_SEGMENT:
        log.add_segment(make_events(chance, count))
    return path


def run_search(directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "bench" / "search.py"), "--data", str(directory)]
    return subprocess.run(
        [*command, "--samples", "4", *options], capture_output=True, text=True, check=False
    )


def state_of(directory: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in directory.rglob("*")
    }


def test_every_question_is_answered_rightly_by_all_that_is_installed(
    directory: Path, tmp_path: Path
) -> None:
    before = state_of(directory)
    work, out = tmp_path / "work", tmp_path / "search.json"
    work.mkdir()
    done = run_search(
        directory, "--beside", "chdb,jsonl", "--rounds", "2", "--work", str(work), "--out", str(out)
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts == json.loads(out.read_text())
    assert facts["log"]["entries_count"] == sum(ENTRIES_BY_SEGMENT)
    questions = {question["name"]: question for question in facts["questions"]}
    assert questions.keys() == KINDS
    for question in questions.values():
        assert question["title"] in done.stderr
        assert question["meshtrail"]["samples_count"] >= 1
        assert question["meshtrail"]["cold"]["samples_count"] >= 1
    assert questions["trace"]["found_count"] == {"min": 2, "median": 2, "max": 2}
    is_installed = {
        "chdb": importlib.util.find_spec("chdb") is not None,
        "jsonl": HAS_PROGRAMS,
    }
    for name, is_there in is_installed.items():
        assert ("missing" in facts["rivals"][name]) is not is_there
        answering = {kind for kind in KINDS if questions[kind].get(name)}
        assert answering == (KINDS - {"prove_check", "prove_check_anew"} if is_there else set())
    assert not list(work.iterdir())
    assert state_of(directory) == before


@pytest.mark.skipif(not HAS_PROGRAMS, reason="ripgrep, zstd or awk is not installed")
def test_rows_in_several_files_of_json_lines_are_searched_as_one(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl_engine, "ROWS_PER_FILE", 700)
    segments = sorted((directory / "data" / "segments").iterdir())
    tasks = draw_tasks(read_log_columns(segments), segments, samples_count=6, seed=3)
    engine = JsonlEngine(segments, tmp_path, entries_count=sum(ENTRIES_BY_SEGMENT))
    assert engine.facts["files_count"] == 5
    for task in tasks:
        for sample in task.samples:
            want = None if isinstance(sample.question, Proof) else sample.want
            assert engine.ask(sample.question) == want


def test_rivals_that_are_unknown_are_refused_before_anything_runs(directory: Path) -> None:
    done = run_search(directory, "--beside", "chdb,grep")
    assert done.returncode == 2
    assert "grep: want chdb,jsonl" in done.stderr
    assert not done.stdout
