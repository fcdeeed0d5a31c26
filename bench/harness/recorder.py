"""Makes a recording: sends the load through a running mesh and keeps every frame that comes."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.harness.bench_mesh import SERVICES, BenchMesh, make_requests, running_bench_mesh
from bench.harness.census import count_recording
from bench.harness.frames import FrameWriter, write_ids
from tests.rig.load import send_requests
from tests.rig.receiver import running_receiver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.rig.envoy import Envoy
    from tests.rig.load import Answer

CONNECTIONS_COUNT = 32
FLUSH_S_MAX = 30.0
POLL_S = 0.1


def record(out: Path, *, requests_count: int, seed: int) -> dict[str, Any]:
    """Record requests, each seen by both ends, into ``out``; its table of ids goes beside it.

    Returns:
        JSON-ready: what was sent, and what the recording holds.

    Raises:
        RuntimeError: Envoy counted lost records, or sent another number than arrived.
    """
    requests = make_requests(requests_count, seed=seed)
    with (
        contextlib.closing(FrameWriter(out)) as writer,
        tempfile.TemporaryDirectory(prefix="meshtrail-bench-") as directory,
        running_receiver(writer.write) as port,
        running_bench_mesh(directory=Path(directory), collector_port=port) as mesh,
    ):
        started = time.monotonic()
        answers = asyncio.run(
            send_requests(requests, port=mesh.port, connections_count=CONNECTIONS_COUNT)
        )
        elapsed_s = time.monotonic() - started
        flushed_count = _end_mesh(mesh, requests_count=requests_count)
        dropped_count = mesh.destination.records_dropped()
    facts: dict[str, Any] = {
        "requests_count": requests_count,
        "seed": seed,
        "requests_per_s": round(requests_count / elapsed_s),
        "answers_by_status": _count_answers(answers),
        "flushed_by_envoy_count": flushed_count,
        "frames_count": writer.frames_count,
        "frames_bytes": writer.frames_bytes,
        "id_places_count": write_ids(out),
        **count_recording(out),
    }
    if dropped_count or facts["records_count"] != flushed_count:
        raise RuntimeError(f"the recording is not whole: Envoy dropped {dropped_count}, {facts}")
    return facts


def _end_mesh(mesh: BenchMesh, *, requests_count: int) -> int:
    """End the source, so that every connection is logged too; returns what both ends flushed."""
    source_count = wait_until_flushed(mesh.source, requests_count)
    if dropped_count := mesh.source.records_dropped():
        raise RuntimeError(f"the source Envoy dropped {dropped_count} records")
    connections_count = sum(mesh.destination.connections_accepted(name) for name in SERVICES)
    mesh.source.stop()
    return source_count + wait_until_flushed(mesh.destination, requests_count + connections_count)


def wait_until_flushed(envoy: Envoy, records_count: int) -> int:
    """Return when Envoy has handed so many records to its streams; how many it was.

    Raises:
        TimeoutError: it has not in ``FLUSH_S_MAX``.
    """
    deadline = time.monotonic() + FLUSH_S_MAX
    while (flushed_count := envoy.records_flushed()) < records_count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"envoy {envoy.name} flushed {flushed_count} of {records_count}")
        time.sleep(POLL_S)  # between two looks
    # Flushed is handed to the stream; the last message still has to cross loopback.
    time.sleep(2 * POLL_S)
    return flushed_count


def _count_answers(answers: Sequence[Answer]) -> dict[str, int]:
    counts = Counter(answer.status for answer in answers)
    return {str(status): counts[status] for status in sorted(counts)}
