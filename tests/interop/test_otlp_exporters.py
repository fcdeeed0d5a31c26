"""The official OpenTelemetry SDK for Python sends here, over gRPC and over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.collect_rig import by_stream
from tests.otlp_rig import play
from tools.environment import LOCK_NAME, clear, create, install, wait_for

if TYPE_CHECKING:
    from tests.collect_rig import Collector, Entry

FOLDER = Path(__file__).parent
LOCK = FOLDER / "otlp_exporters.txt"
SENDER = FOLDER / "otlp_sender.py"
EACH = [f"{number}" for number in range(3)]


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of an environment with the exporters; made once for each environment."""
    beside = Path(sys.prefix) / "otlp-exporters"
    environment = Path(os.environ.get("MESHTRAIL_EXPORTERS_ENV", beside))
    environment.mkdir(parents=True, exist_ok=True)
    ready = environment / "ready"
    with (environment / LOCK_NAME).open("w") as lock:
        wait_for(lock)
        if not ready.is_file() or ready.read_bytes() != LOCK.read_bytes():
            clear(environment)
            create(environment)
            install(environment, LOCK)
            ready.write_bytes(LOCK.read_bytes())
    return environment / "bin" / "python"


def send(python: Path, protocol: str, address: str | None, **variables: str) -> object:
    """What the exporters were answered, by signal."""
    assert address is not None
    done = subprocess.run(
        [python, SENDER, protocol, address],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": os.environ["PATH"], **variables},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def stream_of(entries: list[Entry], service: str) -> list[Entry]:
    """The entries of the one stream of a service."""
    (found,) = [
        stream for stream in by_stream(entries) if stream[0].json["service"].endswith(service)
    ]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{}, {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}], ids=["plain", "gzip"]
)
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_what_the_official_exporters_send_arrives_and_is_acknowledged(
    tmp_path: Path, python: Path, protocol: str, options: dict[str, str]
) -> None:
    async def scene(collector: Collector) -> None:
        address = collector.address if protocol == "grpc" else collector.otlp_http
        answers = await asyncio.to_thread(send, python, protocol, address, **options)
        success = ["SUCCESS"] * len(EACH)
        assert answers == {"logs": success, "traces": success, "metrics": ["SUCCESS"]}

    entries = play(tmp_path / "journal" / "collect", scene)
    opened, *logs, _ = stream_of(entries, "LogsService")
    assert opened.json["transport"] == protocol
    assert opened.json["claimed"]["node_cluster"] == "sdk"
    _, *spans, _ = stream_of(entries, "TraceService")
    for number, (log, span) in zip(EACH, zip(logs, spans, strict=True), strict=True):
        assert f"log {number}".encode() in log.payload
        assert f"span {number}".encode() in span.payload
        assert not log.flags | span.flags
    _, metrics, _ = stream_of(entries, "MetricsService")
    assert b"access_logs.grpc_access_log.logs_dropped" in metrics.payload
