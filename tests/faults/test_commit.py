from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.faults.commit import (
    DAY_NS,
    QUARTER_NS,
    choose_calls,
    list_calls,
    small_limits,
    try_failure,
    try_kill_and_power_cut,
    try_power_cut,
)
from tests.faults.fake_disk import Failure, Survival

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOW = (Failure.LOST, Failure.DONE)
WITHOUT_BYTES = (Survival.NOTHING, Survival.NAMES)
WITH_BYTES = (Survival.HALF, Survival.ZEROS, Survival.ALL)


@pytest.fixture(autouse=True)
def limits() -> Iterator[None]:
    with small_limits():
        yield


@pytest.mark.slow
def test_one_failed_call_of_each_kind_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    calls = list_calls(tmp_path / "clean")
    chosen = choose_calls(calls)
    assert len(chosen) > 30
    for number, at in enumerate(chosen):
        how = Failure.PART if calls[at].startswith("write") else HOW[number % 2]
        assert try_failure(tmp_path / str(at), at, how) is not None


@pytest.mark.slow
def test_power_cut_before_one_call_of_each_kind_loses_nothing_that_was_durable(
    tmp_path: Path,
) -> None:
    chosen = choose_calls(list_calls(tmp_path / "clean"))
    for number, at in enumerate(chosen):
        survivals = (WITHOUT_BYTES[number % 2], WITH_BYTES[number % 3])
        assert try_power_cut(tmp_path / str(at), at, survivals) is not None


@pytest.mark.slow
@pytest.mark.parametrize("later_ns", [QUARTER_NS, DAY_NS], ids=["same day", "next day"])
def test_start_makes_durable_what_a_killed_process_left(later_ns: int, tmp_path: Path) -> None:
    for at in choose_calls(list_calls(tmp_path / "clean"), is_first=True):
        try_kill_and_power_cut(tmp_path / str(at), at, later_ns=later_ns)


@pytest.mark.slow
@pytest.mark.parametrize("cuts_after", [5, *range(8, 16), 30, 60, 90])
def test_power_cut_in_the_start_after_a_kill_loses_nothing(cuts_after: int, tmp_path: Path) -> None:
    calls = list_calls(tmp_path / "clean")
    made = calls.index("mkdir data/journal/collect")
    for at in (
        calls.index("fsync data/journal", made),
        calls.index("fsync data/journal/collect", made),
        calls.index("rename data/published/checkpoint"),
    ):
        try_kill_and_power_cut(tmp_path / str(at), at, cuts_after=cuts_after)


@pytest.mark.slow
def test_start_signs_nothing_before_its_manifest_is_durable(tmp_path: Path) -> None:
    calls = list_calls(tmp_path / "clean")
    renames = [at for at, call in enumerate(calls) if re.match(r"rename .*manifest/", call)]
    # Killed before the directory was fsynced; then the power goes at some call of the start.
    for cuts_after in range(30, 50):
        try_kill_and_power_cut(tmp_path / str(cuts_after), renames[2] + 1, cuts_after=cuts_after)
