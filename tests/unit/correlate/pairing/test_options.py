from __future__ import annotations

import pytest

from meshtrail.correlate.pairing import PairingOptions
from meshtrail.errors import ConfigError
from tests.rig.pairing_runs import SECOND

MINUTE = 60 * SECOND


@pytest.mark.parametrize(
    "wrong",
    [
        {"window_ns": 0},
        {"settle_ns": SECOND // 2},
        {"grace_ns": 10 * SECOND},
        {"late_ns": -1},
        {"open_max": 0},
    ],
)
def test_options_that_contradict_one_another_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="pairing"):
        PairingOptions(**wrong)


def test_a_replay_is_as_long_as_what_waits_and_what_it_could_have_met() -> None:
    options = PairingOptions()
    assert options.replay_ns == (2 * (60 + 300) + 3_600 + 900) * SECOND
    assert options.retried_ns == (2 * 60 + 300 + 3_600) * SECOND
