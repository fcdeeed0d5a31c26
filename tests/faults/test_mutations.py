"""Short forms of the mutation campaigns; ``./dev bench mutations`` runs the long ones."""

from __future__ import annotations

import os
import random  # noqa: TID251 - seeded: a failure comes again
import signal
import time

import pytest

from meshtrail.collect.xfcc import parse_elements
from meshtrail.model.entry import EntryType, PayloadFormat
from meshtrail.sources.mappings import MAPPINGS
from meshtrail.sources.own_entries import OWN_KINDS
from tests.campaigns import exports, readers, records, watch
from tests.campaigns.exports import EXPORT_TARGETS
from tests.campaigns.otlp_seeds import export_seeds, json_export_seeds
from tests.campaigns.readers import READER_TARGETS
from tests.campaigns.record_targets import RECORD_TARGETS
from tests.campaigns.watch import run_campaign

SEED = 20


def test_mutated_records_are_derived_alike_from_columns_and_one_by_one() -> None:
    campaign = run_campaign("records", seed=SEED, items_min=6_000)
    assert campaign.summary()["faults"] == []
    assert campaign.totals["undecoded"] > 1_000
    assert campaign.totals["statements"] > 10
    assert min(campaign.totals[name] for name in RECORD_TARGETS) > 20


def test_mutated_messages_are_all_accounted_for_in_journal_entries_and_events() -> None:
    campaign = run_campaign("frames", seed=SEED, items_min=1_500)
    assert campaign.summary()["faults"] == []
    assert campaign.totals["unparsable"] > 100


def test_mutated_exports_are_all_accounted_for_in_journal_entries_and_events() -> None:
    campaign = run_campaign("exports", seed=SEED, items_min=1_000)
    assert campaign.summary()["faults"] == []
    assert 200 < campaign.totals["refused"] < campaign.totals["kept_whole"]
    assert min(campaign.totals[name] for name in EXPORT_TARGETS) > 100


def test_mutated_texts_are_read_or_refused_in_bounded_time() -> None:
    campaign = run_campaign("readers", seed=SEED, items_min=5_000)
    assert campaign.summary()["faults"] == []
    assert campaign.totals["refused"] > 1_000
    assert min(campaign.totals[name] for name in READER_TARGETS) > 100


def test_every_payload_that_is_decoded_is_bent() -> None:
    bent = {target.payload_format for target in RECORD_TARGETS.values()}
    assert bent == {*MAPPINGS, PayloadFormat.MESHTRAIL_JSON}
    types = {target.entry_type for target in RECORD_TARGETS.values()}
    assert types == {EntryType.RECORD, *OWN_KINDS}


def test_what_is_bent_is_good_before() -> None:
    for name, said in EXPORT_TARGETS.items():
        if said is None:
            continue
        seeds = (json_export_seeds if said[1] else export_seeds)(said[0])
        for body in seeds:
            item = exports.Item(name, body)
            cut = item.export.cut()
            assert cut.refusal is None, name
            assert exports.find_fault(item, cut) is None, name
    mutators = [(name, one.make(random.Random(1))) for name, one in RECORD_TARGETS.items()]  # noqa: S311 - to be run again
    batch = [
        records.Record(name, *RECORD_TARGETS[name][:2], mutator.valid())
        for name, mutator in mutators
        for _ in range(20)
    ]
    report = records.check_batch(batch)
    assert report["differences"] == []
    assert report["undecoded"] == 0


@pytest.mark.parametrize("header", readers.HEADERS)
def test_the_plain_reader_of_certificate_headers_finds_what_the_real_one_does(header: str) -> None:
    assert readers.read_elements_plainly(header) == parse_elements(header)


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
