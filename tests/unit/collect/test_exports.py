from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.collect.clock import CollectorClock
from meshtrail.collect.exports import Exports, Taken, sender_of
from meshtrail.collect.open_streams import Caller, OpenStreams
from meshtrail.collect.opening import KnownBlobs, StreamDoor
from meshtrail.collect.otlp_cut import OtlpExport
from meshtrail.collect.payloads import CollectorFacts
from meshtrail.collect.peer import AUTH_MTLS, Peer
from meshtrail.collect.tally import Tally
from meshtrail.errors import (
    BusyError,
    DurabilityError,
    InputError,
    MeshtrailError,
    RequestError,
    UnavailableError,
)
from meshtrail.journal import Framing, RecentExports
from meshtrail.model.entry import EntryFlags, EntryType, PayloadFormat
from meshtrail.sources.otlp_frame import Signal
from meshtrail.units import UnixNanos
from tests.collect_rig import FakeDiag, decode_json
from tests.fake_clock import FakeClock
from tests.otlp_messages import export, export_of, field, record, resource, resource_part

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshtrail.journal import Frame

MTLS = Peer(address="10.0.0.7:1", auth=AUTH_MTLS, spiffe_id="spiffe://a/b")


class FakeJournal:
    """A `GroupCommit` in memory, whose room and durability a test can take away."""

    def __init__(self) -> None:
        self.puts: list[list[Frame]] = []
        self.has_room = asyncio.Event()
        self.is_durable = asyncio.Event()
        self.has_room.set()
        self.is_durable.set()
        self.fails = False

    async def room(self) -> None:
        await self.has_room.wait()

    def put(self, frames: Iterable[Frame]) -> None:
        if self.fails:
            raise DurabilityError("over")
        self.puts.append(list(frames))

    async def flush(self) -> None:
        await self.is_durable.wait()


class Scene:
    def __init__(self, *, known: bytes = b"", hold_seconds_max: float = 60.0) -> None:
        self.journal = FakeJournal()
        self.diag = FakeDiag()
        self.tally = Tally(self.diag)
        self.is_gone = False
        self.known = RecentExports(known)
        self.exports = Exports(
            journal=self.journal,
            streams=OpenStreams(streams_max=9, connection_streams_max=9, tally=self.tally),
            known=self.known,
            clock=CollectorClock(FakeClock()),
            diag=self.diag,
            tally=self.tally,
            hold_seconds_max=hold_seconds_max,
        )
        facts = CollectorFacts(version="1", started_ns=UnixNanos(1), config_sha256=bytes(32))
        self.door = StreamDoor(listener="l", collector=facts, blobs=KnownBlobs())

    async def take(
        self,
        body: bytes,
        *,
        peer: Peer = MTLS,
        connection: str = "c",
        signal: Signal = Signal.LOGS,
        is_json: bool = False,
    ) -> Taken:
        caller = Caller(
            door=self.door,
            transport="grpc",
            connection=connection,
            peer=peer,
            is_gone=lambda: self.is_gone,
        )
        return await self.exports.take(
            OtlpExport(body=body, signal=signal, is_json=is_json), caller
        )

    @property
    def frames(self) -> list[Frame]:
        return [frame for put in self.journal.puts for frame in put]

    def of(self, framing: Framing) -> list[Frame]:
        return [frame for frame in self.frames if frame.framing is framing]

    def records(self) -> list[Frame]:
        return [
            frame for frame in self.frames if frame.entry_type is EntryType.RECORD and frame.stream
        ]

    def told(self) -> dict[str, dict[str, object]]:
        self.tally.tell()
        return {event: facts for _, event, facts in self.diag.events}


def test_all_of_an_export_is_put_together_with_its_digest() -> None:
    async def scene() -> None:
        at = Scene()
        two = [resource_part([record(name)], of=resource(name)) for name in "ab"]
        assert await at.take(export(*two)) == Taken(2)
        (put,) = at.journal.puts
        framings = [frame.framing for frame in put]
        opening = [Framing.BLOB, Framing.WHOLE, Framing.OTLP]
        assert framings == [*opening, *opening, Framing.EXPORT]
        assert len(put[-1].data) == 16
        assert put[-1].data in at.known

    asyncio.run(scene())


