from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from meshtrail.errors import ConfigError
from meshtrail.search.limits import SECONDS_MAX, SearchLimits


@pytest.mark.parametrize(
    "changed",
    [
        {"seconds_max": 0},
        {"seconds_max": SECONDS_MAX + 1},
        {"memory_bytes_max": 1 << 20},
        {"threads_count": 0},
    ],
)
def test_bounds_that_make_no_sense_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        replace(SearchLimits(), **changed)


def test_a_search_ends_before_superseded_segments_may_go() -> None:
    assert SECONDS_MAX < 15 * 60
