"""One run of the latency benchmark: a fresh sidecar, the load through it, all of it accounted for.

A sidecar lives for one run. What the luck of a process decides (where its memory lies, on which
core its threads settle) so differs from run to run and is part of the interval; two sidecars that
lived through all runs would carry it into each, as a difference that is none.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.harness.cores import Cores, on_cores
from bench.harness.machine import read_bystanders_cpu_s
from bench.harness.processes import ProcessWatch, descendants, read_usage
from bench.harness.publication import published_size
from bench.harness.sidecar import (
    LISTENER,
    Identities,
    issue_identities,
    sidecar_config,
    without_access_logs,
)
from tests.rig.envoy import Envoy
from tests.rig.recorder import ROOT, Recorder, running_recorder, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

    from bench.harness.processes import Usage

FLUSH_S_MAX = 30.0
PUBLISH_S_MAX = 60.0
IDLE_S_MAX = 60.0
OPENING_ENTRIES_COUNT = 2
"""Of each stream, when a request has gone over a connection that has ended: stream and record."""
IDLE_STEP_S = 0.5
IDLE_CPU_S_MAX = 0.02
"""In a step: two ticks of the kernel's accounting."""


class Variant(StrEnum):
    """What stands between the load and the application."""

    NO_ENVOY = "no_envoy"
    WITHOUT = "without_access_log"
    WITH = "with_access_log"


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """The load of a run; both runs of a pair have the same but for their paths and ids."""

    rate_per_s: float
    seconds: float
    warm_up_s: float
    connections_count: int
    seed: int


@dataclass(frozen=True, slots=True)
class Rig:
    """What lives through all runs: the application, the recorder, who shows which SVID."""

    identities: Identities
    recorder: Recorder
    application_pid: int
    application_ports: dict[str, int]
    cores: Cores
    directory: Path


@dataclass(frozen=True, slots=True)
class Run:
    """What a run found.

    Attributes:
        variant: what was measured.
        label: below which path all of its requests lay.
        requests_count: sent and answered, those of the warm-up among them.
        connections_count: that they were sent over.
        late_us: float64[n], how late each measured request was sent.
        latency_us: float64[n], from when each was due until its answer was there.
        recorder_cpu_share: of all cores of the machine, while measured requests were sent.
        others_cpu_share: the same, of all processes that are not the benchmark's.
        facts: more, JSON-ready.
    """

    variant: Variant
    label: str
    requests_count: int
    connections_count: int
    late_us: npt.NDArray[np.float64]
    latency_us: npt.NDArray[np.float64]
    recorder_cpu_share: float
    others_cpu_share: float
    facts: dict[str, Any]

    @property
    def records_count(self) -> int:
        """What a sidecar with access logs has to report."""
        return self.requests_count + self.connections_count

    def latency_at(self, percentile: float) -> float:
        """A percentile of the latency, in microseconds."""
        return float(np.percentile(self.latency_us, percentile))

    def figures(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "variant": str(self.variant),
            "label": self.label,
            "requests_count": self.requests_count,
            "measured_count": len(self.latency_us),
            "p50_us": round(self.latency_at(50), 1),
            "p99_us": round(self.latency_at(99), 1),
            "max_us": round(self.latency_at(100), 1),
            "sent_late_p50_us": round(float(np.percentile(self.late_us, 50)), 1),
            "sent_late_p99_us": round(float(np.percentile(self.late_us, 99)), 1),
            "recorder_cpu_percent_of_machine": round(100 * self.recorder_cpu_share, 2),
            "others_cpu_percent_of_machine": round(100 * self.others_cpu_share, 2),
            **self.facts,
        }


@contextlib.contextmanager
def running_rig(directory: Path, *, cores: Cores, service_ms: float) -> Iterator[Rig]:
    """Run the application and a recorder on a fresh log, each on its cores."""
    identities = issue_identities(directory / "certificates")
    with contextlib.ExitStack() as stack:
        with on_cores(cores.recorder):
            recorder = stack.enter_context(
                running_recorder(directory, tls=(identities.authority, identities.collector))
            )
        command = [sys.executable, "-m", "bench.harness.application", str(service_ms)]
        command += _svid_files(identities, "payments")
        application = stack.enter_context(_start(command, cores=cores.requests))
        # Leaving its block closes the standard input, at which the application ends, and waits.
        ports = json.loads(_next_line(application))
        yield Rig(identities, recorder, application.pid, ports, cores, directory)


def run_load(rig: Rig, variant: Variant, *, label: str, load: LoadOptions) -> Run:
    """Send the load of one run, and with an access log wait until all of it is published.

    Raises:
        RuntimeError: Envoy dropped records, or the load did not go through.
        UnavailableError: records did not come through, or the recorder did not come to rest.
    """
    wait_until(
        lambda: _is_idle(rig.recorder), "meshtrail is idle", seconds_max=IDLE_S_MAX, poll_s=0.0
    )
    size_before = published_size(rig.recorder.data)
    with contextlib.ExitStack() as stack:
        envoy = None
        with on_cores(rig.cores.requests):
            if variant is not Variant.NO_ENVOY:
                envoy = stack.enter_context(_make_envoy(rig, variant, label=label))
        port = rig.application_ports["tls"] if envoy is None else envoy.ports()[LISTENER]
        out = rig.directory / f"{label}.times"
        command = _load_command(rig, port=port, out=out, label=label, load=load)
        with _start(command, cores=rig.cores.requests) as process:
            _next_line(process)
            if variant is Variant.WITH:
                # What is logged before Envoy's streams to the collector stand, a handshake later,
                # must fit into its buffer. There are two, and each opening is an entry too.
                _wait_until_published(rig, size_before + 2 * OPENING_ENTRIES_COUNT, of=label)
            run = _measure(rig, variant, envoy=envoy, process=process, label=label, out=out)
        if envoy is not None and variant is Variant.WITH:
            _wait_until_flushed(envoy, run.records_count)
            _wait_until_published(rig, size_before + run.records_count, of=label)
            envoy.stop()
    return run