def test_an_export_is_not_acknowledged_before_it_is_durable() -> None:
    async def scene() -> None:
        at = Scene()
        at.journal.is_durable.clear()
        async with asyncio.TaskGroup() as tasks:
            taking = tasks.create_task(at.take(export_of("a")))
            for _ in range(10):
                await asyncio.sleep(0)
            assert len(at.journal.puts) == 1
            assert not taking.done()
            at.journal.is_durable.set()
        assert taking.result() == Taken(1)

    asyncio.run(scene())


@pytest.mark.parametrize("what", ["has_room", "is_durable"])
def test_a_sender_is_held_for_a_time_and_then_told_to_come_again(what: str) -> None:
    async def scene() -> None:
        at = Scene(hold_seconds_max=0.01)
        getattr(at.journal, what).clear()
        with pytest.raises(UnavailableError, match="nothing could be journaled"):
            await at.take(export_of("a"))
        # What was put is journaled once it can be; what was not, never was.
        assert len(at.journal.puts) == (what == "is_durable")
        getattr(at.journal, what).set()
        assert await at.take(export_of("a")) == Taken(1)
        flags = [frame.flags for frame in at.records()]
        assert flags == ([EntryFlags(0)] if what == "has_room" else [EntryFlags(0), 8])

    asyncio.run(scene())


def test_an_export_that_comes_again_is_flagged_and_its_digest_not_repeated() -> None:
    async def scene() -> None:
        at = Scene()
        for _ in range(3):
            await at.take(export_of("a", "b"))
        assert [frame.flags for frame in at.records()] == [0, 8, 8]
        assert [frame.records_count for frame in at.records()] == [2, 2, 2]
        assert len(at.of(Framing.EXPORT)) == 1
        assert at.told()["exports_repeated"]["count"] == 2

    asyncio.run(scene())


def test_an_export_that_comes_again_after_a_restart_is_flagged() -> None:
    async def scene() -> None:
        before = Scene()
        await before.take(export_of("a"), peer=Peer(address="127.0.0.1:1"))
        (digest,) = before.of(Framing.EXPORT)
        after = Scene(known=digest.data)
        await after.take(export_of("a"), peer=Peer(address="127.0.0.1:2"), connection="d")
        assert [frame.flags for frame in after.records()] == [EntryFlags.DUPLICATE]

    asyncio.run(scene())


@pytest.mark.parametrize(
    "other",
    [
        {"peer": Peer(address="10.0.0.7:1", auth=AUTH_MTLS, spiffe_id="spiffe://a/c")},
        {"peer": Peer(address="10.0.0.7:1")},
        {"signal": Signal.TRACES},
        {"is_json": True},
        {"body": export_of("b")},
    ],
    ids=["identity", "not authenticated", "signal", "encoding", "body"],
)
def test_only_the_same_of_the_same_sender_comes_again(other: dict[str, Any]) -> None:
    async def scene() -> None:
        at = Scene()
        await at.take(export_of("a"))
        try:
            await at.take(**{"body": export_of("a"), **other})
        except InputError:
            assert "is_json" in other
        assert [frame.flags for frame in at.records()] == [0, 0]

    asyncio.run(scene())


def test_senders_are_the_same_whatever_port_or_new_certificate_they_come_with() -> None:
    mtls: dict[str, Any] = {"auth": AUTH_MTLS, "spiffe_id": "spiffe://a/b"}
    again = Peer(address="10.0.0.8:2", certificate_sha256=b"new", detail="d", **mtls)
    assert sender_of(MTLS) == sender_of(again)
    assert sender_of(Peer(address="[::1]:5")) == sender_of(Peer(address="[::1]:6"))
    assert sender_of(Peer(address="10.0.0.1:5")) != sender_of(Peer(address="10.0.0.2:5"))
    first = Peer(address="a:1", auth=AUTH_MTLS, certificate_sha256=b"1")
    second = Peer(address="a:1", auth=AUTH_MTLS, certificate_sha256=b"2")
    assert sender_of(first) != sender_of(second)


