from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from meshtrail.collect.als import AlsFramer
from meshtrail.collect.clock import CollectorClock
from meshtrail.collect.opening import KnownBlobs, StreamDoor
from meshtrail.collect.payloads import CloseReason, CollectorFacts
from meshtrail.collect.peer import Peer
from meshtrail.collect.receiving import Receiving
from meshtrail.collect.stream import Stream
from meshtrail.errors import DurabilityError
from meshtrail.model.entry import EntryType
from meshtrail.units import UnixNanos
from tests.als_messages import als_message, http_record, identifier
from tests.collect_rig import FakeDiag, decode_json
from tests.fake_clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshtrail.journal import Frame

MESSAGE = als_message(claims=identifier(), http=[http_record()])


class FakeCommit:
    """A `GroupCommit` in memory, whose room a test can take away."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.has_room = asyncio.Event()
        self.has_room.set()
        self.fails = False

    async def room(self) -> None:
        await self.has_room.wait()

    def put(self, frames: Iterable[Frame]) -> None:
        if self.fails:
            raise DurabilityError("over")
        self.frames += frames


class Messages:
    """A sender."""

    def __init__(self, *messages: bytes | None) -> None:
        self.left = list(messages)

    async def read(self) -> bytes | None:
        return self.left.pop(0) if self.left else None


class Scene:
    def __init__(self) -> None:
        self.commit = FakeCommit()
        self.diag = FakeDiag()
        facts = CollectorFacts(version="1", started_ns=UnixNanos(1), config_sha256=bytes(32))
        self.stream = Stream()
        door = StreamDoor(listener="l", collector=facts, blobs=KnownBlobs())
        self.framer = AlsFramer(door, self.stream, Peer(address="p"))
        self.receiving = Receiving(
            stream=self.stream,
            framer=self.framer,
            commit=self.commit,
            clock=CollectorClock(FakeClock()),
            diag=self.diag,
            message_bytes_max=1_000,
        )

    def closing(self) -> dict[str, object]:
        last = self.commit.frames[-1]
        assert last.entry_type is EntryType.STREAM_CLOSED
        return decode_json(last.data)

    def seqs(self) -> list[int]:
        return [frame.first_seq for frame in self.commit.frames if frame.stream]


def test_messages_are_put_until_the_end_and_the_closing_states_their_totals() -> None:
    async def play() -> None:
        scene = Scene()
        await scene.receiving.receive(Messages(MESSAGE, MESSAGE, MESSAGE))
        scene.receiving.close(CloseReason.ENDED)
        # The second and the third say again who they are: each is kept whole besides.
        assert scene.closing() == {"reason": "ended", "detail": None, "records": 5, "frames": 5}
        assert scene.seqs() == list(range(7))
        assert scene.receiving.messages_count == 3
        assert scene.receiving.error is None

    asyncio.run(play())


def test_nothing_is_put_and_nothing_more_is_read_while_there_is_no_room() -> None:
    async def play() -> None:
        scene = Scene()
        scene.commit.has_room.clear()
        sender = Messages(MESSAGE, MESSAGE)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(scene.receiving.receive(sender))
            for _ in range(10):
                await asyncio.sleep(0)
            assert scene.commit.frames == []
            assert len(sender.left) == 1
            scene.commit.has_room.set()
        assert scene.receiving.messages_count == 2

    asyncio.run(play())


def test_stream_is_closed_once_and_takes_nothing_afterwards() -> None:
    async def play() -> None:
        scene = Scene()
        await scene.receiving.receive(Messages(MESSAGE))
        scene.receiving.close(CloseReason.SHUTDOWN)
        scene.receiving.close(CloseReason.CANCELLED, "later")
        count = len(scene.commit.frames)
        await scene.receiving.receive(Messages(MESSAGE))
        assert len(scene.commit.frames) == count
        assert scene.closing()["reason"] == "shutdown"

    asyncio.run(play())


def test_message_that_waits_for_room_is_put_before_the_closing() -> None:
    async def play() -> None:
        scene = Scene()
        scene.commit.has_room.clear()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(scene.receiving.receive(Messages(MESSAGE)))
            for _ in range(10):
                await asyncio.sleep(0)
            scene.receiving.close(CloseReason.SHUTDOWN)
            scene.commit.has_room.set()
        assert scene.closing()["records"] == 1
        assert scene.receiving.messages_count == 1

    asyncio.run(play())


def test_stream_that_never_sent_anything_leaves_no_trace() -> None:
    async def play() -> None:
        scene = Scene()
        await scene.receiving.receive(Messages())
        scene.receiving.close(CloseReason.ENDED)
        assert scene.commit.frames == []

    asyncio.run(play())


@pytest.mark.parametrize("before", [0, 2])
def test_message_over_the_limit_ends_its_stream_with_an_error(before: int) -> None:
    async def play() -> None:
        scene = Scene()
        await scene.receiving.receive(Messages(*[MESSAGE] * before, bytes(1_001), MESSAGE))
        want = "a message of 1001 bytes was refused, at most 1000 are taken"
        assert scene.receiving.error == want
        scene.receiving.close(CloseReason.ENDED)
        assert scene.closing()["reason"] == "error"
        assert scene.closing()["detail"] == want
        assert scene.seqs() == list(range(len(scene.seqs())))

    asyncio.run(play())


def test_fault_of_the_collector_on_one_stream_ends_that_stream_and_rings() -> None:
    class Broken(Messages):
        async def read(self) -> bytes | None:
            if not self.left:
                raise ZeroDivisionError("bug")
            return await super().read()

    async def play() -> None:
        scene = Scene()
        await scene.receiving.receive(Broken(MESSAGE))
        scene.receiving.close(CloseReason.ENDED)
        assert scene.diag.alarms() == ["stream_failed"]
        assert scene.closing()["reason"] == "error"
        assert "ZeroDivisionError" in str(scene.closing()["detail"])

    asyncio.run(play())


def test_failure_of_the_journal_is_not_taken_for_a_fault_of_one_stream() -> None:
    async def play() -> None:
        scene = Scene()
        scene.commit.fails = True
        with pytest.raises(DurabilityError):
            await scene.receiving.receive(Messages(MESSAGE))
        assert scene.diag.alarms() == []

    asyncio.run(play())