def _make_envoy(rig: Rig, variant: Variant, *, label: str) -> Envoy:
    config = sidecar_config(
        rig.identities,
        application_port=rig.application_ports["plain"],
        collector_port=rig.recorder.port,
    )
    if variant is Variant.WITHOUT:
        config = without_access_logs(config)
    return Envoy(label, config, directory=rig.directory)


def _measure(
    rig: Rig,
    variant: Variant,
    *,
    envoy: Envoy | None,
    process: subprocess.Popen[str],
    label: str,
    out: Path,
) -> Run:
    """Let the load go, and read everybody's CPU when its warm-up is over and at its end."""
    pids = {"application": rig.application_pid}
    if envoy is not None:
        pids["envoy"] = envoy.pid
    assert process.stdin is not None  # noqa: S101 - a pipe was asked for
    process.stdin.write("go\n")
    process.stdin.flush()
    _next_line(process)
    started = time.monotonic()
    cpu_s = {name: read_usage(pid)[0] for name, pid in pids.items()}
    others_s = read_bystanders_cpu_s(os.getpid())
    watch = ProcessWatch(rig.recorder.pid)
    report = json.loads(_next_line(process))
    usages = watch.stop()
    cpu_s = {name: read_usage(pid)[0] - cpu_s[name] for name, pid in pids.items()}
    others_s = read_bystanders_cpu_s(os.getpid()) - others_s
    elapsed_s = time.monotonic() - started
    late_us, latency_us = np.fromfile(out, dtype=np.int64).reshape(2, -1) / 1e3
    out.unlink()
    capacity_s = elapsed_s * len(rig.cores.requests | rig.cores.recorder)
    per_request = 1e6 / len(latency_us)
    return Run(
        variant=variant,
        label=label,
        requests_count=report["requests_count"],
        connections_count=report["connections_count"],
        late_us=late_us,
        latency_us=latency_us,
        recorder_cpu_share=sum(map(_spent_s, usages.values())) / capacity_s,
        others_cpu_share=max(others_s, 0.0) / capacity_s,
        facts={
            "waited_for_connection_count": report["waited_for_connection_count"],
            "cpu_us_per_request": {
                "load": report["cpu_us_per_request"],
                **{name: round(spent_s * per_request, 1) for name, spent_s in cpu_s.items()},
                **{
                    f"recorder {role}": round(_spent_s(usage) * per_request, 1)
                    for role, usage in usages.items()
                },
            },
        },
    )


def _load_command(rig: Rig, *, port: int, out: Path, label: str, load: LoadOptions) -> list[str]:
    command = [sys.executable, "-m", "bench.harness.open_loop", str(port), str(out)]
    command += ["--rate", str(load.rate_per_s), "--seconds", str(load.seconds)]
    command += ["--warm-up-s", str(load.warm_up_s), "--connections", str(load.connections_count)]
    command += ["--label", label, "--seed", str(load.seed)]
    return [*command, "--svid", *_svid_files(rig.identities, "caller")]


def _svid_files(identities: Identities, name: str) -> list[str]:
    """The authority's bundle, the chain and the key of one of the identities."""
    identity = {"caller": identities.caller, "payments": identities.payments}[name]
    return [str(path) for path in (identities.authority.bundle, identity.chain, identity.key)]


def _start(command: list[str], *, cores: frozenset[int]) -> subprocess.Popen[str]:
    """Start a process of the harness on these cores; its standard input ends with its block."""
    with on_cores(cores):
        return subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )


def _next_line(process: subprocess.Popen[str]) -> str:
    """The next line that a process prints.

    Raises:
        RuntimeError: it ended instead; it has said why on standard error.
    """
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"a process ended early, its error stands above: {process.args!r}")
    return line


def _wait_until_flushed(envoy: Envoy, records_count: int) -> None:
    """Wait until Envoy has handed over every record of a run.

    Raises:
        RuntimeError: it dropped some.
    """
    wait_until(
        lambda: envoy.records_flushed() + envoy.records_dropped() >= records_count,
        f"Envoy is done with the {records_count} records of {envoy.name}",
        seconds_max=FLUSH_S_MAX,
    )
    if dropped_count := envoy.records_dropped():
        raise RuntimeError(f"Envoy dropped {dropped_count} records of {envoy.name}")


def _wait_until_published(rig: Rig, tree_size_min: int, *, of: str) -> None:
    """Wait until the published tree is so large; what exactly it holds is counted at the end."""
    wait_until(
        lambda: published_size(rig.recorder.data) >= tree_size_min,
        f"the published tree holds the {tree_size_min} entries up to those of {of}",
        seconds_max=PUBLISH_S_MAX,
    )


def _is_idle(recorder: Recorder) -> bool:
    """Whether it takes next to no CPU: what an earlier run left is sealed, and merged too."""
    before_s = _cpu_s(recorder)
    time.sleep(IDLE_STEP_S)  # the step itself
    return _cpu_s(recorder) - before_s <= IDLE_CPU_S_MAX


def _cpu_s(recorder: Recorder) -> float:
    spent_s = 0.0
    for pid in descendants(recorder.pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            spent_s += read_usage(pid)[0]
    return spent_s


def _spent_s(usage: Usage) -> float:
    return usage.cpu_s[-1] - usage.cpu_s[0]
