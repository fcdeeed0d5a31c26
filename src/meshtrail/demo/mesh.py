"""Starts and stops everything that runs in a demo: meshtrail, six services, six Envoys."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from meshtrail.demo.authority import Authority
from meshtrail.demo.behaviour import Behaviour
from meshtrail.demo.child_process import ChildProcess
from meshtrail.demo.envoy import Envoy
from meshtrail.demo.listener_file import ListenerFile
from meshtrail.demo.loopback import LoopbackBlock
from meshtrail.demo.recorder import Recorder, make_environment, write_recorder_config
from meshtrail.demo.sidecar import MeshPlan, make_listeners, make_sidecar_config
from meshtrail.demo.workloads import BROWSER_HOSTS, FRONTEND, NAMESPACE, WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from meshtrail.demo.narration import Narrator
    from meshtrail.demo.workloads import Workload

SERVICE_START_S_MAX: Final = 60.0
_ENVOY_OPTIONS: Final = ("--drain-time-s", "1", "--drain-strategy", "immediate")
"""A listener that was replaced goes on with the connections that it has for so long; without these,
for ten minutes."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """The running mesh.

    Attributes:
        sidecars: by the name of their workload.
        origin: of the log that it is recorded in.
        http: where meshtrail answers searches over HTTP, as host:port.
        browser_ips: where customers call from.
    """

    plan: MeshPlan
    sidecars: dict[str, Envoy]
    origin: str
    http: str
    browser_ips: tuple[str, ...]

    @property
    def entrance(self) -> tuple[str, int]:
        """Address and port where customers come in."""
        return self.plan.ips[FRONTEND.name], self.plan.ports.public


@contextlib.contextmanager
def running_mesh(directory: Path, narrator: Narrator) -> Iterator[Mesh]:
    """Run the whole mesh; every process is gone when the block ends, however it ends.

    Args:
        directory: of the demo.
        narrator: is told what starts.

    Raises:
        ConfigError: there is no Envoy, or no address to bind.
        UnavailableError: something does not come up.
    """
    with contextlib.ExitStack() as stack:
        narrator.tell(f"starting meshtrail, {len(WORKLOADS)} services and {len(WORKLOADS)} Envoys")
        block = stack.enter_context(LoopbackBlock())
        authority = Authority(directory / "certificates")
        collector = authority.issue("ns/meshtrail/sa/collector")
        ips = {workload.name: block.ip(workload.host) for workload in WORKLOADS}
        config = write_recorder_config(directory, ips)
        recorder = Recorder(config, authority=authority, identity=collector)
        stack.callback(recorder.stop)
        recorder.start()
        origin = str(recorder.ready["origin"])
        narrator.tell(f"meshtrail records, as {origin}")
        folder = directory / "mesh"
        folder.mkdir(exist_ok=True)
        plan = MeshPlan(
            ips=ips,
            ports=block.find_ports(workload.host for workload in WORKLOADS),
            authority=authority,
            identities={
                workload.name: authority.issue(f"ns/{NAMESPACE}/sa/{workload.name}")
                for workload in WORKLOADS
            },
            collector=collector,
            collector_port=recorder.port,
            listener_files={name: ListenerFile(folder / f"{name}-listeners.json") for name in ips},
        )
        _start_services(plan, folder, stack)
        sidecars = _start_sidecars(plan, folder, stack)
        narrator.tell("every service is up behind its Envoy, with mTLS between all")
        browser_ips = tuple(block.ip(host) for host in BROWSER_HOSTS)
        yield Mesh(
            plan=plan,
            sidecars=sidecars,
            origin=origin,
            http=str(recorder.ready["http"]),
            browser_ips=browser_ips,
        )


def _start_services(plan: MeshPlan, folder: Path, stack: contextlib.ExitStack) -> None:
    """Start all services at once, and return when each of them listens."""
    services = []
    for workload in WORKLOADS:
        file = folder / f"{workload.name}-service.json"
        file.write_bytes(msgspec.json.encode(make_behaviour(workload, plan)))
        service = ChildProcess(
            f"service {workload.name}",
            [sys.executable, "-P", "-m", "meshtrail.demo.service", str(file)],
            log=folder / f"{workload.name}-service.log",
            environment=make_environment(folder.parent),
        )
        stack.callback(service.kill)
        service.start(is_telling=True)
        services.append(service)
    for service in services:
        service.read_line(seconds_max=SERVICE_START_S_MAX)


def make_behaviour(workload: Workload, plan: MeshPlan) -> Behaviour:
    """What the service of a workload is told at its start."""
    return Behaviour(
        name=workload.name,
        ip=plan.ips[workload.name],
        port=plan.ports.application,
        outbound_port=plan.ports.outbound,
        hosts={other.name: other.domain for other in WORKLOADS},
        routes=workload.routes,
    )


def _start_sidecars(plan: MeshPlan, folder: Path, stack: contextlib.ExitStack) -> dict[str, Envoy]:
    """Start all Envoys at once, and return when each of them is ready."""
    sidecars = {}
    for workload in WORKLOADS:
        listeners = plan.listener_files[workload.name]
        listeners.write(make_listeners(workload, plan))
        config = make_sidecar_config(workload, plan, listeners=listeners)
        sidecars[workload.name] = Envoy(
            workload.name, config, directory=folder, options=_ENVOY_OPTIONS
        )
    for sidecar in sidecars.values():
        stack.callback(sidecar.kill)
        sidecar.launch()
    for sidecar in sidecars.values():
        sidecar.wait_until_ready()
    return sidecars
