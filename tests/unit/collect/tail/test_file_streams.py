from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshtrail.collect.tail.file_streams import printable
from meshtrail.collect.tail.parts import Lines
from meshtrail.collect.tail.steps import Step
from meshtrail.model.entry import EntryFlags, EntryType, PayloadFormat
from meshtrail.units import UnixNanos
from tests.collect_rig import check_streams
from tests.tail_rig import TailRig, tail_of

if TYPE_CHECKING:
    from pathlib import Path


def test_a_stream_says_what_its_lines_are_and_who_they_are_claimed_to_be_of(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"one\n")
    rig = TailRig(tmp_path, tail_of(path, format="linkerd", reporter="proxy-1", cluster="east"))
    rig.turn()
    opened, record = rig.entries()
    assert opened.json | {"detail": None} == {
        "transport": "file",
        "writer": None,
        "service": "linkerd",
        "listener": None,
        "peer": None,
        "auth": "none",
        "authenticated": {
            "spiffe_id": None, "certificate_sha256": None, "token": None, "reporters": None,
        },
        "claimed": {"node_id": "proxy-1", "node_cluster": "east", "log_name": str(path)},
        "identifier_sha256": None,
        "identifier_bytes": None,
        "detail": None,
        "config_sha256": bytes(32).hex(),
        "collector": {"version": "1", "started_ns": 1},
    }  # fmt: skip
    found = path.stat()
    assert opened.json["detail"] == (
        f"from byte 0 of inode {found.st_ino} on device {found.st_dev}"
    )
    assert (record.payload_format, record.payload) == (PayloadFormat.LINKERD, b"one")
    rig.close()


def test_a_long_line_is_sealed_as_its_beginning_with_a_gap_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"one\n" + b"x" * 150 + b"\ntwo\n")
    rig = TailRig(tmp_path, tail_of(path, reporter="proxy-1"), line_bytes_max=100)
    rig.turn()
    _, one, beginning, gap, two = rig.entries()
    assert (one.payload, two.payload) == (b"one", b"two")
    assert (beginning.payload_format, beginning.payload, beginning.flags) == (
        PayloadFormat.BODY_FRAME, b"x" * 100, EntryFlags(0),
    )  # fmt: skip
    now_ns = rig.clock.wall_ns()
    assert gap.entry_type is EntryType.GAP
    assert gap.json == {
        "about": "proxy-1",
        "cause": "line_too_long",
        "path": str(path),
        "from_ns": now_ns,
        "until_ns": now_ns,
        "missing_min": 0,
        "missing_max": 0,
        "bytes_min": 50,
        "bytes_max": 50,
        "detail": "the line at byte 4 has 150 bytes, the first 100 are sealed",
    }
    check_streams(rig.entries())
    rig.close()


def test_a_gap_without_a_reporter_is_about_the_path_and_counts_what_was_seen(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"one\ntwo")
    rig = TailRig(tmp_path, tail_of(path))
    rig.turn()
    path.write_bytes(b"")
    rig.turn()
    gap = rig.entries()[-1].json
    assert (gap["about"], gap["cause"], gap["bytes_min"]) == (str(path), "truncated", 3)
    assert (gap["missing_min"], gap["missing_max"], gap["bytes_max"]) == (1, None, None)
    rig.close()


def test_all_streams_are_closed_when_the_collector_ends(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.log").write_bytes(b"1\n2\n")
    rig = TailRig(tmp_path, tail_of(tmp_path / "*.log"))
    rig.turn()
    rig.writer.append(rig.streams.close_all(received_ns=UnixNanos(rig.clock.wall)))
    assert rig.streams.close_all(received_ns=UnixNanos(1)) == []
    closed = [e.json for e in rig.entries() if e.entry_type is EntryType.STREAM_CLOSED]
    assert closed == [{"reason": "shutdown", "detail": None, "records": 2, "frames": 1}] * 2
    assert rig.writer.streams_count == 0
    rig.close()


def test_lines_without_a_file_are_a_mistake_of_our_own(tmp_path: Path) -> None:
    rig = TailRig(tmp_path)
    with pytest.raises(TypeError, match="belongs to a file"):
        rig.streams.frames(
            Step(None, [Lines(b"1\n", 1)], []), looked_ns=1, received_ns=UnixNanos(1)
        )
    rig.close()


def test_a_path_that_is_no_utf8_is_shown_with_escapes(tmp_path: Path) -> None:
    path = tmp_path / "caf\udce9.log"
    path.write_bytes(b"one\n")
    rig = TailRig(tmp_path, tail_of(tmp_path / "*.log"))
    rig.turn()
    rig.crash()
    rig.turn()
    assert rig.lines() == [b"one"]
    assert printable(str(path)) == f"{tmp_path}/caf\\xe9.log"
    opened = rig.entries()[0]
    assert opened.json["claimed"]["log_name"] == printable(str(path))
    rig.close()
