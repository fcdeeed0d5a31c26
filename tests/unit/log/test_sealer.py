"""What a tick seals, and on what conditions a sealer starts and goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.errors import (
    ClockBehindError,
    ConfigError,
    DurabilityError,
    JournalDamageError,
    WriterHeldError,
)
from meshtrail.journal import JournalReader
from meshtrail.log import rows as log_rows
from meshtrail.log.options import SealOptions
from meshtrail.model.entry import EntryType
from meshtrail.model.event import Kind
from meshtrail.store.manifest_files import read_newest
from meshtrail.store.segment import read_segment
from tests.clock_statements import opened_by, stated
from tests.independent_audit import newest_files
from tests.log_builder import http_record
from tests.log_rig import MINUTE, ORIGIN, LogRig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[LogRig]:
    rig = LogRig(tmp_path)
    yield rig
    rig.close()


def events(rig: LogRig, *columns: str) -> list[dict[str, Any]]:
    """Columns of every live segment, in the order of the log."""
    rows: list[dict[str, Any]] = []
    for path in newest_files(rig.layout.root):
        if path.startswith("segments/"):
            rows += read_segment(rig.layout.root / path, list(columns)).to_pylist()
    return rows


def all_files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_idle_tick_seals_nothing_and_changes_no_file(rig: LogRig) -> None:
    stream = rig.open_stream()
    rig.append(rig.load.http(stream, 2))
    with rig.open_sealer() as sealing:
        assert sealing.tick() == 3
        before = all_files(rig.layout.root)
        assert sealing.tick() == 0
        assert all_files(rig.layout.root) == before


def test_start_of_a_new_log_signs_and_publishes_the_empty_tree(rig: LogRig) -> None:
    assert rig.seal() == 0
    log = rig.audit()
    assert log.published == (0, log.roots[0])
    assert log.entries == []


def test_tick_makes_entries_searchable_and_publishes_them(rig: LogRig) -> None:
    stream = rig.open_stream(node_id="sidecar-7")
    rig.append(rig.load.http(stream, 3), rig.load.tcp(stream, 2))
    with rig.open_sealer() as sealing:
        assert sealing.tick() == 6
        assert sealing.tree_size == 6
        log = rig.audit()
        assert log.published[0] == 6
        rows = events(rig, "log_index", "kind", "log", "url_path", "seq", "reporter_id", "entry")
    assert [row["log_index"] for row in rows] == list(range(6))
    assert [row["kind"] for row in rows] == ["stream_opened", *["request"] * 3, *["connection"] * 2]
    assert [row["url_path"] for row in rows[1:4]] == [f"/{stream}/{seq}/" for seq in (1, 2, 3)]
    assert {row["reporter_id"] for row in rows} == {"sidecar-7"}
    assert {row["log"] for row in rows} == {ORIGIN}


def test_journals_are_sealed_together_in_order_of_arrival(rig: LogRig) -> None:
    first = rig.open_stream(writer="collect")
    second = rig.open_stream(writer="serve")
    for _ in range(3):
        rig.append(rig.load.http(first, 1), writer="collect")
        rig.append(rig.load.http(second, 2), writer="serve")
    with rig.open_sealer() as sealing:
        assert sealing.tick() == 11
    log = rig.audit()
    order = [entry.stream for entry in log.entries]
    assert order == [first, second, *[first, second, second] * 3]


def test_journal_that_begins_later_is_found(rig: LogRig) -> None:
    with rig.open_sealer() as sealing:
        assert sealing.tick() == 0
        rig.open_stream(writer="serve")
        assert sealing.tick() == 1


def test_folders_that_are_no_journals_are_left_alone(rig: LogRig) -> None:
    for name in ("lost+found", "UPPER", "collect.bak"):
        (rig.layout.journals / name).mkdir()
    (rig.layout.journals / "note").write_text("a file")
    rig.open_stream()
    assert rig.seal() == 1
    assert rig.seal() == 1


def test_slice_of_blobs_alone_is_passed_over_within_a_tick(rig: LogRig) -> None:
    for number in range(5):
        rig.append(rig.load.blob(b"identifier %d" % number * 10))
    stream = rig.open_stream()
    rig.append(rig.load.http(stream, 0))
    rig.append(rig.load.http(stream, 2))
    with rig.open_sealer(read_bytes_max=60) as sealing:
        sealed = [sealing.tick() for _ in range(3)]
        assert sealed == [1, 2, 0]
    rig.audit()
    assert len(list(rig.layout.blobs.iterdir())) == 5


def test_record_too_large_for_an_entry_is_sealed_as_a_prefix_of_its_blob(rig: LogRig) -> None:
    stream = rig.open_stream()
    rig.append(rig.load.http(stream, 2, record_bytes=70_000))
    assert rig.seal() == 3
    rig.audit()
    assert len(list(rig.layout.blobs.iterdir())) == 2
    paths = [row["url_path"] for row in events(rig, "url_path")]
    assert [len(path) for path in paths[1:]] == [70_000, 70_000]


def test_batch_larger_than_what_is_derived_at_once_is_sealed_whole(
    rig: LogRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_rows, "ROW_GROUP_ROWS", 7)
    stream = rig.open_stream(node_id="a")
    rig.append(rig.load.http(stream, 20), rig.load.closed(stream))
    assert rig.seal() == 22
    rig.audit()
    rows = events(rig, "log_index", "seq", "reporter_id")
    assert rows == [{"log_index": at, "seq": at, "reporter_id": "a"} for at in range(22)]


def test_journal_files_go_only_when_what_they_hold_is_sealed(rig: LogRig) -> None:
    folder = rig.layout.journals / "collect"
    stream = rig.open_stream()
    rig.restart_collect()
    rig.append(rig.load.http(stream, 1))
    first, second = sorted(path.name for path in folder.iterdir() if path.name != "lock")
    with rig.open_sealer(read_bytes_max=1) as sealing:
        assert sealing.tick() == 1
        assert {path.name for path in folder.iterdir()} == {first, second, "lock"}
        assert sealing.tick() == 1
        assert {path.name for path in folder.iterdir()} == {second, "lock"}


def test_events_of_a_stream_opened_before_a_restart_keep_their_reporter(rig: LogRig) -> None:
    kept = rig.open_stream(node_id="kept")
    gone = rig.open_stream(node_id="gone")
    rig.append(rig.load.http(kept, 1), rig.load.closed(gone))
    assert rig.seal() == 4
    rig.append(rig.load.http(kept, 2))
    assert rig.seal() == 6
    rig.append(rig.load.closed(kept), rig.load.tcp(rig.open_stream(node_id="new"), 1))
    assert rig.seal() == 9
    rows = events(rig, "stream", "reporter_id", "kind")
    wanted = {kept: "kept", gone: "gone"}
    assert [row["reporter_id"] for row in rows] == [
        wanted.get(row["stream"], "new") for row in rows
    ]
    assert [row["kind"] for row in rows].count(Kind.STREAM_CLOSED.value) == 2


def test_second_sealer_is_refused_while_the_first_runs(rig: LogRig) -> None:
    with rig.open_sealer(), pytest.raises(WriterHeldError, match="has a sealer already"):
        rig.open_sealer()
    rig.open_sealer().close()


def test_failed_sealer_refuses_to_go_on_and_the_next_one_loses_nothing(rig: LogRig) -> None:
    stream = rig.open_stream()
    rig.append(rig.load.http(stream, 2))
    with rig.open_sealer() as sealing:
        (rig.layout.root / "tiles").rename(rig.layout.root / "elsewhere")
        with pytest.raises(DurabilityError):
            sealing.tick()
        (rig.layout.root / "elsewhere").rename(rig.layout.root / "tiles")
        with pytest.raises(DurabilityError, match="is closed, or failed before"):
            sealing.tick()
        with pytest.raises(DurabilityError, match="is closed, or failed before"):
            sealing.finish_merges()
    assert rig.seal() == 3
    rig.audit()


def test_damaged_journal_stops_the_sealer_and_nothing_of_the_tick_is_sealed(rig: LogRig) -> None:
    rig.open_stream(writer="alpha")
    rig.open_stream(writer="collect")
    rig.append(rig.load.blob(b"x" * 100))
    path = next(path for path in (rig.layout.journals / "collect").iterdir() if path.name != "lock")
    data = bytearray(path.read_bytes())
    data[data.index(b"MTJB") + 60] ^= 1
    path.write_bytes(data)
    with rig.open_sealer() as sealing:
        with pytest.raises(JournalDamageError):
            sealing.tick()
        assert sealing.tree_size == 0


def test_clock_behind_the_last_entry_is_refused_unless_it_is_accepted(rig: LogRig) -> None:
    stream = rig.open_stream()
    rig.append(rig.load.http(stream, 1))
    assert rig.seal() == 2
    last_ns = rig.audit().entries[-1].received_ns
    rig.clock.wall = last_ns - 5_000_000_000
    assert rig.seal() == 2
    rig.clock.wall -= 1
    with pytest.raises(ClockBehindError, match=r"stands 5\.0 s before the last sealed") as caught:
        rig.open_sealer()
    assert caught.value.behind_ns == 5_000_000_001
    rig.append(rig.load.http(stream, 2))
    with rig.open_sealer(is_clock_accepted=True) as sealing:
        assert sealing.tick() == 2
    log = rig.audit()
    assert {entry.received_ns for entry in log.entries[2:]} == {last_ns}


def test_refused_start_lets_go_of_the_directory(rig: LogRig) -> None:
    rig.open_stream()
    assert rig.seal() == 1
    rig.clock.step(-60 * MINUTE)
    with pytest.raises(ClockBehindError):
        rig.open_sealer()
    rig.clock.step(60 * MINUTE)
    assert rig.seal() == 1


@pytest.mark.parametrize("tick_ms", [0, -1, 1_001])
def test_tick_outside_its_bounds_is_refused(tick_ms: int) -> None:
    with pytest.raises(ConfigError, match="want 1 to 1000"):
        SealOptions(tick_ms=tick_ms)


def test_position_that_a_manifest_names_is_where_the_next_start_goes_on(rig: LogRig) -> None:
    stream = rig.open_stream()
    rig.append(rig.load.http(stream, 3))
    with rig.open_sealer() as sealing:
        sealing.tick()
        pinned = read_newest(rig.layout, rig.signer.verifier, origin=ORIGIN)
    assert pinned is not None
    (at,) = pinned.manifest.journals
    reader = JournalReader(rig.layout.journals / "collect")
    while reader.read() is not None:
        pass
    assert reader.position is not None
    assert (at.writer, at.file_number, at.offset) == (
        "collect",
        reader.position.file_number,
        reader.position.offset,
    )
    reader.close()


def test_clocks_that_were_stated_are_known_after_a_restart(rig: LogRig) -> None:
    ledger = rig.load._own(9, EntryType.STREAM_OPENED, dict(opened_by("ledger")))
    rig.append(ledger)
    streams = [rig.open_stream(node_id=name) for name in ("a", "b")]
    rig.seal()

    def state(name: str, offset_ns: int) -> None:
        facts = stated(name, offset_ns, until_ns=rig.clock.wall_ns())
        rig.append(rig.load._own(9, EntryType.CLOCK, facts))

    def record() -> list[int | None]:
        """Seal a record of each by a new sealer, and see what is known of their clocks."""
        for stream in streams:
            rig.append(rig.load.als(stream, [http_record(1)]))
        rig.seal()
        rows = events(rig, "kind", "time_offset", "time_quality")
        return [row["time_offset"] for row in rows if row["kind"] == "request"][-2:]

    state("a", 7)
    rig.seal()
    assert record() == [7, None]
    rig.clock.advance(40 * MINUTE)
    state("b", -5)
    rig.seal()
    assert record() == [7, -5]
    rig.clock.advance(40 * MINUTE)
    assert record() == [None, -5]
    rig.clock.advance(40 * MINUTE)
    assert record() == [None, None]