def test_an_export_without_records_waits_for_nothing_and_becomes_nothing() -> None:
    async def scene() -> None:
        at = Scene()
        at.journal.is_durable.clear()
        assert await at.take(b"") == Taken()
        assert await at.take(export(field(1, resource()))) == Taken()
        assert at.journal.puts == []

    asyncio.run(scene())


def test_what_is_no_export_is_durable_before_it_is_refused() -> None:
    async def scene() -> None:
        at = Scene()
        with pytest.raises(InputError, match="not an OTLP export"):
            await at.take(b"\xff\xff")
        opened, whole, digest = at.frames
        assert "not an OTLP export" in decode_json(opened.data)["detail"]
        assert (whole.data, whole.payload_format) == (b"\xff\xff", PayloadFormat.OTLP_FRAME)
        assert digest.framing is Framing.EXPORT
        assert at.told()["exports_kept_whole"]["count"] == 1

    asyncio.run(scene())


def test_what_is_over_the_bounds_is_taken_in_part() -> None:
    async def scene() -> None:
        at = Scene()
        body = export(resource_part([b""] * 1_100, of=None))
        taken = await at.take(body)
        assert taken.rejected_count == 1_100
        assert "1100 records" in taken.reason
        assert "kept whole" in taken.reason
        assert [frame.data for frame in at.records()] == [body]

    asyncio.run(scene())


def test_a_mistake_of_our_own_keeps_the_export_whole_and_raises_an_alarm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: OtlpExport) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(OtlpExport, "cut", fail)

    async def scene() -> None:
        at = Scene()
        with pytest.raises(MeshtrailError, match="the collector failed") as caught:
            await at.take(export_of("a"))
        assert "secret" not in caught.value.message
        assert [frame.data for frame in at.records()] == [export_of("a")]
        assert at.diag.alarms() == ["export_failed"]

    asyncio.run(scene())


def test_nothing_is_taken_of_a_sender_that_has_gone_or_after_the_end() -> None:
    async def scene() -> None:
        at = Scene()
        at.is_gone = True
        with pytest.raises(RequestError, match="has gone"):
            await at.take(export_of("a"))
        at.is_gone = False
        at.exports.close()
        with pytest.raises(UnavailableError, match="stopping"):
            await at.take(export_of("a"))
        assert at.journal.puts == []

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("error", "is_stopping", "reason"),
    [(None, False, "ended"), (OSError("reset"), False, "cancelled"), (None, True, "shutdown")],
)
def test_the_streams_of_a_lost_connection_are_closed_with_the_reason(
    error: Exception | None, reason: str, *, is_stopping: bool
) -> None:
    async def scene() -> None:
        at = Scene()
        await at.take(export_of("a"))
        if is_stopping:
            at.exports.stop()
        at.exports.lose("c", error)
        at.exports.lose("c", error)
        closed = at.frames[-1]
        assert closed.entry_type is EntryType.STREAM_CLOSED
        assert decode_json(closed.data)["reason"] == reason
        assert len(at.journal.puts) == 2

    asyncio.run(scene())


def test_a_journal_that_failed_is_not_asked_to_close_streams() -> None:
    async def scene() -> None:
        at = Scene()
        await at.take(export_of("a"))
        at.journal.fails = True
        at.exports.lose("c", None)
        assert at.diag.facts("streams_left_open")["count"] == 1

    asyncio.run(scene())


def test_refusals_are_told_as_alarms_where_evidence_is_held_up() -> None:
    at = Scene()
    assert at.exports.refuse(BusyError("full")).http_status == 429
    assert at.exports.refuse(InputError("bad")).http_status == 400
    assert at.exports.refuse(ZeroDivisionError("x")).http_status == 500
    assert set(at.told()) == {
        "request_failed",
        "senders_turned_away",
        "requests_refused",
    }
    assert at.diag.alarms() == ["request_failed", "senders_turned_away"]
