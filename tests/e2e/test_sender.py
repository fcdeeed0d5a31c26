"""The ingest benchmark's sender as a process: what arrives is what it was given and reports."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from envoy.data.accesslog.v3 import accesslog_pb2
from envoy.service.accesslog.v3 import als_pb2

from bench.harness import frames as recorded
from tests.rig.receiver import running_receiver
from tests.rig.recorder import ROOT

if TYPE_CHECKING:
    from pathlib import Path

RECORDS_PER_FRAME = 10
FRAMES_PER_LOG = 20
LOGS = 2
STREAMS = 3
FACTS = [
    "entries_count",
    "entries_bytes",
    "frames_count",
    "frames_bytes",
    "passes_count",
    "streams_count",
    "elapsed_s",
    "entries_per_s",
    "cpu_us_per_entry",
]


def make_frame(log: int, number: int) -> bytes:
    message = als_pb2.StreamAccessLogsMessage()
    if not number:
        message.identifier.log_name = f"log {log}"
        message.identifier.node.id = f"proxy {log}" * 10_000
    for at in range(RECORDS_PER_FRAME):
        place = (log * FRAMES_PER_LOG + number) * RECORDS_PER_FRAME + at
        request_id = f"00000000-0000-4000-8000-{place:012x}"
        record = accesslog_pb2.HTTPAccessLogEntry(request={"request_id": request_id})
        record.request.path = "/" * 1700
        message.http_logs.log_entry.append(record)
    data: bytes = message.SerializeToString()
    return data


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "frames.bin"
    writer = recorded.FrameWriter(path)
    for number, log in itertools.product(range(FRAMES_PER_LOG), range(LOGS)):
        writer.write(log, make_frame(log, number))
    writer.close()
    assert recorded.write_ids(path) == LOGS * FRAMES_PER_LOG * RECORDS_PER_FRAME
    return path


class Taken:
    """What a receiver got, by stream."""

    def __init__(self) -> None:
        self.streams: dict[int, list[bytes]] = defaultdict(list)
        self._lock = threading.Lock()

    def take(self, stream: int, message: bytes) -> None:
        with self._lock:
            self.streams[stream].append(message)


def run_sender(recording: Path, port: int, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "bench.harness.sender", str(recording), str(port)),
            *("--streams", str(STREAMS), *options),
        ],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


def run_to_the_end(recording: Path, *options: str) -> tuple[dict[str, Any], list[list[bytes]]]:
    """The sender's report, and what arrived on each stream."""
    taken = Taken()
    with running_receiver(taken.take) as port:
        sender = run_sender(recording, port, *options)
    assert sender.returncode == 0, sender.stderr
    ready, report, nothing = sender.stdout.split("\n")
    assert (ready, nothing) == ("ready", "")
    return json.loads(report), list(taken.streams.values())


def expect_streams(path: Path, frames_count: int) -> list[list[bytes]]:
    """What must stand in each stream when that many frames were sent."""
    loaded = recorded.read_recording(path)
    streams: dict[int, list[list[bytes]]] = {}
    sent = itertools.count()
    turns: dict[int, itertools.cycle[list[bytes]]] = {}
    for pass_number in itertools.count():
        loaded.vary_ids(pass_number)
        for frame in loaded.frames:
            data = loaded.data[frame.start : frame.end].tobytes()
            identifier, rest = recorded.split_identifier(data)
            if identifier and frame.stream not in streams:
                streams[frame.stream] = [[identifier] for _ in range(STREAMS)]
                turns[frame.stream] = itertools.cycle(streams[frame.stream])
            if next(sent) == frames_count:
                return [stream for opened in streams.values() for stream in opened]
            next(turns[frame.stream]).append(rest)
    raise AssertionError("passes do not end")


def test_sender_repeats_the_recording_in_turns_with_new_ids(recording: Path) -> None:
    report, streams = run_to_the_end(recording, "--seconds", "0.5")
    assert list(report) == FACTS
    assert report["streams_count"] == len(streams) == LOGS * STREAMS
    assert report["passes_count"] >= 3
    assert report["frames_count"] + len(streams) == sum(map(len, streams))
    assert report["entries_count"] == report["frames_count"] * RECORDS_PER_FRAME
    assert sorted(streams) == sorted(expect_streams(recording, report["frames_count"]))


def test_sender_keeps_the_rate_that_it_is_told(recording: Path) -> None:
    report, streams = run_to_the_end(recording, "--seconds", "1", "--rate", "1000")
    assert report["elapsed_s"] >= 1.0
    # It may be a burst of 5 ms and a frame ahead; how far behind is the machine's business.
    assert 0 < report["entries_count"] <= report["elapsed_s"] * 1000 + 5 + RECORDS_PER_FRAME
    assert sorted(streams) == sorted(expect_streams(recording, report["frames_count"]))


def test_sender_ends_with_a_message_when_a_stream_is_refused(recording: Path) -> None:
    def refuse(_stream: int, _message: bytes) -> None:
        raise RuntimeError("the receiver takes nothing")

    with running_receiver(refuse) as port:
        sender = run_sender(recording, port, "--seconds", "20")
    assert sender.returncode == 1
    assert "sender: the server ended stream" in sender.stderr
    assert "Traceback" not in sender.stderr
