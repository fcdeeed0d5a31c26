from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.kill import run_campaign

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_killed_processes_lose_nothing_that_was_journaled_and_repeat_nothing(
    tmp_path: Path,
) -> None:
    assert run_campaign(tmp_path, rounds=5, seed=11)
