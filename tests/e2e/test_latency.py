"""The latency benchmark, short: a real Envoy, `meshtrail up`, and every request accounted for."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from bench.harness.latency_run import Variant
from bench.harness.sidecar import issue_identities, sidecar_config, without_access_logs

if TYPE_CHECKING:
    from pathlib import Path

RATE = 100
SECONDS = 1
WARM_UP_S = 0.5
SERVICE_MS = 5
PAIRS_COUNT = 2
REQUESTS_OF_A_RUN = 1 + int(RATE * (SECONDS + WARM_UP_S))


@pytest.fixture(scope="module")
def done(checkout: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(checkout / "bench" / "latency.py"), "--cores", "shared"]
    command += ["--runs", str(PAIRS_COUNT), "--seconds", str(SECONDS)]
    command += ["--warm-up-s", str(WARM_UP_S), "--rate", str(RATE), "--connections", "3"]
    command += ["--service-ms", str(SERVICE_MS)]
    return subprocess.run(command, capture_output=True, check=False, text=True, timeout=240)


@pytest.fixture(scope="module")
def facts(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_latency_seals_each_request_of_the_runs_with_access_log_and_no_other(
    facts: dict[str, Any],
) -> None:
    assert facts["sealed"] == {
        "requests_sent_count": PAIRS_COUNT * REQUESTS_OF_A_RUN,
        "requests_sealed_count": PAIRS_COUNT * REQUESTS_OF_A_RUN,
        "verdict_of_verify": "clean",
    }
    assert facts["exit_code_of_up"] == 0


@pytest.mark.slow
def test_latency_measures_every_variant_in_each_pair(facts: dict[str, Any]) -> None:
    by_pair = [facts["runs"][at : at + 3] for at in range(0, 3 * PAIRS_COUNT, 3)]
    assert len(facts["runs"]) == 3 * PAIRS_COUNT
    for first, *others in by_pair:
        assert first["variant"] == Variant.NO_ENVOY
        assert {one["variant"] for one in others} == {Variant.WITHOUT, Variant.WITH}
        assert {one["measured_count"] for one in others} == {RATE * SECONDS}
        assert all(one["p99_us"] >= one["p50_us"] > one["sent_late_p50_us"] for one in others)


@pytest.mark.slow
def test_latency_reports_the_difference_of_its_own_figures(facts: dict[str, Any]) -> None:
    latency, difference = facts["latency"], facts["difference"]
    for name in ("p50", "p99"):
        apart = latency[Variant.WITH][f"{name}_us"] - latency[Variant.WITHOUT][f"{name}_us"]
        assert difference[name]["mean_us"] == pytest.approx(apart, abs=0.3)
        low, high = difference[name]["interval_95_us"]
        assert low < difference[name]["mean_us"] < high
    assert min(one["p50_us"] for one in latency.values()) >= SERVICE_MS * 1_000
    assert 0 < facts["recorder_cpu_percent_of_machine"]["mean"] < 100


@pytest.mark.slow
def test_latency_tells_people_its_verdict_away_from_the_result(
    done: subprocess.CompletedProcess[str], facts: dict[str, Any]
) -> None:
    sent = PAIRS_COUNT * REQUESTS_OF_A_RUN
    assert f"sealed {sent} of {sent} requests" in done.stderr
    mark = "kept" if facts["verdict"]["p99_is_kept"] else "MISSED"
    assert f"p99: {mark}, known to within" in done.stderr


def test_sidecars_of_both_variants_differ_by_their_access_logs_alone(tmp_path: Path) -> None:
    config = sidecar_config(issue_identities(tmp_path), application_port=1, collector_port=2)
    stripped = without_access_logs(config)
    listener = config["static_resources"]["listeners"][0]
    connections = listener.pop("access_log")
    http = listener["filter_chains"][0]["filters"][0]["typed_config"]
    requests = http.pop("access_log")
    assert [one["name"] for one in [*connections, *requests]] == [
        "envoy.access_loggers.tcp_grpc",
        "envoy.access_loggers.http_grpc",
    ]
    assert stripped == config
