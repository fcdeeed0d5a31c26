from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from meshtrail.api.figure_metrics import FigureMetrics
from meshtrail.api.known_labels import ALARMS, DEATH_CAUSES, FINDING_CAUSES, GAP_CAUSES
from meshtrail.app.figures import Figures, MergeBacklog
from meshtrail.app.run_file import STALE_NS, RunFacts
from meshtrail.app.status import JournalStatus, Status
from tests.unit.search.small_log import ORIGIN, make_log

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.note import VerifierKey

NOW_NS = 2_000_000_000_000_000_000
SECOND = 1_000_000_000


@pytest.fixture
def key(tmp_path: Path) -> VerifierKey:
    return make_log(tmp_path).signer.verifier


def figures_with(**run: RunFacts) -> Figures:
    status = Status(
        origin=ORIGIN,
        tree_size=7,
        root_hash="00",
        sealed_size=9,
        manifest_number=3,
        last_received_ns=NOW_NS - 4 * SECOND,
        segments_count=2,
        stored_bytes=10,
        sealer="unknown",
        journals=(
            JournalStatus(
                writer="collect",
                unsealed_bytes=5,
                files_count=1,
                oldest_unsealed_ns=NOW_NS - 3 * SECOND,
            ),
        ),
    )
    return Figures(
        now_ns=NOW_NS,
        status=status,
        segments_by_tier={0: 2},
        backlog=MergeBacklog(1, 8),
        folder_bytes={"segments": 10},
        disk_free_bytes=100,
        disk_bytes=200,
        run=run,
    )


def told(process: str, age_ns: int = 0, **facts: object) -> RunFacts:
    return RunFacts(
        process=process, pid=1, started_ns=NOW_NS, written_ns=NOW_NS - age_ns, facts=facts
    )


def samples(figures: Figures | None, key: VerifierKey) -> dict[str, dict[str, float]]:
    """The value of each sample by metric and by its labels."""
    metrics = FigureMetrics(figures, key=key, own_alarms={"tampering_found": 2})
    families = text_string_to_metric_families(generate_latest(metrics).decode())
    return {
        family.name.removeprefix("meshtrail_"): {
            " ".join(sample.labels.values()): sample.value for sample in family.samples
        }
        for family in families
    }


def counted(by_labels: dict[str, float]) -> dict[str, float]:
    """What is not 0."""
    return {labels: value for labels, value in by_labels.items() if value}


def test_lags_and_times_are_in_seconds(key: VerifierKey) -> None:
    found = samples(figures_with(), key)
    assert found["seal_lag_seconds"] == {"": 3.0}
    assert found["last_received_timestamp_seconds"] == {"": NOW_NS / SECOND - 4}
    assert (found["tree_size"], found["sealed_entries"]) == ({"": 7.0}, {"": 9.0})
    assert (found["merges_due"], found["merge_due_entries"]) == ({"": 1.0}, {"": 8.0})


def test_what_is_not_known_is_left_out_and_not_guessed(key: VerifierKey) -> None:
    found = samples(figures_with(), key)
    assert "sealer_running" not in found
    assert "seal_ticks" not in found
    assert found["process_up"] == {}


def test_a_process_that_no_longer_tells_anything_is_down_and_its_streams_unknown(
    key: VerifierKey,
) -> None:
    processes = {"collect": {"pid": 1, "is_ready": True}, "seal": {"pid": None, "is_ready": False}}
    counts = {"entries": 5, "bytes": 50, "streams": 2, "senders_refused": 4, "alarms": {}}

    def found(age_ns: int) -> dict[str, dict[str, float]]:
        up = told("up", age_ns, processes=processes, deaths=[], alarms={})
        return samples(figures_with(up=up, collect=told("collect", age_ns, **counts)), key)

    alive, gone = found(0), found(STALE_NS + 1)
    assert alive["process_up"] == {"up": 1.0, "collect": 1.0, "seal": 0.0}
    assert gone["process_up"] == {"up": 0.0, "collect": 0.0, "seal": 0.0}
    assert (alive["streams_open"], gone["streams_open"]) == ({"collect": 2.0}, {})
    assert gone["received_entries"] == {"collect": 5.0}
    assert gone["senders_refused"] == {"collect": 4.0}


def test_what_is_missing_is_told_by_cause(key: VerifierKey) -> None:
    ledger = told(
        "ledger",
        passed_ns=NOW_NS - 7 * SECOND,
        reporters=3,
        silent=1,
        gaps={"dropped": 2, "restart": 1},
        missing={"dropped": 40, "restart": 0},
        findings={"silent": 1},
    )
    found = samples(figures_with(ledger=ledger), key)
    assert counted(found["missing_records"]) == {"dropped": 40.0}
    assert counted(found["gaps"]) == {"dropped": 2.0, "restart": 1.0}
    assert counted(found["findings"]) == {"silent": 1.0}
    assert (found["reporters"], found["reporters_silent"]) == ({"": 3.0}, {"": 1.0})
    assert found["ledger_lag_seconds"] == {"": 7.0}


def test_what_never_happened_is_counted_from_zero(key: VerifierKey) -> None:
    nothing: dict[str, int] = {}
    found = samples(
        figures_with(
            up=told("up", processes={"seal": {"pid": 1, "is_ready": True}}, deaths=[], alarms={}),
            collect=told("collect", entries=0, bytes=0, streams=0, senders_refused=0, alarms={}),
            ledger=told(
                "ledger",
                passed_ns=0,
                reporters=0,
                silent=0,
                gaps=nothing,
                missing=nothing,
                findings=nothing,
                alarms={},
            ),
        ),
        key,
    )
    assert found["missing_records"] == found["gaps"] == dict.fromkeys(GAP_CAUSES, 0.0)
    assert found["findings"] == dict.fromkeys(FINDING_CAUSES, 0.0)
    assert found["process_deaths"] == {f"{cause} seal": 0.0 for cause in DEATH_CAUSES}
    assert found["senders_refused"] == {"collect": 0.0}
    alarms = {f"{alarm} {process}" for process, known in ALARMS.items() for alarm in known}
    assert found["alarms"].keys() == alarms


def test_alarms_of_all_processes_stand_side_by_side_even_when_the_log_does_not_read_back(
    key: VerifierKey,
) -> None:
    collect = told("collect", alarms={"journal_full": 3})
    assert counted(samples(figures_with(collect=collect), key)["alarms"]) == {
        "journal_full collect": 3.0,
        "tampering_found serve": 2.0,
    }
    broken = samples(None, key)
    assert broken["log_readable"] == {"": 0.0}
    # Of the others nothing is known: a 0 here would make what they counted before count again.
    assert broken["alarms"] == {"request_failed serve": 0.0, "tampering_found serve": 2.0}
    assert set(broken) == {"log_info", "log_readable", "alarms"}
