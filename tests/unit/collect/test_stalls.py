from __future__ import annotations

from meshtrail.collect.clock import CollectorClock
from meshtrail.collect.stalls import Stalls
from tests.collect_rig import FakeDiag, decode_json
from tests.fake_clock import START_NS, FakeClock


class Scene:
    def __init__(self) -> None:
        self.fake = FakeClock()
        self.diag = FakeDiag()
        self.sealed: list[bytes] = []
        self.stalls = Stalls(
            clock=CollectorClock(self.fake), diag=self.diag, seal=self.sealed.append
        )


def test_stall_rings_at_once_and_is_sealed_with_its_length_when_it_ends() -> None:
    scene = Scene()
    scene.stalls.stall_began("journal_full", bytes_max=5)
    assert scene.diag.events == [("error", "journal_full", {"bytes_max": 5})]
    assert scene.sealed == []
    scene.fake.advance(300)
    scene.stalls.stall_ended("journal_full")
    assert scene.diag.events[1:] == [("info", "journal_full_ended", {})]
    assert [decode_json(payload) for payload in scene.sealed] == [
        {
            "name": "collect_stalled",
            "value": 300,
            "from_ns": START_NS,
            "until_ns": START_NS + 300,
        }
    ]


def test_stall_lasts_as_long_as_any_of_its_alarms() -> None:
    scene = Scene()
    scene.stalls.stall_began("journal_full")
    scene.fake.advance(100)
    scene.stalls.stall_began("journal_disk_full")
    scene.stalls.stall_ended("journal_full")
    assert scene.sealed == []
    scene.fake.advance(100)
    scene.stalls.stall_ended("journal_disk_full")
    assert [decode_json(payload)["value"] for payload in scene.sealed] == [200]


def test_stall_that_lasts_until_the_end_of_the_process_is_sealed_too() -> None:
    scene = Scene()
    scene.stalls.finish()
    assert scene.sealed == []
    scene.stalls.stall_began("journal_full")
    scene.fake.advance(7)
    scene.stalls.finish()
    scene.stalls.finish()
    assert [decode_json(payload)["value"] for payload in scene.sealed] == [7]
