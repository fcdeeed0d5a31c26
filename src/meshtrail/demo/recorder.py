"""The recorder as a user runs it: ``meshtrail up``, and the surroundings that commands run in."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from meshtrail.app.version import SOURCE
from meshtrail.demo.child_process import ChildProcess
from meshtrail.demo.envoy_config import pod_name
from meshtrail.demo.workloads import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from meshtrail.demo.authority import Authority, Identity

START_S_MAX: Final = 60.0
STOP_S_MAX: Final = 30.0
MESH: Final = "shop"
CLUSTER: Final = "demo"


def meshtrail_command(*arguments: str) -> list[str]:
    """``meshtrail …`` as run by the interpreter that runs this."""
    # -P: what lies in the folder that a command runs in is not to be imported.
    return [sys.executable, "-P", "-m", "meshtrail", *arguments]


def make_environment(directory: Path) -> dict[str, str]:
    """The environment of every command: the demo's own data, keys and pins, whoever runs it."""
    path = [str(SOURCE), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
        "MESHTRAIL_DATA": str(directory / "data"),
        "MESHTRAIL_HOME": str(directory / "home"),
    }


def write_recorder_config(directory: Path, ips: Mapping[str, str]) -> Path:
    """Write what ``meshtrail up`` is told about the mesh: an inventory of who runs where.

    Args:
        directory: of the demo.
        ips: the address of each workload, by its name.

    Returns:
        The configuration file.
    """
    pods = [
        {
            "pod": pod_name(name),
            "namespace": NAMESPACE,
            "service_account": name,
            "addresses": [ip],
        }
        for name, ip in ips.items()
    ]
    inventory = json.dumps({"pods": pods}, indent=1)
    (directory / "inventory.json").write_text(inventory, encoding="utf-8")
    file = directory / "meshtrail.toml"
    file.write_text('[ledger]\ninventory = "inventory.json"\n', encoding="utf-8")
    return file


class Recorder:
    """A running ``meshtrail up`` whose gRPC door asks for mTLS.

    Attributes:
        ready: the facts that it told once everything listened.
    """

    def __init__(self, config: Path, *, authority: Authority, identity: Identity) -> None:
        """Make one that is not started yet.

        Args:
            config: its configuration file, in the demo's directory.
            authority: whose clients to let in.
            identity: to show them.
        """
        # Free ports: another meshtrail may run on this machine, and have those of the defaults.
        options = ["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--otlp-http", "off", "--json"]
        options += ["--config", str(config)]
        options += ["--mesh", MESH, "--cluster", CLUSTER]
        options += ["--tls-cert", str(identity.chain), "--tls-key", str(identity.key)]
        options += ["--tls-client-ca", str(authority.bundle)]
        self._process = ChildProcess(
            "meshtrail up",
            meshtrail_command("up", *options),
            log=config.parent / "meshtrail-up.log",
            environment=make_environment(config.parent),
        )
        self.ready: dict[str, Any] = {}

    @property
    def pid(self) -> int:
        """Process id of the supervisor; its processes end with it."""
        return self._process.pid

    @property
    def port(self) -> int:
        """Of the gRPC door."""
        return int(self.ready["grpc"].rpartition(":")[2])

    def start(self) -> None:
        """Start, and return once everything listens.

        Raises:
            UnavailableError: it ended, or was not ready in time; says what it wrote last.
        """
        self._process.start(is_telling=True)
        self.ready = json.loads(self._process.read_line(seconds_max=START_S_MAX))

    def stop(self) -> None:
        """End in an orderly way: what was journaled is sealed."""
        self._process.stop(seconds_max=STOP_S_MAX)
