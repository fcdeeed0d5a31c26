"""What tests of joining segments begin with."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.join_sources import ROWS, TABLE, Sources

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    return Sources(tmp_path)


@pytest.fixture
def three(sources: Sources) -> Sources:
    for start, end in pairwise([0, 100, 101, ROWS]):
        sources.add(TABLE.slice(start, end - start))
    return sources
