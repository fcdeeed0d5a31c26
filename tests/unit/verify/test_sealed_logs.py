"""What the real sealer writes is clean to the auditor, over ticks, merges and starts."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from msgspec import structs

from meshtrail.collect.metrics import MetricsFramer
from meshtrail.collect.opening import KnownBlobs, StreamDoor
from meshtrail.collect.payloads import CloseReason, CollectorFacts
from meshtrail.collect.peer import Peer
from meshtrail.collect.stream import Stream
from meshtrail.errors import RollbackError
from meshtrail.journal import blob_frame
from meshtrail.log import commit, merge
from meshtrail.model.entry import EntryFlags
from meshtrail.units import UnixNanos
from meshtrail.verify import AuditReport, KeySource, TrustedKey, audit
from tests.als_messages import identifier
from tests.counter_pushes import envoy_message, family
from tests.log_rig import SIGNER, LogRig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TRUSTED = TrustedKey(verifier=SIGNER.verifier, source=KeySource.OPTION)


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LogRig]:
    """A log with merges after a few entries and removal of old manifests after a few more."""
    monkeypatch.setattr(merge, "TIERS", (64, 16, 4))
    monkeypatch.setattr(merge, "SEGMENTS_MAX", {4: 3, 16: 4, 64: 5})
    monkeypatch.setattr(commit, "SNAPSHOT_EVERY", 8)
    rig = LogRig(tmp_path, lock_record=tmp_path / "lock-record")
    yield rig
    rig.close()


def audit_rig(rig: LogRig) -> AuditReport:
    return audit(
        rig.layout.root,
        trusted=TRUSTED,
        lock_record=rig.lock_record,
        is_deep=True,
        workers=1,
    )


def test_new_log_is_clean_before_and_after_its_first_start(rig: LogRig) -> None:
    assert audit_rig(rig).is_clean
    rig.seal()
    report = audit_rig(rig)
    assert report.is_clean
    assert report.published_size == 0


def test_log_is_clean_after_each_tick_merge_and_start(rig: LogRig) -> None:
    streams = [rig.open_stream(node_id=f"node-{number}") for number in range(3)]
    sealed = 0
    for round_number in range(8):
        with rig.open_sealer() as sealing:
            for stream in streams:
                rig.append(rig.load.http(stream, 2 + round_number))
                sealed += sealing.tick()
                report = audit_rig(rig)
                assert report.is_clean
                assert report.entries_count == report.derived_count == sealed
                assert report.published_size == sealed
            sealing.finish_merges()
        assert audit_rig(rig).is_clean
    report = audit_rig(rig)
    assert report.lock_heads_count == report.checkpoints_count
    assert "removed-manifests" in {note.check for note in report.notes}


def test_sealed_log_that_is_put_back_is_a_rollback_to_its_lock_record(
    rig: LogRig, tmp_path: Path
) -> None:
    stream = rig.open_stream()
    rig.append(rig.load.http(stream, 3))
    rig.seal()
    shutil.copytree(rig.layout.root, tmp_path / "older")
    rig.append(rig.load.http(stream, 3))
    rig.seal()
    assert audit_rig(rig).is_clean
    shutil.rmtree(rig.layout.root)
    shutil.copytree(tmp_path / "older", rig.layout.root)
    with pytest.raises(RollbackError):
        audit_rig(rig)


def test_log_with_records_that_came_again_is_clean_and_says_which_they_are(rig: LogRig) -> None:
    stream = rig.open_stream()
    frame = rig.load.http(stream, 2)
    rig.append(frame)
    rig.append(structs.replace(frame, first_seq=frame.first_seq + 2, flags=EntryFlags.DUPLICATE))
    rig.seal()
    assert audit_rig(rig).is_clean
    [segment] = rig.layout.root.rglob("*.parquet")
    rows = pq.read_table(segment, columns=["is_duplicate"])
    assert rows.column(0).to_pylist() == [False, False, False, True, True]


def test_log_with_pushes_of_counters_is_clean_and_the_large_ones_are_read(rig: LogRig) -> None:
    door = StreamDoor(
        listener="l",
        collector=CollectorFacts(
            version="1", started_ns=UnixNanos(1), config_sha256=hashlib.sha256(b"{}").digest()
        ),
        blobs=KnownBlobs(),
    )
    rig.append(blob_frame(b"{}", received_ns=UnixNanos(rig.clock.wall_ns())))
    stream = Stream()
    framer = MetricsFramer(door, stream, Peer(address="10.0.0.7:1"))
    few = envoy_message(family("server.uptime", 3.0), family("other"), claims=identifier())
    many = envoy_message(*(family(f"http.{n:0100}.downstream_rq_total") for n in range(700)))
    for message in (few, many, b"\xff" * 70_000):
        received_ns = UnixNanos(rig.clock.wall_ns())
        rig.append(*framer.frame_message(message, received_ns=received_ns))
    closed = stream.closed_frame(
        CloseReason.ENDED, detail=None, received_ns=UnixNanos(rig.clock.wall_ns())
    )
    rig.append(closed)
    rig.seal()
    assert audit_rig(rig).is_clean
    [segment] = rig.layout.root.rglob("*.parquet")
    rows = pq.read_table(segment, columns=["kind", "payload_format", "detail"]).to_pylist()
    assert [row["kind"] for row in rows] == [
        "stream_opened",
        "counter",
        "counter",
        "undecoded",
        "stream_closed",
    ]
    assert json.loads(rows[1]["detail"]) == {"left_out": 1, "uptime_s": 3}
    assert json.loads(rows[2]["detail"])["requests_started"] == 700
