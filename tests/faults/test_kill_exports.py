from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.kill_exports import run_campaign

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_and_what_comes_again_is_flagged(tmp_path: Path) -> None:
    assert run_campaign(tmp_path, rounds=6, seed=3)
