from __future__ import annotations

from meshtrail.collect.sender_refusals import TELL_EVERY_NS, SenderRefusals
from meshtrail.units import UnixNanos
from tests.collect_rig import FakeDiag

NOW = 1_795_224_685_000_000_000


class Scene:
    """Senders that are refused at some seconds."""

    def __init__(self) -> None:
        self.diag = FakeDiag()
        self.refusals = SenderRefusals(self.diag)

    def refuse(self, seconds: float, address: str = "10.0.0.5:40001") -> None:
        self.refusals.add(address=address, source="otlp", reason="unknown", now_ns=at(seconds))

    def told(self) -> list[object]:
        assert {(level, event) for level, event, _ in self.diag.events} <= {
            ("error", "sender_refused")
        }
        return [facts["refused_count"] for _, _, facts in self.diag.events]


def at(seconds: float) -> UnixNanos:
    return UnixNanos(NOW + int(seconds * 1e9))


def test_refusals_are_told_at_most_every_ten_seconds_with_their_number() -> None:
    scene = Scene()
    for seconds in (0, 1, 9.9, 10, 11, 30):
        scene.refuse(seconds)
    assert scene.told() == [1, 3, 2]
    assert scene.refusals.count == 6


def test_the_last_sender_is_told_with_the_number() -> None:
    scene = Scene()
    scene.refuse(0)
    scene.refuse(1, "10.0.0.6:1")
    scene.refuse(2, "10.0.0.7:1")
    scene.refusals.tell(now_ns=at(3))
    assert scene.diag.events[-1][2] == {
        "address": "10.0.0.7:1",
        "source": "otlp",
        "reason": "unknown",
        "refused_count": 2,
    }


def test_refusals_that_are_followed_by_none_are_told_by_a_look_once_it_is_time() -> None:
    scene = Scene()
    for seconds in (0, 1, 2):
        scene.refuse(seconds)
    last = TELL_EVERY_NS / 1e9
    scene.refusals.look(now_ns=at(last - 0.1))
    assert scene.told() == [1]
    scene.refusals.look(now_ns=at(last))
    assert scene.told() == [1, 2]


def test_a_look_tells_nothing_where_everything_was_told() -> None:
    scene = Scene()
    scene.refusals.look(now_ns=at(0))
    scene.refuse(0)
    scene.refusals.look(now_ns=at(100))
    scene.refusals.tell(now_ns=at(100))
    assert scene.told() == [1]
