"""Something to look at: two real Envoys as the sidecars of a small shop, recorded.

    ./dev python tools/sample_mesh.py DIR

Issues the identities of a mesh in DIR, starts `meshtrail up` on DIR/data with mTLS, runs both
Envoys, sends their requests (allowed, denied, a rogue, TCP), and ends everything when it is sealed.
Search and verify DIR/data then.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.e2e.staged_load import (  # noqa: E402 - path first
    TCP_ALLOWED_COUNT,
    TCP_DENIED_COUNT,
    make_load,
    send_http,
    send_tcp,
)
from tests.rig.mesh import Identities, issue_identities, running_mesh  # noqa: E402 - path first
from tests.rig.recorder import wait_until  # noqa: E402 - path first

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rig.envoy import Envoy

FLUSH_S_MAX = 20.0
TCP_COUNT = TCP_ALLOWED_COUNT + TCP_DENIED_COUNT
STOP_S_MAX = 60.0


@contextlib.contextmanager
def recording(directory: Path, identities: Identities) -> Iterator[int]:
    """Run `meshtrail up` with mTLS; gives the port of its gRPC door."""
    collector = identities.collector
    options = ["--data", str(directory / "data"), "--grpc", "127.0.0.1:0", "--json"]
    options += ["--mesh", "shop", "--cluster", "one"]
    options += ["--grpc-cert", str(collector.chain), "--grpc-key", str(collector.key)]
    options += ["--grpc-client-ca", str(identities.authority.bundle)]
    command = [sys.executable, "-m", "meshtrail", "up", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
    ) as process:
        try:
            ready = json.loads(process.stdout.readline() if process.stdout else "")
            yield int(ready["grpc"].rpartition(":")[2])
        finally:
            process.terminate()
            process.wait(STOP_S_MAX)


def send(identities: Identities, port: int) -> str:
    """Run the mesh, send every request of the staged load, wait until Envoy has reported."""
    load = make_load(seed=1)
    with (
        tempfile.TemporaryDirectory() as scratch,
        running_mesh(
            identities, directory=Path(scratch), collector_port=port, is_collector_mtls=True
        ) as mesh,
    ):
        statuses = send_http(load, mesh)
        send_tcp(mesh)
        for envoy in (mesh.frontend, mesh.payments):
            wait_until(
                partial(has_reported, envoy, len(load) + TCP_COUNT),
                "Envoy has sent its access log",
                seconds_max=FLUSH_S_MAX,
            )
    answers = ", ".join(f"{count} times {status}" for status, count in sorted(statuses.items()))
    return f"{len(load)} requests went through two Envoys and were answered {answers}"


def has_reported(envoy: Envoy, records_count: int) -> bool:
    """Whether an Envoy has sent so many records."""
    return envoy.records_flushed() >= records_count


def main() -> None:
    """Read the arguments and do it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    directory = parser.parse_args().directory
    identities = issue_identities(directory / "certificates")
    with recording(directory, identities) as port:
        said = send(identities, port)
    print(said)
    print(f"sealed in {directory / 'data'}")


if __name__ == "__main__":
    main()
