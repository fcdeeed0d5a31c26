from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.faults.readers import Campaign

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_no_search_fails_repeats_or_misses_while_a_log_is_sealed_and_merged(tmp_path: Path) -> None:
    said = Campaign(tmp_path, queries_count=150, seed=3).run()
    assert re.search(r"[1-9]\d* merges", said), said
