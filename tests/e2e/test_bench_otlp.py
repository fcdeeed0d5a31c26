"""Requests recorded three times from real Envoys, sent again, and the benchmark that does so."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from envoy.service.accesslog.v3 import als_pb2

from bench.harness import frames as recorded
from bench.harness.export_sender import plan_exports
from bench.harness.exports import Exported, read_records
from bench.harness.floor import measure_otlp_floor
from bench.harness.otlp_recorder import NAMES, record_otlp, recording_path
from tests.rig.otlp_receiver import running_otlp_receiver
from tests.rig.recorder import ROOT

if TYPE_CHECKING:
    from pathlib import Path

REQUESTS_COUNT = 120
SEED = 7
SECONDS, RATE = "1", "2000"
TRACEPARENT = "http.request.header.traceparent"
BINARY_IDS = {"trace_id", "span_id", "parent_span_id"}
REQUEST_IDS = {
    Exported.LOGS: ("http.request.header.x-request-id", "envoy.stream_id"),
    Exported.SPANS: ("guid:x-request-id",),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recordings, as the benchmark leaves them for its next run."""
    path = tmp_path_factory.mktemp("recordings")
    facts = record_otlp(path, requests_count=REQUESTS_COUNT, seed=SEED)
    (path / "otlp.json").write_text(json.dumps(facts), encoding="utf-8")
    return path


def records_of(recording: recorded.Recording, exported: Exported) -> list[Any]:
    bodies = [recording.data[frame.start : frame.end].tobytes() for frame in recording.frames]
    return [
        record for body in bodies for _, some in read_records(body, exported) for record in some
    ]


def take_ids(records: list[Any], exported: Exported) -> Counter[tuple[str, bytes]]:
    """Request and trace id of each record, which are blanked with all that is made of them."""
    ids: Counter[tuple[str, bytes]] = Counter()
    for record in records:
        said = {one.key: one.value for one in record.attributes}
        if not record.trace_id:  # of a connection
            continue
        (request_id,) = {said[key].string_value for key in REQUEST_IDS[exported]}
        ids[request_id, record.trace_id] += 1
        if exported is Exported.LOGS:
            _, trace_id, _, _ = said[TRACEPARENT].string_value.split("-")
            assert trace_id == record.trace_id.hex()
        for key in {TRACEPARENT, *REQUEST_IDS[exported]} & said.keys():
            said[key].string_value = ""
        for name in BINARY_IDS & set(record.DESCRIPTOR.fields_by_name):
            setattr(record, name, b"")
    return ids


def test_the_same_requests_are_in_all_recordings(folder: Path) -> None:
    seen: dict[str, set[bytes]] = {}
    als = recorded.read_recording(recording_path(folder, "als"))
    seen["als"] = {
        bytes.fromhex(entry.request.request_headers["traceparent"][3:35])
        for frame in als.frames
        for entry in als_pb2.StreamAccessLogsMessage.FromString(
            als.data[frame.start : frame.end].tobytes()
        ).http_logs.log_entry
    }
    for exported in Exported:
        recording = recorded.read_recording(recording_path(folder, exported.value))
        ids = take_ids(records_of(recording, exported), exported)
        assert set(ids.values()) == {2}
        seen[exported.value] = {trace_id for _, trace_id in ids}
    assert seen["als"] == seen["logs"] == seen["spans"]
    assert len(seen["als"]) == REQUESTS_COUNT


@pytest.mark.parametrize("exported", Exported)
def test_ids_are_other_ones_in_each_pass_and_nothing_else_is(
    folder: Path, exported: Exported
) -> None:
    recording = recorded.read_recording(recording_path(folder, exported.value))
    first = records_of(recording, exported)
    spans = {record.span_id for record in first if record.span_id}
    ids = set(take_ids(first, exported))
    passes_count = 20
    for number in range(1, passes_count):
        recording.vary_ids(number)
        varied = records_of(recording, exported)
        spans |= {record.span_id for record in varied if record.span_id}
        ids |= set(take_ids(varied, exported))
        assert varied == first
    assert len({request_id for request_id, _ in ids}) == passes_count * REQUESTS_COUNT
    assert len({trace_id for _, trace_id in ids}) == passes_count * REQUESTS_COUNT
    assert len(spans) == passes_count * 2 * REQUESTS_COUNT
    recording.vary_ids(0)
    path = recording_path(folder, exported.value)
    assert recording.data.tobytes() == path.read_bytes()


