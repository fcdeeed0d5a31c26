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
