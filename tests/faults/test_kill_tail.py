from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.kill_tail import run_campaign

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_every_line_of_rotated_files_comes_once_or_a_gap_tells(tmp_path: Path) -> None:
    assert run_campaign(tmp_path, rounds=6, seed=3)
