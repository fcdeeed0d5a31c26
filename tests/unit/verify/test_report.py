"""The report says in a line what was checked, and every finding once."""

from __future__ import annotations

from typing import Any

from meshtrail.errors import LeafError
from meshtrail.verify import AuditReport, KeySource, TrustedKey
from meshtrail.verify.findings import explained, noted, tampered
from tests.log_builder import ORIGIN, make_signer

TRUSTED = TrustedKey(verifier=make_signer().verifier, source=KeySource.PIN)


def make_report(**changes: Any) -> AuditReport:
    facts: dict[str, Any] = {
        "origin": ORIGIN,
        "tree_size": 7,
        "root_hash": bytes(32),
        "published_size": 7,
        "trusted": TRUSTED,
        "checkpoints_count": 3,
        "heads_checked": 3,
        "lock_heads_count": None,
        "manifests_count": 2,
        "files_count": 4,
        "blobs_count": 1,
        "entries_count": 7,
        "streams_opened": 2,
        "streams_closed": 1,
        "streams_open": 1,
        "is_deep": False,
        "derived_count": 0,
        "sampled_count": 0,
        "index_range": None,
        "findings": (),
        "explained": (),
        "notes": (),
        "counts": {},
        "seconds": 1.26,
    }
    return AuditReport(**(facts | changes))


def test_clean_report_is_a_few_lines() -> None:
    assert make_report().render().split("\n") == [
        f"log {ORIGIN}, 7 entries",
        f"root {'00' * 32}",
        f"key pinned (pin): {TRUSTED.fingerprint}",
        "checked: 3 signed checkpoints, 2 manifests, 4 files, 1 blobs, 7 entries",
        "streams: 2 opened, 1 closed, 1 open",
        "nothing was changed (1.3 s)",
        "",
    ]


def test_what_a_sealer_leaves_many_times_over_is_shown_in_part_and_counted() -> None:
    left = [explained("unnamed-file", f"segments/{at}", f"segments/{at}") for at in range(5)]
    report = make_report(explained=(*left, explained("torn-blob", "blobs/a", "torn")))
    assert report.render().split("\n")[-7:-2] == [
        "explained unnamed-file: segments/0",
        "explained unnamed-file: segments/1",
        "explained unnamed-file: segments/2",
        "explained torn-blob: torn",
        "explained unnamed-file: 2 more like it",
    ]
    told = report.as_json()["explained"]
    assert isinstance(told, list)
    assert len(told) == 6


def test_findings_are_listed_and_the_others_counted() -> None:
    finding = tampered(LeafError("entry 5 is wrong", leaf_index=5, got=b"\x01"), "entry 5")
    report = make_report(
        findings=(finding,),
        explained=(explained("torn-blob", "blobs/a", "torn"),),
        notes=(noted("unknown-file", "x", "what is x"),),
        counts={"LeafError": 12},
    )
    lines = report.render().split("\n")
    assert lines[-6:] == [
        "TAMPERED LeafError: entry 5 is wrong",
        "explained torn-blob: torn",
        "note unknown-file: what is x",
        "TAMPERED and 11 more of the same",
        "TAMPERED WITH (1.3 s)",
        "",
    ]
    said = report.as_json()
    assert said["verdict"] == "tampered"
    assert said["findings"] == [
        {
            "severity": "tampered",
            "check": "LeafError",
            "subject": "entry 5",
            "message": "entry 5 is wrong",
            "facts": {"leaf_index": 5, "got": "01"},
        }
    ]


def test_report_of_nothing_yet_has_no_root() -> None:
    report = make_report(tree_size=0, root_hash=None, published_size=None)
    assert report.as_json()["root_hash"] is None
    assert "root " not in report.render()
