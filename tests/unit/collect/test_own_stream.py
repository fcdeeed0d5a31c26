from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from meshtrail.collect.clock import CollectorClock
from meshtrail.collect.own_stream import OwnStream
from meshtrail.collect.payloads import CollectorFacts
from meshtrail.journal import OpenStream
from meshtrail.model.entry import EntryType
from meshtrail.units import UnixNanos
from tests.collect_rig import FakeDiag, decode_json
from tests.fake_clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshtrail.journal import Frame, GroupCommit

FACTS = CollectorFacts(version="1", started_ns=UnixNanos(1), config_sha256=bytes(32))


class Scene:
    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.fake = FakeClock()
        self.diag = FakeDiag()
        self.own = OwnStream(
            commit=cast("GroupCommit", self), clock=CollectorClock(self.fake), diag=self.diag
        )

    def put(self, frames: Iterable[Frame]) -> None:
        self.frames += frames

    def said(self) -> list[tuple[EntryType, int, dict[str, Any]]]:
        return [(f.entry_type, f.first_seq, decode_json(f.data)) for f in self.frames]


def test_own_stream_numbers_what_the_collector_says_of_itself() -> None:
    scene = Scene()
    scene.own.open(FACTS)
    scene.own.count(b'{"name":"n"}')
    scene.fake.step(5_000_000_000)
    scene.own.check_clock()
    scene.own.check_clock()
    scene.own.close()
    kinds = [(entry_type, seq) for entry_type, seq, _ in scene.said()]
    assert kinds == [
        (EntryType.STREAM_OPENED, 0),
        (EntryType.COUNTER, 1),
        (EntryType.CLOCK, 2),
        (EntryType.STREAM_CLOSED, 3),
    ]
    assert len({frame.stream for frame in scene.frames}) == 1
    assert scene.said()[0][2]["transport"] == "self"
    assert scene.said()[2][2]["step_ns"] == 5_000_000_000
    assert scene.diag.alarms() == ["clock_stepped"]


def test_streams_left_open_are_closed_with_their_last_durable_seq() -> None:
    scene = Scene()
    scene.own.close_left_open(
        {
            9: OpenStream(next_seq=29, frames_count=1, records_count=28),
            4: OpenStream(next_seq=1, frames_count=0, records_count=0),
        }
    )
    assert [(frame.stream, frame.first_seq) for frame in scene.frames] == [(4, 1), (9, 29)]
    assert scene.said()[1][2] == {
        "reason": "collector-restarted",
        "detail": "the last durable entry was seq 28",
        "records": 28,
        "frames": 1,
    }
    assert scene.diag.facts("streams_closed_after_restart") == {"streams_count": 2}


def test_nothing_is_said_of_streams_when_none_was_left_open() -> None:
    scene = Scene()
    scene.own.close_left_open({})
    assert scene.frames == []
    assert scene.diag.events == []
