from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from meshtrail.app.run_file import RunFile
from tests.unit.api.exchange import FixedClock, serving_client
from tests.unit.search.small_log import SmallLog, make_log

if TYPE_CHECKING:
    from prometheus_client import Metric

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "metrics.md"
Told = dict[str, dict[str, object]]
EVENTFUL: Told = {
    "up": {
        "processes": {
            "collect": {"pid": 7, "is_ready": True},
            "ledger": {"pid": 8, "is_ready": True},
            "seal": {"pid": None, "is_ready": False},
        },
        "deaths": [{"process": "seal", "cause": "SIGKILL", "count": 2}],
        "alarms": {},
    },
    "collect": {
        "entries": 40,
        "bytes": 9_000,
        "streams": 3,
        "senders_refused": 6,
        "alarms": {"journal_full": 1},
    },
    "ledger": {
        "passed_ns": 5,
        "reporters": 2,
        "silent": 1,
        "gaps": {"dropped": 1},
        "missing": {"dropped": 7},
        "findings": {"silent": 1},
        "alarms": {},
    },
    "seal": {"ticks": 12, "tick_seconds": 1.5, "alarms": {}},
}
QUIET: Told = {
    "up": EVENTFUL["up"] | {"deaths": []},
    "collect": EVENTFUL["collect"] | {"senders_refused": 0, "alarms": {}},
    "ledger": EVENTFUL["ledger"] | {"silent": 0, "gaps": {}, "missing": {}, "findings": {}},
    "seal": EVENTFUL["seal"],
}
"""Nothing has happened yet that an alert is about."""
ASKED = re.compile(r'(meshtrail_\w+)(?:\{(\w+)=~?"([^"]+)"\})?')
ROW = re.compile(r"^\| `(meshtrail_\w+)`(?: by ((?:`\w+`(?:, )?)+))? \| (\w+) \|", re.MULTILINE)


@pytest.fixture
def log(tmp_path: Path) -> SmallLog:
    made = make_log(tmp_path / "data")
    made.add_segment([{}] * 3)
    made.add_segment([{}] * 2, is_published=False)
    return made


def scrape(log: SmallLog) -> dict[str, Metric]:
    async def run() -> str:
        async with serving_client(log) as client:
            await client.get("/api/search?q=pth:/x")
            await client.get("/api/search")
            answer = await client.get("/metrics")
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
            return answer.body.decode()

    return {family.name: family for family in text_string_to_metric_families(asyncio.run(run()))}


def scrape_running(log: SmallLog, told: Told = EVENTFUL) -> dict[str, Metric]:
    """With the files that the processes of `up` write beside it."""

    def run_file(name: str) -> RunFile:
        return RunFile(log.layout, name, clock=FixedClock(), read_facts=lambda: told[name])

    folder = log.layout.journals / "collect"
    folder.mkdir()
    with run_file("up"), run_file("collect"), run_file("ledger"), run_file("seal"):
        while len(list((log.layout.root / "run").glob("*.json"))) < len(told):
            pass
        return scrape(log)


def value(family: Metric, **labels: str) -> float:
    (found,) = [sample.value for sample in family.samples if sample.labels == labels]
    return found


def test_every_metric_is_documented_with_its_kind_and_labels_and_no_other_is(
    log: SmallLog,
) -> None:
    documented = {
        name: (kind, set(re.findall(r"\w+", labels)))
        for name, labels, kind in ROW.findall(DOCUMENT.read_text(encoding="utf-8"))
    }
    families = scrape_running(log)
    shown = {}
    for family in families.values():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert family.documentation.endswith("."), name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        shown[name] = (family.type, labels)
    assert shown.keys() == documented.keys()
    for name, (kind, labels) in shown.items():
        assert documented[name][0] == kind, name
        # A counter that nothing was counted in shows no labels yet.
        assert labels in (documented[name][1], set()), name


def rules() -> dict[str, str]:
    """The expressions of the document's alert rules, by the name of the alert."""
    _, _, block = DOCUMENT.read_text(encoding="utf-8").partition("```yaml\n")
    (group,) = yaml.safe_load(block.partition("```")[0])["groups"]
    return {rule["alert"]: rule["expr"] for rule in group["rules"]}


def test_every_series_that_a_rule_asks_for_is_there_before_anything_happens(
    log: SmallLog,
) -> None:
    families = scrape_running(log, QUIET)
    for alert, expression in rules().items():
        for name, label, wanted in ASKED.findall(expression):
            shown = families[name.removesuffix("_total")].samples
            assert shown, (alert, name)
            for one in wanted.split("|") if label else ():
                assert one in {sample.labels[label] for sample in shown}, (alert, name, one)


@pytest.mark.parametrize(
    "incident",
    [
        "increase(meshtrail_missing_records_total[",
        "meshtrail_reporters_silent > 0",
        'increase(meshtrail_findings_total{cause=~"key_shared|name_shared|unpaired"}[',
        "increase(meshtrail_senders_refused_total[",
        'increase(meshtrail_alarms_total{alarm=~"certificates_refused|inventory_refused|tokens_',
        "increase(meshtrail_process_deaths_total[",
    ],
)
def test_what_happens_once_has_a_rule(incident: str) -> None:
    assert any(incident in expression for expression in rules().values())


def test_figures_are_those_of_the_files(log: SmallLog) -> None:
    families = scrape_running(log)
    assert value(families["meshtrail_tree_size"]) == 3
    assert value(families["meshtrail_sealed_entries"]) == 5
    assert value(families["meshtrail_sealer_running"]) == 0
    assert value(families["meshtrail_live_segments"], tier="0") == 2
    assert value(families["meshtrail_log_readable"]) == 1
    segments = sum(path.stat().st_size for path in log.layout.segments.iterdir())
    assert value(families["meshtrail_folder_bytes"], folder="segments") == segments
    assert value(families["meshtrail_disk_free_bytes"]) > 0
    assert value(families["meshtrail_received_entries"], writer="collect") == 40
    assert value(families["meshtrail_streams_open"], writer="collect") == 3
    assert value(families["meshtrail_senders_refused"], writer="collect") == 6
    assert value(families["meshtrail_seal_tick_seconds"]) == 1.5
    assert value(families["meshtrail_process_up"], process="collect") == 1
    assert value(families["meshtrail_process_up"], process="seal") == 0
    assert value(families["meshtrail_process_deaths"], process="seal", cause="SIGKILL") == 2
    assert value(families["meshtrail_alarms"], process="collect", alarm="journal_full") == 1
    assert value(families["meshtrail_errors"], error="QueryError") == 1
    assert value(families["meshtrail_searches"], outcome="ok") == 1


def test_a_log_that_does_not_hold_is_a_metric_and_the_others_are_still_there(
    log: SmallLog,
) -> None:
    note = log.layout.published.read_bytes()
    log.layout.published.write_bytes(note.replace(b"\n3\n", b"\n4\n"))
    families = scrape(log)
    assert value(families["meshtrail_log_readable"]) == 0
    assert "meshtrail_tree_size" not in families
    assert value(families["meshtrail_errors"], error="SignatureError") >= 1
    assert "meshtrail_build_info" in families
