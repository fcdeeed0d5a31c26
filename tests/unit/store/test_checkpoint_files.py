from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.note import UnverifiedCheckpoint, generate_signer, sign_checkpoint, sign_note
from meshtrail.store.checkpoint_files import (
    append_checkpoint,
    checkpoint_days,
    publish_checkpoint,
    read_checkpoints_end,
    read_end,
    read_published,
    split_notes,
)
from meshtrail.store.durable import Disk
from meshtrail.store.layout import Layout
from meshtrail.units import TreeSize, UnixNanos
from tests.faults.fake_disk import TracingDisk

if TYPE_CHECKING:
    from pathlib import Path

ORIGIN = "mesh/one/1f2e3d4c"
SIGNER = generate_signer(ORIGIN)
DAY_NS = 86_400 * 1_000_000_000
NOON = UnixNanos(1_763_726_400_000_000_000)


def note_of(size: int) -> bytes:
    head = UnverifiedCheckpoint(
        origin=ORIGIN, tree_size=TreeSize(size), root_hash=size.to_bytes(32, "big")
    )
    return sign_checkpoint(head, SIGNER)


NOTES = [note_of(size) for size in (0, 9, 10**12)]
RUN = b"".join(NOTES)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    for name in ("checkpoints", "published"):
        (tmp_path / name).mkdir()
    return Layout(tmp_path)


def test_split_gives_the_whole_notes_before_every_cut_of_a_run() -> None:
    ends = [sum(map(len, NOTES[:count])) for count in range(len(NOTES) + 1)]
    for cut in range(len(RUN) + 1):
        run = split_notes(RUN[:cut])
        whole = sum(end <= cut for end in ends) - 1
        assert run.notes == NOTES[:whole], cut
        assert run.whole_bytes == ends[whole], cut


def test_split_gives_the_whole_notes_before_zeros_that_a_power_cut_left() -> None:
    for cut in range(len(NOTES[0]), len(RUN)):
        run = split_notes(RUN[:cut] + bytes(len(RUN) - cut))
        assert run.notes == split_notes(RUN[:cut]).notes, cut


def test_split_keeps_a_note_of_several_signatures_whole() -> None:
    other = generate_signer("witness.example")
    both = sign_note("a\n0\nb\n", [SIGNER, other])
    assert split_notes(both + NOTES[0]).notes == [both, NOTES[0]]


@given(data=st.binary(max_size=60) | st.text("\n— ab", max_size=40).map(str.encode))
def test_split_of_any_bytes_loses_none(data: bytes) -> None:
    run = split_notes(data)
    assert b"".join(run.notes) == data[: run.whole_bytes]


def test_checkpoint_is_synced_when_it_is_appended(layout: Layout) -> None:
    disk = TracingDisk(layout.root)
    append_checkpoint(disk, layout, NOTES[0], signed_ns=NOON)
    append_checkpoint(disk, layout, NOTES[1], signed_ns=NOON)
    assert disk.calls == [
        "write checkpoints/2025-11-21",
        "fsync checkpoints/2025-11-21",
        "fsync checkpoints",
        "write checkpoints/2025-11-21",
        "fsync checkpoints/2025-11-21",
    ]
    assert (layout.checkpoints / "2025-11-21").read_bytes() == NOTES[0] + NOTES[1]


def test_checkpoint_goes_to_its_day_and_never_before_an_older_one(layout: Layout) -> None:
    for note, signed_ns in zip(NOTES, (NOON, NOON + DAY_NS, NOON - DAY_NS), strict=True):
        append_checkpoint(Disk(), layout, note, signed_ns=UnixNanos(signed_ns))
    first, second = checkpoint_days(layout)
    assert (first.name, second.name) == ("2025-11-21", "2025-11-22")
    assert first.read_bytes() == NOTES[0]
    assert second.read_bytes() == NOTES[1] + NOTES[2]


def test_files_that_are_no_day_do_not_count(layout: Layout) -> None:
    for name in ("README", "zzz", "2025-11-21.tmp", ".2025-11-21.swp"):
        (layout.checkpoints / name).write_bytes(b"x")
    append_checkpoint(Disk(), layout, NOTES[0], signed_ns=NOON)
    assert [day.name for day in checkpoint_days(layout)] == ["2025-11-21"]


@pytest.mark.parametrize("rest", [b"", b"x", NOTES[0][:-1], bytes(50)])
@pytest.mark.parametrize("notes_count", [0, 1, 3, 900])
def test_end_of_a_run_is_its_last_whole_note_and_what_follows(
    notes_count: int, rest: bytes, tmp_path: Path
) -> None:
    notes = [note_of(size) for size in range(notes_count)]
    path = tmp_path / "run"
    path.write_bytes(b"".join(notes) + rest)
    end = read_end(path, origin=ORIGIN)
    assert end.last == (notes[-1] if notes else None)
    assert (end.whole_bytes, end.rest) == (sum(map(len, notes)), rest)


def test_end_of_a_run_that_is_not_there_is_nothing(tmp_path: Path) -> None:
    end = read_end(tmp_path / "run", origin=ORIGIN)
    assert (end.last, end.whole_bytes, end.rest) == (None, 0, b"")


def test_end_of_a_run_is_read_at_its_end_alone(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with path.open("wb") as file:
        file.truncate(1 << 40)
        file.seek(1 << 40)
        file.write(b"\n" + RUN)
    assert read_end(path, origin=ORIGIN).last == NOTES[-1]


def test_ends_go_back_to_the_newest_day_that_holds_a_checkpoint(layout: Layout) -> None:
    for name, data in {
        "2025-11-19": NOTES[0],
        "2025-11-20": NOTES[1],
        "2025-11-21": b"torn",
        "2025-11-22": b"",
    }.items():
        (layout.checkpoints / name).write_bytes(data)
    ends = read_checkpoints_end(layout, origin=ORIGIN)
    assert [end.path.name for end in ends] == ["2025-11-22", "2025-11-21", "2025-11-20"]
    assert [end.last for end in ends] == [None, None, NOTES[1]]
    assert [end.rest for end in ends] == [b"", b"torn", b""]


def test_published_checkpoint_is_replaced_whole(layout: Layout) -> None:
    assert read_published(layout) is None
    disk = TracingDisk(layout.root)
    publish_checkpoint(disk, layout, NOTES[0])
    publish_checkpoint(disk, layout, NOTES[1])
    assert read_published(layout) == NOTES[1]
    once = ["write published/checkpoint.tmp", "fsync published/checkpoint.tmp"]
    assert disk.calls == [*once, "rename published/checkpoint", "fsync published"] * 2
