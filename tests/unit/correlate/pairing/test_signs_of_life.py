from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from meshtrail.correlate.pairing import signs_of_life
from meshtrail.correlate.pairing.happenings import IS_CALLEE
from meshtrail.correlate.pairing.signs_of_life import SignsOfLife

if TYPE_CHECKING:
    import pytest


def part(received: int, *, request_id: int = 1, flags: int = 0) -> dict[str, np.ndarray]:
    return {
        "key": np.array([42], dtype=np.uint64),
        "request_id": np.array([request_id], dtype=np.uint64),
        "received_ns": np.array([received]),
        "flags": np.array([flags], dtype=np.uint8),
    }


def test_the_other_end_of_the_same_stream_is_heard_and_nobody_else() -> None:
    life = SignsOfLife()
    life.add(part(5))
    life.add(part(7))
    assert life.last_of_other_end(part(0, flags=int(IS_CALLEE))).tolist() == [7]
    assert life.last_of_other_end(part(0)).tolist() == [0]
    assert life.last_of_other_end(part(0, request_id=2, flags=int(IS_CALLEE))).tolist() == [0]


def test_streams_are_forgotten_by_age_and_number(monkeypatch: pytest.MonkeyPatch) -> None:
    life = SignsOfLife()
    life.add(part(5))
    life.add(part(6, request_id=2))
    life.add(part(7))
    life.forget(7)
    assert len(life) == 1
    monkeypatch.setattr(signs_of_life, "STREAMS_MAX", 1)
    life.add(part(8, request_id=3))
    assert life.last_of_other_end(part(0, flags=int(IS_CALLEE))).tolist() == [0]
