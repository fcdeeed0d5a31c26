from __future__ import annotations

import pytest

from meshtrail.errors import ConfigError
from meshtrail.journal import JournalOptions


@pytest.mark.parametrize(
    "bounds",
    [
        {"journal_bytes_max": 100, "file_bytes_max": 51, "batch_bytes_max": 10},
        {"journal_bytes_max": 100, "file_bytes_max": 10, "batch_bytes_max": 51},
        {"file_bytes_max": 0},
        {"batch_bytes_max": 0},
        {"batch_bytes_max": 11, "pending_bytes_max": 10},
        {"linger_ms": -1},
    ],
)
def test_bounds_that_could_never_work_are_refused(bounds: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        JournalOptions(**bounds)


def test_default_bounds_are_those_of_the_format() -> None:
    options = JournalOptions()
    assert options.file_bytes_max == 64 << 20
    assert options.journal_bytes_max == 1 << 30


@pytest.mark.parametrize(
    ("file_bytes_max", "count"),
    [(1_000, 16), (1 << 20, 1_024), (64 << 20, 65_536), (1 << 30, 65_536)],
)
def test_digests_of_exports_take_a_64th_of_a_file_at_most(file_bytes_max: int, count: int) -> None:
    options = JournalOptions(
        file_bytes_max=file_bytes_max, journal_bytes_max=1 << 32, batch_bytes_max=500
    )
    assert options.exports_count_max == count
