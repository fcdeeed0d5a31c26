"""The one-thread floor: what each stage's work costs with nothing around it, on the same records.

Best of several rounds, CPU time of one thread, microseconds for each entry. A stage of the running
product cannot be cheaper; how far it lies above is what the product adds.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from bench.harness.export_sender import plan_exports
from bench.harness.exports import Exported
from bench.harness.sender import plan_frames
from meshtrail.model.entry import EntryHeader, EntryType, PayloadFormat
from meshtrail.model.event import SEGMENT_SCHEMA
from meshtrail.sources.als_decode import http_decoder
from meshtrail.sources.als_slices import slice_messages
from meshtrail.sources.derive import derive_events
from meshtrail.sources.otlp_frame import cut_export
from meshtrail.sources.otlp_slices import slice_exports
from meshtrail.sources.streams import Streams
from meshtrail.store.segment import write_segment
from meshtrail.units import LeafIndex, UnixNanos

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bench.harness.frames import Recording

ENTRIES_COUNT = 65_536
OTLP_ENTRIES_COUNT = 32_768
FORMATS = {Exported.LOGS: PayloadFormat.OTLP_LOG, Exported.SPANS: PayloadFormat.OTLP_SPAN}
ROUNDS = 3
STREAM = 4_611_686_018_427_387_904
RECEIVED_NS = UnixNanos(1_795_000_000_000_000_000)
ARRIVAL_STEP_NS = 16_000
GRPC_SECONDS = 8.0


def measure_floor(recording: Recording, *, path: Path, root: Path) -> dict[str, Any]:
    """Every stage's floor.

    Args:
        recording: the recorded frames.
        path: of the recording, for the sender's process.
        root: of the checkout, where the sender and the sink are started.

    Returns:
        JSON-ready: microseconds of CPU for each entry, by stage.
    """
    with one_thread():
        messages, counts = _http_messages(recording)
        records = slice_messages(messages, PayloadFormat.ALS_HTTP, counts)
        stages: dict[str, Callable[[], object]] = {
            "slice": lambda: slice_messages(messages, PayloadFormat.ALS_HTTP, counts),
            "decode": lambda: http_decoder().decode(records),
            **plan_stages(records, PayloadFormat.ALS_HTTP),
        }
        figures = measure_stages(stages, len(records))
    return {"entries_count": len(records), "us_per_entry": figures | _grpc_floor(path, root)}


def measure_otlp_floor(recording: Recording, exported: Exported) -> dict[str, Any]:
    """The floor of the stages of a recording of OTLP exports.

    Args:
        recording: the recorded exports.
        exported: what they hold.

    Returns:
        JSON-ready: microseconds of CPU for each entry, and for each MiB of records, by stage.
        ``cut`` is the framing that the collector's door looks at.
    """
    payload_format = FORMATS[exported]
    bodies: list[bytes] = []
    counts: list[int] = []
    records_bytes = 0
    for export in plan_exports(recording, exported, exports_max=OTLP_ENTRIES_COUNT):
        if sum(counts) < OTLP_ENTRIES_COUNT:
            bodies.append(recording.data[export.start : export.end].tobytes())
            counts.append(export.entries_count)
            records_bytes += export.entries_bytes
    with one_thread():
        messages, numbers = pa.array(bodies, pa.binary()), np.array(counts, dtype=np.int64)
        records = slice_exports(messages, numbers)
        stages: dict[str, Callable[[], object]] = {
            "cut": lambda: [cut_export(body) for body in bodies],
            "slice": lambda: slice_exports(messages, numbers),
            **plan_stages(records, payload_format),
        }
        figures = measure_stages(stages, len(records))
    mib = records_bytes / len(records) / 2**20
    return {
        "entries_count": len(records),
        "us_per_entry": figures,
        "us_per_mib": {name: round(value / mib) for name, value in figures.items()},
    }


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Have Arrow work in this thread alone."""
    cpu_count, io_count = pa.cpu_count(), pa.io_thread_count()
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    try:
        yield
    finally:
        pa.set_cpu_count(cpu_count)
        pa.set_io_thread_count(io_count)


