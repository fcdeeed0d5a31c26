"""Audits of whole logs: large ones over several processes, parts of them, and while they grow."""

from __future__ import annotations

import importlib
import json
import shutil
from typing import TYPE_CHECKING

import pytest

from meshtrail.errors import LayoutError, NotFoundError, QueryError, TamperError
from meshtrail.store.layout import Layout
from meshtrail.verify import KeySource, TrustedKey, audit, parse_index_range
from meshtrail.verify import plan as plan_module
from tests.faults.tamper.forgery import change_entry, change_rows, remanifest
from tests.faults.tamper.scene import Scene, report_of
from tests.log_builder import EntryWriter, LogBuilder, build_small_log, http_record, make_signer

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.verify import AuditReport

TRUSTED = TrustedKey(verifier=make_signer().verifier, source=KeySource.OPTION)
LARGE = 40_000
# By its name: the package has the function of that name instead.
audit_module = importlib.import_module("meshtrail.verify.audit")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> LogBuilder:
    """A log with several row groups in a segment, and several upper hashes."""
    builder = LogBuilder(tmp_path_factory.mktemp("large") / "log")
    writer = EntryWriter()
    records = [http_record(number) for number in range(100)]
    builder.seal([writer.opened(stream) for stream in (7, 8, 9)])
    for start in range(3, LARGE, 13_000):
        end = min(start + 13_000, LARGE)
        builder.seal([writer.record(7 + n % 3, records[n % 100]) for n in range(start, end)])
    builder.merge(3)
    builder.seal([writer.closed(stream) for stream in (7, 8)])
    return builder


def spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small logs be cut into many pieces and go to worker processes, as large ones do."""
    monkeypatch.setattr(audit_module, "IN_PROCESS_ENTRIES", 0)
    monkeypatch.setattr(plan_module, "PIECE_ROWS", 10_000)


def facts(report: AuditReport) -> dict[str, object]:
    return {name: value for name, value in report.as_json().items() if name != "seconds"}


def test_processes_find_what_one_process_finds(
    large: LogBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = audit(large.layout.root, trusted=TRUSTED, workers=1)
    spread(monkeypatch)
    together = audit(large.layout.root, trusted=TRUSTED, workers=2)
    assert facts(alone) == facts(together)
    assert alone.is_clean
    assert (alone.entries_count, alone.streams_opened, alone.streams_open) == (LARGE + 2, 3, 1)
    assert alone.heads_checked == 7


def test_deep_audit_derives_every_event_and_samples_some(
    large: LogBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "PIECE_ROWS", 10_000)
    report = audit(large.layout.root, trusted=TRUSTED, is_deep=True, workers=1)
    assert report.is_clean
    assert report.derived_count == LARGE + 2
    assert 100 <= report.sampled_count <= 110


def test_changed_entry_deep_in_a_row_group_is_named_by_a_worker(
    large: LogBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "log"
    shutil.copytree(large.layout.root, root)
    scene = Scene(root, tmp_path / "none", tmp_path / "none", large.moved_to(root))
    start, end = 13_003, LARGE
    file = change_rows(scene, start, end, change_entry(20_000))
    remanifest(scene, [file], signer=scene.signer)
    spread(monkeypatch)
    with pytest.raises(TamperError) as caught:
        audit(root, trusted=TRUSTED, workers=2)
    assert type(caught.value).__name__ == "LeafError"
    assert caught.value.leaf_index == start + 20_000


def test_range_is_audited_against_the_signed_root(large: LogBuilder) -> None:
    for start, end in ((0, 1), (12_999, 13_010), (16_000, 33_000), (LARGE + 1, LARGE + 2)):
        report = audit(large.layout.root, trusted=TRUSTED, index_range=(start, end), workers=1)
        assert report.is_clean
        assert report.entries_count == end - start
        assert report.heads_checked == 7
        assert f"range {start}-{end} only" in report.render()


def test_range_outside_the_log_is_refused_with_its_size(large: LogBuilder) -> None:
    with pytest.raises(NotFoundError, match=str(LARGE + 2)):
        audit(large.layout.root, trusted=TRUSTED, index_range=(5, LARGE + 3))


def test_range_is_two_numbers_in_order() -> None:
    assert parse_index_range("7-12") == (7, 12)
    for text in ("", "7", "12-7", "7-7", "-7", "a-b", "７-9", "1-99999999999999999999", "1-2-3"):
        with pytest.raises(QueryError):
            parse_index_range(text)


def test_progress_reaches_its_end_in_every_phase(large: LogBuilder) -> None:
    told: list[tuple[int, int, str]] = []
    audit(large.layout.root, trusted=TRUSTED, workers=1, progress=lambda *one: told.append(one))
    assert [phase for _, _, phase in told][:2] == ["manifests", "checkpoints"]
    for phase in ("files", "entries"):
        steps = [(done, total) for done, total, name in told if name == phase]
        assert steps == sorted(steps)
        assert steps[-1][0] == steps[-1][1] > 0


def test_directory_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"no format\.toml"):
        audit(tmp_path, trusted=TRUSTED)


def test_log_without_entries_is_clean(tmp_path: Path) -> None:
    LogBuilder(tmp_path / "log")
    report = audit(tmp_path / "log", trusted=TRUSTED)
    assert report.is_clean
    assert (report.tree_size, report.entries_count, report.heads_checked) == (0, 0, 1)


def test_directory_before_its_first_manifest_is_clean(tmp_path: Path) -> None:
    root = LogBuilder(tmp_path / "log").layout.root
    layout = Layout(root)
    for folder in (layout.manifests, layout.checkpoints, layout.published.parent):
        for path in folder.iterdir():
            path.unlink()
    assert audit(root, trusted=TRUSTED).is_clean


def test_report_says_all_in_json_and_in_text(tmp_path: Path) -> None:
    builder = build_small_log(tmp_path / "log", lock_record=tmp_path / "lock")
    claimed = TrustedKey(verifier=builder.signer.verifier, source=KeySource.CLAIM)
    report = audit(tmp_path / "log", trusted=claimed, lock_record=tmp_path / "lock", is_deep=True)
    said = json.loads(json.dumps(report.as_json()))
    assert (said["verdict"], said["pinned"], said["entries"]) == ("clean", False, 16)
    assert said["root_hash"] == builder.frontier.root().hex()
    text = report.render()
    assert "key NOT pinned, compare this fingerprint: " in text
    assert "lock record: 5 signed heads" in text
    assert "deep: 16 events derived again" in text
    assert "explained unnamed-file: " in text
    assert text.split("\n")[-2].startswith("nothing was changed")


def test_tampering_carries_the_whole_report(tmp_path: Path) -> None:
    builder = build_small_log(tmp_path / "log")
    for path in builder.layout.segments.iterdir():
        path.write_bytes(b"x")
    with pytest.raises(TamperError) as caught:
        audit(tmp_path / "log", trusted=TRUSTED)
    report = report_of(caught.value)
    assert report.counts == {"DigestError": 3}
    assert report.as_json()["verdict"] == "tampered"
    assert "TAMPERED DigestError: segments/000000000000-000000000011.parquet" in report.render()


def test_audit_writes_nothing_into_the_directory(tmp_path: Path) -> None:
    builder = build_small_log(tmp_path / "log")
    before = {path: path.stat().st_mtime_ns for path in builder.layout.root.rglob("*")}
    audit(tmp_path / "log", trusted=TRUSTED, is_deep=True)
    after = {path: path.stat().st_mtime_ns for path in builder.layout.root.rglob("*")}
    assert before == after
