"""A range is held against the signed root through tiles that are believed no further."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from meshtrail.errors import TamperError
from meshtrail.verify import KeySource, TrustedKey, audit
from tests.faults.tamper.forgery import (
    change_byte,
    change_entry,
    change_rows,
    remanifest,
    sign_head,
)
from tests.faults.tamper.scene import Scene, report_of
from tests.log_builder import build_small_log, make_signer

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.verify import AuditReport

TRUSTED = TrustedKey(verifier=make_signer().verifier, source=KeySource.OPTION)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    builder = build_small_log(tmp_path / "log")
    return Scene(tmp_path / "log", tmp_path / "lock", tmp_path / "older", builder)


def audit_range(scene: Scene, start: int, end: int) -> AuditReport:
    return audit(scene.root, trusted=TRUSTED, index_range=(start, end), workers=1)


def tampered(scene: Scene, start: int, end: int) -> list[tuple[str, str]]:
    with pytest.raises(TamperError) as caught:
        audit_range(scene, start, end)
    findings = report_of(caught.value).findings
    return [(one.check, one.subject) for one in findings]


def test_changed_entry_is_named_inside_its_range_and_not_read_outside(scene: Scene) -> None:
    remanifest(scene, [change_rows(scene, 0, 11, change_entry(4))], signer=scene.signer)
    assert tampered(scene, 3, 9) == [("LeafError", "entry 4")]
    assert audit_range(scene, 5, 16).is_clean


def test_changed_leaf_hash_does_not_lead_to_the_root(scene: Scene) -> None:
    named = scene.builder.live.folder("tiles")[0].named
    change_byte(scene.root / named.path, 40)
    file = scene.builder.write_tiles(named, (scene.root / named.path).read_bytes())
    remanifest(scene, [file], signer=scene.signer)
    assert ("InclusionError", "tiles") in tampered(scene, 12, 14)


def test_missing_tiles_are_named(scene: Scene) -> None:
    named = scene.builder.live.folder("tiles")[0].named
    (scene.root / named.path).unlink()
    found = tampered(scene, 12, 14)
    assert ("MissingFileError", named.path) in found


def test_fork_is_found_although_only_a_range_is_read(scene: Scene) -> None:
    (day,) = scene.layout.checkpoints.iterdir()
    notes = day.read_bytes()
    fork = sign_head(scene.signer, tree_size=16, root_hash=bytes(32))
    day.write_bytes(notes + fork)
    assert ("ConsistencyError", "checkpoint 16") in tampered(scene, 12, 14)


def test_segment_outside_the_range_is_not_hashed(scene: Scene) -> None:
    shutil.copy(
        scene.layout.format_file, scene.root / scene.builder.live.folder("segments")[0].named.path
    )
    report = audit_range(scene, 12, 14)
    assert report.is_clean
    assert report.files_count == 5
    assert tampered(scene, 10, 14)[0][0] == "DigestError"


def test_false_root_at_a_size_that_nothing_else_was_signed_for_is_found(scene: Scene) -> None:
    (day,) = scene.layout.checkpoints.iterdir()
    head, tail = day.read_bytes().split(b"test/one/0a1b2c3d\n13\n")
    fork = sign_head(scene.signer, tree_size=12, root_hash=bytes(32))
    day.write_bytes(head + fork + b"test/one/0a1b2c3d\n13\n" + tail)
    assert tampered(scene, 14, 16) == [("ConsistencyError", "checkpoint 12")]
