"""Makes a recording of the same requests three times: access log service, OTLP logs, spans."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from bench.harness.bench_mesh import SERVICES, make_requests, running_bench_mesh
from bench.harness.census import count_recording
from bench.harness.exports import Exported, count_exports, find_binary_ids, read_records
from bench.harness.frames import FrameWriter, write_ids
from bench.harness.recorder import CONNECTIONS_COUNT, FLUSH_S_MAX, wait_until_flushed
from meshtrail.wiring import EnvoyWiring, format_envoy, parse_endpoint
from tests.rig.configuration import COLLECTOR_CLUSTER, LOOPBACK
from tests.rig.load import send_requests
from tests.rig.otlp_receiver import running_otlp_receiver
from tests.rig.receiver import running_receiver
from tests.rig.recorder import wait_until

if TYPE_CHECKING:
    from bench.harness.bench_mesh import BenchMesh
    from tests.rig.configuration import Config

ALS = "als"
NAMES = (ALS, *(exported.value for exported in Exported))
SERVICE_NAME = "bench"
OTLP_CLUSTER = "meshtrail-otlp"


def recording_path(folder: Path, name: str) -> Path:
    """Where one of ``NAMES`` stands."""
    return folder / f"otlp-{name}.bin"


def record_otlp(folder: Path, *, requests_count: int, seed: int) -> dict[str, Any]:
    """Record requests, each reported by both ends in all three ways, into ``folder``.

    Returns:
        JSON-ready: what was sent, and what each of the recordings holds.

    Raises:
        RuntimeError: Envoy counted lost records, or a recording does not hold every request.
        WaitTimeoutError: not all of them came.
    """
    requests = make_requests(requests_count, seed=seed)
    with contextlib.ExitStack() as stack:
        writers = {
            name: stack.enter_context(contextlib.closing(FrameWriter(recording_path(folder, name))))
            for name in NAMES
        }
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="meshtrail-bench-"))
        als_port = stack.enter_context(running_receiver(writers[ALS].write))
        logs, spans = (_Exports(writers[one.value], one) for one in Exported)
        otlp_port = stack.enter_context(running_otlp_receiver(logs.take, take_spans=spans.take))
        mesh = stack.enter_context(
            running_bench_mesh(
                directory=Path(directory),
                collector_port=als_port,
                add=partial(_add_otlp, port=otlp_port),
            )
        )
        asyncio.run(send_requests(requests, port=mesh.port, connections_count=CONNECTIONS_COUNT))
        connections_count = _end_mesh(mesh, logs, spans, requests_count=requests_count)
        dropped_count = mesh.destination.records_dropped()
    facts: dict[str, Any] = {"requests_count": requests_count, "seed": seed}
    for name in NAMES:
        facts[name] = _describe(recording_path(folder, name), name)
    got = [facts[name]["records_count"] for name in NAMES]
    want = [2 * requests_count + connections_count] * 2 + [2 * requests_count]
    if dropped_count or got != want:
        raise RuntimeError(f"not whole: Envoy dropped {dropped_count}, want {want}: {facts}")
    return facts


class _Exports:
    """Writes exports down, and counts their records."""

    def __init__(self, writer: FrameWriter, exported: Exported) -> None:
        self._writer = writer
        self._exported = exported
        self._lock = threading.Lock()
        self.records_count = 0

    def take(self, body: bytes) -> None:
        """Write one down."""
        count = sum(len(records) for _, records in read_records(body, self._exported))
        self._writer.write(0, body)
        with self._lock:
            self.records_count += count

    def wait_for(self, records_count: int) -> None:
        """Return when so many records have come."""
        wait_until(
            lambda: self.records_count >= records_count,
            f"{records_count} {self._exported.value} have come",
            seconds_max=FLUSH_S_MAX,
        )


def _describe(path: Path, name: str) -> dict[str, Any]:
    """Write the table of ids, and count."""
    if name == ALS:
        return {"id_places_count": write_ids(path), **count_recording(path)}
    exported = Exported(name)
    places_count = write_ids(path, find_binary=lambda body: find_binary_ids(body, exported))
    return {"id_places_count": places_count, **count_exports(path, exported)}


def _end_mesh(mesh: BenchMesh, logs: _Exports, spans: _Exports, *, requests_count: int) -> int:
    """End the source, so that every connection is logged too; returns how many there were."""
    wait_until_flushed(mesh.source, requests_count)
    logs.wait_for(2 * requests_count)
    spans.wait_for(2 * requests_count)
    if dropped_count := mesh.source.records_dropped():
        raise RuntimeError(f"the source Envoy dropped {dropped_count} records")
    connections_count = sum(mesh.destination.connections_accepted(name) for name in SERVICES)
    mesh.source.stop()
    wait_until_flushed(mesh.destination, requests_count + connections_count)
    logs.wait_for(2 * requests_count + connections_count)
    return connections_count


def _add_otlp(config: Config, *, port: int) -> None:
    """Have a proxy report in OTLP too, as ``meshtrail emit-config envoy --otlp`` prints it."""
    wiring = EnvoyWiring(
        collector=parse_endpoint(f"{LOOPBACK}:{port}"), is_otlp=True, service_name=SERVICE_NAME
    )
    (printed,) = yaml.safe_load_all(format_envoy(wiring))
    # The access log service of the mesh is a cluster of that name already.
    text = json.dumps(printed).replace(json.dumps(COLLECTOR_CLUSTER), json.dumps(OTLP_CLUSTER))
    pieces = json.loads(text)
    resources = config["static_resources"]
    resources["clusters"] += pieces["clusters"]
    for listener in resources["listeners"]:
        if "access_log" in listener:
            listener["access_log"] += pieces["listener"]["access_log"]
        for chain in listener["filter_chains"]:
            for one in chain["filters"]:
                manager = one["typed_config"]
                manager["access_log"] += pieces["http_connection_manager"]["access_log"]
                manager |= pieces["http_tracing"]