def plan_stages(
    records: pa.Array, payload_format: PayloadFormat
) -> dict[str, Callable[[], object]]:
    """What is done with records of any kind once they are cut out of their messages."""
    entries = _make_entries(records, payload_format)
    plain = entries.to_pylist()
    leaf_hashes = [hashlib.sha256(b"\0" + entry).digest() for entry in plain]
    table = _derive(entries).append_column(SEGMENT_SCHEMA.field("entry"), entries)
    return {
        "leaf_hash": lambda: [hashlib.sha256(b"\0" + entry).digest() for entry in plain],
        "tree": lambda: _fold(leaf_hashes),
        "decode_and_map": lambda: _derive(entries),
        "parquet": lambda: write_segment(pa.BufferOutputStream(), [table], table.num_rows),
    }


def measure_stages(stages: dict[str, Callable[[], object]], entries_count: int) -> dict[str, float]:
    """Microseconds of CPU for each entry, by stage."""
    return {name: round(_best_us(work, entries_count), 2) for name, work in stages.items()}


def _http_messages(recording: Recording) -> tuple[pa.Array, Any]:
    """The first whole messages that hold about ``ENTRIES_COUNT`` HTTP records."""
    messages: list[bytes] = []
    counts: list[int] = []
    planned, _ = plan_frames(recording, frames_max=ENTRIES_COUNT // 16)
    for frame in planned:
        if frame.is_http and sum(counts) < ENTRIES_COUNT:
            messages.append(recording.data[frame.start : frame.end].tobytes())
            counts.append(frame.entries_count)
    return pa.array(messages, pa.binary()), np.array(counts, dtype=np.int64)


def _make_entries(records: pa.Array, payload_format: PayloadFormat) -> pa.Array:
    """Entries as the sealer would make them of these records, all of one stream."""
    headers = (
        EntryHeader(
            entry_type=EntryType.RECORD,
            payload_format=payload_format,
            received_ns=UnixNanos(RECEIVED_NS + at * ARRIVAL_STEP_NS),
            stream=STREAM,
            seq=at + 1,
        ).encode()
        for at in range(len(records))
    )
    pairs = zip(headers, records.to_pylist(), strict=True)
    return pa.array([header + record for header, record in pairs], pa.binary())


def _derive(entries: pa.Array) -> pa.Table:
    def no_blob(_: bytes) -> bytes:
        raise LookupError("a recorded entry names a blob")

    return derive_events(
        entries,
        log="bench/floor/00000000",
        start=LeafIndex(0),
        streams=Streams(),
        read_blob=no_blob,
    )


def _fold(row: list[bytes]) -> bytes:
    sha256 = hashlib.sha256
    while len(row) > 1:
        pairs = zip(row[::2], row[1::2], strict=False)
        row = [sha256(b"\1" + left + right).digest() for left, right in pairs]
    return row[0]


def _best_us(work: Callable[[], object], entries_count: int) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best / entries_count * 1e6


def _grpc_floor(path: Path, root: Path) -> dict[str, float]:
    """CPU of a server that receives the same frames and does nothing, and of the sender."""
    sink = subprocess.Popen(
        [sys.executable, "-m", "bench.harness.sink"],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with sink:
        try:
            port = sink.stdout.readline().strip()  # type: ignore[union-attr]  # it was opened with a pipe
            sender = [sys.executable, "-m", "bench.harness.sender", str(path), port]
            sent = subprocess.run(
                [*sender, "--seconds", str(GRPC_SECONDS)],
                cwd=root,
                capture_output=True,
                text=True,
                check=True,
            )
            said, _ = sink.communicate()
        finally:
            sink.kill()
    report = json.loads(sent.stdout.rsplit("\n", 2)[-2])
    received = json.loads(said)
    return {
        "grpc_receive": round(received["cpu_s"] / report["entries_count"] * 1e6, 2),
        "grpc_send": report["cpu_us_per_entry"],
    }
