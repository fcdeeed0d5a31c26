"""Short forms of the mutation campaigns; ``./dev bench mutations`` runs the long ones."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from tests.campaigns import records, watch
from tests.campaigns.watch import run_campaign

if TYPE_CHECKING:
    import pytest

SEED = 20


def test_mutated_records_are_derived_alike_from_columns_and_one_by_one() -> None:
    campaign = run_campaign("records", seed=SEED, items_min=8_000)
    assert campaign.summary()["faults"] == []
    assert campaign.totals["undecoded"] > 1_000


def test_mutated_messages_are_all_accounted_for_in_journal_entries_and_events() -> None:
    campaign = run_campaign("frames", seed=SEED, items_min=1_500)
    assert campaign.summary()["faults"] == []
    assert campaign.totals["unparsable"] > 100


def test_a_campaign_names_what_ends_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    lived: list[tuple[int, int]] = []

    def is_deadly(_: watch.Campaign, __: int, begin: int, end: int) -> bool:
        lived.append((begin, end))
        return begin <= 37 < end

    monkeypatch.setattr(watch, "_is_deadly", is_deadly)
    fault = watch._find_culprit(
        watch.Campaign("records", SEED), {"begin": 3, "items": 100}, "crash: SIGSEGV"
    )
    assert fault == {"fault": "crash: SIGSEGV", "seed": SEED, "batch": 3, "rows": [37, 38]}
    assert len(lived) < 16


def test_a_worker_that_dies_is_told_from_one_that_hangs() -> None:
    dead = watch._start("records", "--seed", "1", "--first", "0")
    os.kill(dead.pid, signal.SIGSEGV)
    assert watch._how(dead, b"") == "crash: SIGSEGV"
    watch._stop(dead)
    hanging = watch._start("records", "--seed", "1", "--first", "0")
    os.kill(hanging.pid, signal.SIGSTOP)
    assert hanging.stdout is not None
    started = time.monotonic()
    assert watch._read_line(hanging.stdout, 0.2) == b""
    assert time.monotonic() - started < 5
    watch._stop(hanging)


def test_a_difference_is_cut_down_to_the_bytes_that_show_it() -> None:
    data = bytes(range(256)) * 4
    assert records.minimise(data, lambda less: b"\x07\x08" in less) == b"\x07\x08"