@pytest.mark.parametrize("exported", Exported)
def test_parents_of_spans_are_spans_of_the_same_pass(folder: Path, exported: Exported) -> None:
    recording = recorded.read_recording(recording_path(folder, Exported.SPANS.value))
    logs = recorded.read_recording(recording_path(folder, Exported.LOGS.value))
    for number in (0, 3):
        recording.vary_ids(number)
        logs.vary_ids(number)
        spans = records_of(recording, Exported.SPANS)
        own = {span.span_id for span in spans}
        assert len(own & {span.parent_span_id for span in spans}) == REQUESTS_COUNT
        if exported is Exported.LOGS:
            of_logs = {record.span_id for record in records_of(logs, exported)} - {b""}
            assert of_logs <= own


def run_sender(
    folder: Path, exported: Exported, port: int, *options: str
) -> subprocess.CompletedProcess[str]:
    path = recording_path(folder, exported.value)
    command = [sys.executable, "-m", "bench.harness.export_sender", str(path), str(port)]
    return subprocess.run(
        [*command, exported.value, *options],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("exported", Exported)
def test_sender_repeats_the_exports_with_new_ids(folder: Path, exported: Exported) -> None:
    taken: list[bytes] = []
    lock = threading.Lock()

    def take(body: bytes) -> None:
        with lock:
            taken.append(body)

    with running_otlp_receiver(take, take_spans=take) as port:
        sender = run_sender(folder, exported, port, "--seconds", "0.5")
    assert sender.returncode == 0, sender.stderr
    ready, line, nothing = sender.stdout.split("\n")
    report = json.loads(line)
    assert (ready, nothing) == ("ready", "")
    recording = recorded.read_recording(recording_path(folder, exported.value))
    planned = plan_exports(recording, exported)
    want: list[bytes] = []
    for number in itertools.count():
        recording.vary_ids(number)
        want += [recording.data[one.start : one.end].tobytes() for one in planned]
        if len(want) >= report["frames_count"]:
            break
    want = want[: report["frames_count"]]
    assert sorted(taken) == sorted(want)
    assert report["frames_bytes"] == sum(map(len, want))
    records = [one for body in want for _, some in read_records(body, exported) for one in some]
    assert report["entries_count"] == len(records)
    assert report["entries_bytes"] == sum(record.ByteSize() for record in records)


def test_sender_ends_with_a_message_when_exports_are_refused(folder: Path) -> None:
    def refuse(_: bytes) -> None:
        raise RuntimeError("the receiver takes nothing")

    with running_otlp_receiver(refuse) as port:
        sender = run_sender(folder, Exported.LOGS, port, "--seconds", "0.1")
    assert sender.returncode == 1
    assert "export_sender: of " in sender.stderr
    assert "Traceback" not in sender.stderr


@pytest.mark.parametrize("exported", Exported)
def test_floor_names_what_every_stage_takes(folder: Path, exported: Exported) -> None:
    recording = recorded.read_recording(recording_path(folder, exported.value))
    facts = measure_otlp_floor(recording, exported)
    stages = {"cut", "slice", "leaf_hash", "tree", "decode_and_map", "parquet"}
    assert facts["us_per_entry"].keys() == facts["us_per_mib"].keys() == stages
    assert all(value > 0 for value in facts["us_per_mib"].values())
    assert facts["entries_count"] == sum(
        one.entries_count for one in plan_exports(recording, exported)
    )


def test_benchmark_seals_all_that_it_sends_and_compares(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "otlp.json"
    command = [sys.executable, str(ROOT / "bench" / "otlp.py"), "--recordings", str(folder)]
    command += ["--requests", str(REQUESTS_COUNT), "--seed", str(SEED)]
    done = subprocess.run(
        [*command, "--seconds", SECONDS, "--rate", RATE, "--no-floor", "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "recording" not in done.stderr
    facts = json.loads(done.stdout)
    assert facts == json.loads(out.read_text())
    (phases,) = facts["rounds"]
    assert list(phases) == [*NAMES, "logs_http"]
    for phase in phases.values():
        assert phase["exit_code_of_up"] == 0
        assert phase["sealed_count"] >= phase["sent"]["entries_count"] > 0
        assert phase["sealed_message_bytes_per_s"] >= phase["sealed_record_bytes_per_s"]
        assert 0 < phase["ledger_share_of_cpu_percent"] < 100
        assert {"collect", "seal", "derive", "ledger"} <= phase["processes"].keys()
    shares = facts["otlp_share_percent_of_als_bytes"]
    assert list(shares) == ["logs", "spans", "logs_http"]
    for name, share in shares.items():
        measured, als = phases[name], phases["als"]
        want = 100 * measured["record_bytes_per_cpu_s"] / als["record_bytes_per_cpu_s"]
        assert share["of_records_for_the_same_cpu"] == round(want, 1)
        assert (share["of_records_sealed"] is None) == (not als["sealed_record_bytes_per_s"])
    assert facts["ledger_share_of_cpu_percent"].keys() == phases.keys()
