"""Pieces are joined in order, and what cannot be read leaves a hole that is told and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshtrail.errors import TamperError
from meshtrail.merkle import HASH_BYTES
from meshtrail.verify import AuditReport, KeySource, TrustedKey, audit
from meshtrail.verify import plan as plan_module
from tests.faults.tamper.forgery import remanifest
from tests.faults.tamper.scene import Scene, report_of
from tests.log_builder import EntryWriter, LogBuilder, http_record, make_signer

if TYPE_CHECKING:
    from pathlib import Path

TRUSTED = TrustedKey(verifier=make_signer().verifier, source=KeySource.OPTION)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A log of three segments over several tiles: [0, 300), [300, 900), [900, 1000)."""
    builder = LogBuilder(tmp_path / "log")
    writer = EntryWriter()
    entries = [writer.opened(5), *(writer.record(5, http_record(n)) for n in range(999))]
    for start, end in ((0, 300), (300, 900), (900, 1000)):
        builder.seal(entries[start:end])
    return Scene(tmp_path / "log", tmp_path / "lock", tmp_path / "older", builder)


def audit_log(scene: Scene) -> AuditReport:
    try:
        return audit(scene.root, trusted=TRUSTED, workers=1)
    except TamperError as error:
        return report_of(error)


def live(scene: Scene, folder: str, number: int) -> Path:
    return scene.root / scene.builder.live.folder(folder)[number].named.path


def test_hole_in_the_entries_is_bridged_by_the_tiles(scene: Scene) -> None:
    live(scene, "segments", 1).write_bytes(b"")
    report = audit_log(scene)
    assert report.counts == {"DigestError": 1}
    assert report.entries_count == 400
    assert report.heads_checked == 4
    assert report.notes == ()


def test_missing_tiles_are_replaced_by_what_the_entries_hash_to(scene: Scene) -> None:
    live(scene, "tiles", 1).unlink()
    report = audit_log(scene)
    assert report.counts == {"MissingFileError": 1}
    assert (report.entries_count, report.heads_checked) == (1000, 4)


def test_roots_behind_a_hole_in_both_are_not_compared_and_that_is_said(scene: Scene) -> None:
    for folder in ("segments", "tiles"):
        live(scene, folder, 1).unlink()
    report = audit_log(scene)
    assert report.counts == {"MissingFileError": 2}
    assert (report.entries_count, report.heads_checked) == (400, 2)
    assert [note.check for note in report.notes] == ["heads-unchecked"]


def test_hole_in_the_last_segment_leaves_its_time_unsaid(scene: Scene) -> None:
    live(scene, "segments", 2).unlink()
    assert audit_log(scene).counts == {"MissingFileError": 1}


def test_signed_upper_hash_that_is_false_is_named_by_its_file(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "PIECE_ROWS", 100)
    named = scene.builder.live.folder("tiles")[1].named
    data = bytearray((scene.root / named.path).read_bytes())
    assert len(data) == (600 + 2) * HASH_BYTES
    data[-1] ^= 1
    remanifest(scene, [scene.builder.write_tiles(named, bytes(data))], signer=scene.signer)
    report = audit_log(scene)
    assert [(one.check, one.subject) for one in report.findings] == [("InclusionError", named.path)]


def test_segments_in_another_order_of_time_are_a_clock_error(tmp_path: Path) -> None:
    builder = LogBuilder(tmp_path / "log")
    late, early = EntryWriter(now_ns=10**18), EntryWriter()
    builder.seal([early.opened(5)])
    builder.seal([late.opened(6)])
    scene = Scene(tmp_path / "log", tmp_path / "lock", tmp_path / "older", builder)
    report = audit_log(scene)
    assert report.counts["ClockError"] == 1
    assert {one.subject for one in report.findings if one.check == "ClockError"} == {"entry 1"}
