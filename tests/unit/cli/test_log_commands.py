"""The commands that read a log: thin faces, so this holds their options and their output."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.app.clock import SystemClock
from meshtrail.cli import exit_codes
from meshtrail.cli.main import main
from meshtrail.cli.prove import parse_entry_name
from meshtrail.errors import QueryError
from meshtrail.note import format_vkey
from tests.unit.search.small_log import ORIGIN, SmallLog, make_log

if TYPE_CHECKING:
    from pathlib import Path

Run = Callable[..., tuple[int, dict[str, Any], dict[str, Any]]]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallLog:
    monkeypatch.setenv("MESHTRAIL_HOME", str(tmp_path / "home"))
    log = make_log(tmp_path / "data")
    log.add_segment([{}] * 3)
    return log


@pytest.fixture
def run(log: SmallLog, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command on the log with --json; gives status, output and error."""

    def call(*arguments: str) -> tuple[int, dict[str, Any], dict[str, Any]]:
        status = main([*arguments, "--data", str(log.layout.root), "--json"])
        captured = capsys.readouterr()
        return status, json.loads(captured.out or "{}"), json.loads(captured.err or "{}")

    return call


def test_status_tells_what_is_published_and_that_the_key_is_only_claimed(run: Run) -> None:
    status, facts, _ = run("status")
    assert status == exit_codes.OK
    assert (facts["origin"], facts["tree_size"], facts["pinned"]) == (ORIGIN, 3, False)
    assert (facts["sealer"], facts["ledger"]) == ("not running", None)


def test_status_is_readable_without_json(log: SmallLog, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--data", str(log.layout.root)]) == exit_codes.OK
    out = capsys.readouterr().out
    assert f"log        {ORIGIN}\npublished  3 entries\n" in out
    assert "\nsealer     not running\n" in out
    assert "\nmissing    not known: no ledger is kept here now" in out
    assert "key NOT pinned" in out


def test_status_tells_what_the_ledger_knows_to_be_missing(
    log: SmallLog, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    told: dict[str, object] = {"reporters": 3, "silent": 1}
    told["missing"] = {"counter_dropped": 1_200, "unknown": 0}
    told["findings"] = {}
    _keep(log, "ledger", told)
    assert run("status")[1]["ledger"] == told
    assert main(["status", "--data", str(log.layout.root)]) == exit_codes.OK
    out = capsys.readouterr().out
    assert "\nmissing    of 3 reporters: 1,200 counter_dropped, 1 silent\n" in out


@pytest.mark.parametrize(
    ("missing", "said"),
    [({"dropped": 7}, "7 dropped"), ({}, "nothing known since the ledger was started")],
)
def test_status_tells_what_somebody_should_look_at_beside_what_is_missing(
    log: SmallLog, capsys: pytest.CaptureFixture[str], missing: dict[str, int], said: str
) -> None:
    findings = {"unpaired": 5, "key_shared": 1_000, "paired_late": 0}
    _keep(log, "ledger", {"reporters": 3, "silent": 0, "missing": missing, "findings": findings})
    assert main(["status", "--data", str(log.layout.root)]) == exit_codes.OK
    line = f"\nmissing    of 3 reporters: {said}; findings: 1,000 key_shared, 5 unpaired\n"
    assert line in capsys.readouterr().out


def test_status_tells_how_far_files_are_read_that_grow(
    log: SmallLog, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("status")[1]["tail"] is None
    _keep(log, "collect", {"tail": {"files": 2, "behind_bytes": 1_500}})
    assert run("status")[1]["tail"] == {"files": 2, "behind_bytes": 1_500}
    assert main(["status", "--data", str(log.layout.root)]) == exit_codes.OK
    assert "\ntail       2 files, 1,500 bytes not read yet\n" in capsys.readouterr().out


def _keep(log: SmallLog, process: str, told: dict[str, object]) -> None:
    """Leave what a running process would have told last."""
    file = {"pid": 1, "started_ns": 0, "written_ns": SystemClock().wall_ns(), "facts": told}
    folder = log.layout.root / "run"
    folder.mkdir()
    (folder / f"{process}.json").write_text(json.dumps(file))


def test_export_writes_the_tree_and_says_how_much(run: Run, tmp_path: Path) -> None:
    status, facts, _ = run("export", "tlog", "--out", str(tmp_path / "out"))
    assert status == exit_codes.OK
    assert (facts["tree_size"], facts["old_size"], facts["files_count"]) == (3, 0, 2)
    assert (tmp_path / "out" / "checkpoint").is_file()
    with pytest.raises(SystemExit):
        run("export", "arrow", "--out", str(tmp_path / "out"))


def test_prove_writes_a_proof_that_check_takes(run: Run, tmp_path: Path, log: SmallLog) -> None:
    status, _, err = run("prove", "1", f"{ORIGIN}#2", "--out", str(tmp_path / "proofs"))
    assert (status, err) == (exit_codes.OK, {})
    vkey = format_vkey(log.signer.verifier)
    proof = str(tmp_path / "proofs" / "2.tlog-proof")
    assert main(["check", proof, "--key", vkey, "--require-pin", "--json"]) == exit_codes.OK


def test_prove_replaces_nothing_unless_told(run: Run, tmp_path: Path) -> None:
    arguments = ("prove", "1", "--out", str(tmp_path / "proofs"))
    assert run(*arguments)[0] == exit_codes.OK
    assert run(*arguments)[0] == exit_codes.CONFIG
    assert run(*arguments, "--overwrite")[0] == exit_codes.OK


def test_an_entry_that_is_not_there_is_an_input_error(run: Run, tmp_path: Path) -> None:
    assert run("prove", "3", "--out", str(tmp_path / "proofs"))[0] == exit_codes.BAD_INPUT


def test_an_entry_is_named_by_its_index_or_its_full_name() -> None:
    assert parse_entry_name("7", origin=ORIGIN) == 7
    assert parse_entry_name(f"{ORIGIN}#7", origin=ORIGIN) == 7
    for wrong in ("other/one/0badcafe#7", "07", "-1", "x", "", "#7", f"{ORIGIN}#"):
        with pytest.raises(QueryError):
            parse_entry_name(wrong, origin=ORIGIN)


def test_verify_prints_the_report_and_the_error_and_ends_with_3_on_tampering(
    run: Run, log: SmallLog
) -> None:
    (segment,) = log.layout.segments.iterdir()
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    status, report, error = run("verify")
    assert status == exit_codes.TAMPERED
    assert report["verdict"] == "tampered"
    assert segment.name in error["message"]
    assert error["exit"] == 3


def test_check_of_a_file_that_is_neither_proof_nor_bundle_is_an_input_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x"
    path.write_text("hello")
    assert main(["check", str(path)]) == exit_codes.BAD_INPUT
    assert capsys.readouterr().err.startswith("meshtrail: ")
