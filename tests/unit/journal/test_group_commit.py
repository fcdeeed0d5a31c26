from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING

import pytest

from meshtrail.errors import DurabilityError
from meshtrail.journal import GroupCommit, JournalOptions, JournalReader, JournalWriter
from meshtrail.journal.files import list_files
from tests.fake_clock import FakeClock
from tests.fake_disks import FailingDisk, SmallDisk
from tests.journal_frames import read_all, record_frame

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

SMALL = JournalOptions(
    file_bytes_max=1_000,
    journal_bytes_max=4_000,
    batch_bytes_max=1_000,
    pending_bytes_max=2_000,
)
BIG_FILES = JournalOptions(batch_bytes_max=1_000, pending_bytes_max=2_000)


class Heard:
    """A `StallListener` that remembers."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.began = asyncio.Event()

    def stall_began(self, alarm: str, **_: object) -> None:
        self.calls.append(f"began {alarm}")
        self.began.set()

    def stall_ended(self, alarm: str) -> None:
        self.calls.append(f"ended {alarm}")


async def no_sleep(_: float) -> None:
    await asyncio.sleep(0)


def run(writer: JournalWriter, scene: Callable[[GroupCommit, Heard], Awaitable[None]]) -> list[str]:
    """Play a scene while the commits run, then close; gives what the listener heard."""

    async def play() -> list[str]:
        heard = Heard()
        commit = GroupCommit(writer, stalls=heard, sleep=no_sleep)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(commit.run())
            await scene(commit, heard)
            commit.close()
        return heard.calls

    return asyncio.run(play())


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "collect"


def test_frames_are_committed_in_the_order_in_which_they_were_put(directory: Path) -> None:
    data = [b"%d" % index for index in range(500)]

    async def scene(commit: GroupCommit, _: Heard) -> None:
        for item in data:
            commit.put([record_frame(item)])
            await asyncio.sleep(0)

    with JournalWriter(directory, clock=FakeClock()) as writer:
        assert run(writer, scene) == []
    assert read_all(JournalReader(directory)) == data


def test_flush_returns_when_everything_put_before_is_durable(directory: Path) -> None:
    async def scene(commit: GroupCommit, _: Heard) -> None:
        commit.put([record_frame(b"one"), record_frame(b"two")])
        await commit.flush()
        assert read_all(JournalReader(directory)) == [b"one", b"two"]
        await commit.flush()

    with JournalWriter(directory, clock=FakeClock()) as writer:
        run(writer, scene)


def test_batches_keep_to_their_bound_and_a_larger_frame_goes_alone(directory: Path) -> None:
    assert batches_of(directory, [[size] for size in [400, 400, 400, 5_000, 10, 10]]) == [
        [400, 400],
        [400],
        [5_000],
        [10, 10],
    ]


def test_frames_put_together_are_committed_together(directory: Path) -> None:
    # After a crash there must be all frames of an export and its digest, or none of them.
    assert batches_of(directory, [[400], [400, 400], [400, 5_000, 10], [10, 10]]) == [
        [400],
        [400, 400],
        [400, 5_000, 10],
        [10, 10],
    ]


def batches_of(directory: Path, puts: list[list[int]]) -> list[list[int]]:
    """Sizes of frames, by batch."""

    async def scene(commit: GroupCommit, _: Heard) -> None:
        for sizes in puts:
            commit.put([record_frame(bytes(size)) for size in sizes])

    with JournalWriter(directory, clock=FakeClock(), options=SMALL) as writer:
        run(writer, scene)
    reader = JournalReader(directory)
    return [part.rows["frame_bytes"].tolist() for part in iter(lambda: reader.read(1), None)]


def test_senders_wait_while_more_is_pending_than_the_bound(directory: Path) -> None:
    async def scene(commit: GroupCommit, heard: Heard) -> None:
        entered = 0

        async def send(count: int) -> None:
            nonlocal entered
            for _ in range(count):
                await commit.room()
                entered += 1
                commit.put([record_frame(bytes(400))])
                assert commit._pending_bytes <= BIG_FILES.pending_bytes_max + 700

        async with asyncio.TaskGroup() as tasks:
            for _ in range(20):
                tasks.create_task(send(5))
            await asyncio.sleep(0)
            # Of twenty that were let in at once, those find room that fit: 3 of 700 bytes.
            assert entered == 3
        assert entered == 100
        assert heard.calls == []

    with JournalWriter(directory, clock=FakeClock(), options=BIG_FILES) as writer:
        run(writer, scene)
    assert len(read_all(JournalReader(directory))) == 100


def test_full_journal_holds_senders_until_files_are_removed_and_loses_nothing(
    directory: Path,
) -> None:
    sent = [b"%02d" % index + bytes(300) for index in range(40)]
    sealed: list[bytes] = []

    async def scene(commit: GroupCommit, heard: Heard) -> None:
        async def send() -> None:
            for item in sent:
                await commit.room()
                commit.put([record_frame(item)])

        reader = JournalReader(directory)
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(send())
            await heard.began.wait()
            await commit.flush()
            assert not sending.done()
            while not sending.done():
                sealed.extend(read_all(reader))
                assert reader.position is not None
                reader.remove_before(reader.position.file_number)
                await asyncio.sleep(0)
        await commit.flush()
        sealed.extend(read_all(reader))

    with JournalWriter(directory, clock=FakeClock(), options=SMALL) as writer:
        heard = run(writer, scene)
    assert heard[:2] == ["began journal_full", "ended journal_full"]
    assert sealed == sent


def test_journal_that_is_full_at_the_start_raises_the_alarm_at_once(directory: Path) -> None:
    with JournalWriter(directory, clock=FakeClock(), options=SMALL) as writer:
        while not writer.is_full():
            writer.append([record_frame(bytes(300))])

    async def scene(commit: GroupCommit, heard: Heard) -> None:
        await heard.began.wait()
        commit.put([record_frame(b"still written")])
        await commit.flush()

    with JournalWriter(directory, clock=FakeClock(), options=SMALL) as writer:
        assert run(writer, scene) == ["began journal_full"]
    assert read_all(JournalReader(directory))[-1] == b"still written"


def test_full_disk_raises_one_alarm_holds_senders_and_keeps_every_frame(directory: Path) -> None:
    disk = SmallDisk(500)

    async def scene(commit: GroupCommit, heard: Heard) -> None:
        commit.put([record_frame(b"a" * 300), record_frame(b"b" * 300)])
        await heard.began.wait()
        room = asyncio.Event()

        async def wait_for_room() -> None:
            await commit.room()
            room.set()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(wait_for_room())
            for _ in range(20):
                await asyncio.sleep(0)
            assert not room.is_set()
            disk.room_bytes = 10_000
        await commit.flush()

    with JournalWriter(directory, clock=FakeClock(), disk=disk) as writer:
        heard = run(writer, scene)
    assert heard == ["began journal_disk_full", "ended journal_disk_full"]
    assert read_all(JournalReader(directory)) == [b"a" * 300, b"b" * 300]


def test_disk_that_stays_full_ends_a_closing_journal_with_an_error(directory: Path) -> None:
    async def scene(commit: GroupCommit, _: Heard) -> None:
        commit.put([record_frame(b"a" * 600)])

    with (
        JournalWriter(directory, clock=FakeClock(), disk=SmallDisk(500)) as writer,
        pytest.raises(ExceptionGroup) as caught,
    ):
        run(writer, scene)
    assert caught.group_contains(DurabilityError, match="1 frames were received and could not")


def test_failed_fsync_ends_the_commits_and_refuses_further_frames(directory: Path) -> None:
    disk = FailingDisk()
    with JournalWriter(directory, clock=FakeClock(), disk=disk) as writer:
        disk.fails_at = len(disk.calls) + 1

        async def play() -> None:
            commit = GroupCommit(writer, stalls=Heard(), sleep=no_sleep)
            commit.put([record_frame(b"x")])
            outcomes = await asyncio.gather(commit.run(), commit.flush(), return_exceptions=True)
            committed, flushed = outcomes
            assert isinstance(committed, DurabilityError)
            assert committed.errno == errno.EIO
            assert isinstance(flushed, DurabilityError)
            assert "1 frames were not committed" in flushed.message
            await commit.room()
            with pytest.raises(DurabilityError, match="takes no more frames"):
                commit.put([record_frame(b"y")])

        asyncio.run(play())


def test_released_senders_still_wait_while_more_is_pending_than_the_bound(
    directory: Path,
) -> None:
    async def scene(commit: GroupCommit, _: Heard) -> None:
        commit.release()
        commit.put([record_frame(bytes(2_000))])
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(commit.room())
            await asyncio.sleep(0)
            assert not waiting.done()

    with JournalWriter(directory, clock=FakeClock(), options=BIG_FILES) as writer:
        run(writer, scene)


def test_released_senders_put_what_they_hold_although_the_journal_is_full(directory: Path) -> None:
    with JournalWriter(directory, clock=FakeClock(), options=SMALL) as writer:
        while not writer.is_full():
            writer.append([record_frame(bytes(300))])

        async def scene(commit: GroupCommit, heard: Heard) -> None:
            await heard.began.wait()

            async def send() -> None:
                await commit.room()
                commit.put([record_frame(b"held")])

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(send())
                await asyncio.sleep(0)
                commit.release()

        run(writer, scene)
    assert read_all(JournalReader(directory))[-1] == b"held"
    assert len(list_files(directory)) > 1
