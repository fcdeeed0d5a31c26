"""The whole demo: a mesh comes up, a day goes by, a breach happens, and the record is asked."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meshtrail.app.clock import SystemClock
from meshtrail.demo.breach import (
    CULPRIT,
    STOLEN_FROM,
    VICTIM,
    Breach,
    commit_breach,
    read_in_silence,
    silence_victim,
)
from meshtrail.demo.control_plane import ControlPlane
from meshtrail.demo.envoy import find_binary
from meshtrail.demo.explaining_steps import step_explained, step_mistake
from meshtrail.demo.finding_steps import (
    step_denied,
    step_identities,
    step_same_address,
    step_status,
    step_trace,
    step_what_was_read,
)
from meshtrail.demo.mesh import running_mesh
from meshtrail.demo.noticing_steps import step_kinds, step_missing, step_noticed
from meshtrail.demo.proving_steps import step_hand_over, step_tampering, step_verify
from meshtrail.demo.settling import (
    count_unlogged,
    wait_until_counted,
    wait_until_sent,
    wait_until_settled,
)
from meshtrail.demo.shell import Shell
from meshtrail.demo.story import Silence, Story
from meshtrail.demo.tour import Tour
from meshtrail.demo.traffic import (
    HOURS,
    Answer,
    count_calls_of_customers,
    count_statuses,
    find_order,
    plan_visits,
    send_visits,
)
from meshtrail.demo.workloads import WORKLOADS
from meshtrail.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.demo.mesh import Mesh
    from meshtrail.demo.narration import Narrator

STEPS: Final = (
    step_status,
    step_denied,
    step_same_address,
    step_identities,
    step_what_was_read,
    step_trace,
    step_explained,
    step_mistake,
    step_missing,
    step_noticed,
    step_kinds,
    step_verify,
    step_tampering,
    step_hand_over,
)
_VISIT_EVERY_S: Final = 1.0
_NANOS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRequest:
    """What the demo was asked to do.

    Attributes:
        directory: where everything is written; empty, or not there yet.
        is_keeping: whether everything runs on after the tour, until Ctrl-C.
        is_terminal: whether commands are shown on a terminal.
    """

    directory: Path
    is_keeping: bool
    is_terminal: bool


def run_demo(request: DemoRequest, narrator: Narrator) -> bool:
    """Run it to its end; nothing that it started runs on.

    Returns:
        Whether every claim of every step held.

    Raises:
        ConfigError: there is no Envoy, no address to bind, or the directory is in use.
        UnavailableError: something does not come up, or does not answer.
    """
    started_s = time.monotonic()
    find_binary()
    directory = _open_directory(request.directory)
    narrator.title("A shop of six workloads, each behind its own Envoy, recorded by meshtrail.")
    shell = Shell(directory, is_terminal=request.is_terminal)
    with running_mesh(directory, narrator) as mesh:
        story = _tell_story(mesh, directory, shell, narrator)
        narrator.say("To follow in another terminal, or to go on alone afterwards:")
        narrator.lines(shell.setting_lines())
        tour = Tour(narrator, shell)
        for step in STEPS:
            step(tour, story)
        elapsed_s = time.monotonic() - started_s
        is_good = tour.failures_count == 0
        narrator.verdict(_verdict(tour, elapsed_s), holds=is_good)
        if request.is_keeping:
            _keep(mesh, narrator)
    return is_good


def _open_directory(directory: Path) -> Path:
    directory = directory.absolute()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise ConfigError(f"{directory} is not empty: the demo starts with nothing", path=directory)
    return directory


def _tell_story(mesh: Mesh, directory: Path, shell: Shell, narrator: Narrator) -> Story:
    """Let everything happen, and return once all of it is in the log."""
    narrator.lines(_workload_lines(mesh))
    answers = _let_customers_come(mesh, narrator)
    breach = commit_breach(mesh.plan)
    narrator.tell(_describe_breach(breach))
    wait_until_sent(mesh.sidecars.values())
    wait_until_counted(shell)
    silence = _tell_silence(mesh, narrator)
    settled = wait_until_settled(
        mesh.sidecars.values(), shell, handshakes_count=int(breach.is_handshake_refused)
    )
    narrator.tell(
        f"the sidecars sent {settled.flushed_count:,} records and {settled.spans_count:,} spans; "
        "all are sealed"
    )
    narrator.space()
    control_plane = ControlPlane(began_s=int(SystemClock().wall_ns() // _NANOS), ips=mesh.plan.ips)
    control_plane.write(directory)
    return Story(
        origin=mesh.origin,
        ips=mesh.plan.ips,
        stolen_sha256=mesh.plan.identities[STOLEN_FROM.name].sha256(),
        order=find_order(answers),
        breach=breach,
        silence=silence,
        settled=settled,
        control_plane=control_plane,
    )


def _let_customers_come(
    mesh: Mesh, narrator: Narrator, *, hours_count: int = HOURS
) -> list[Answer]:
    visits = plan_visits(hours_count=hours_count)
    answers = send_visits(visits, to=mesh.entrance, browser_ips=mesh.browser_ips)
    statuses = [f"{count} times {status}" for status, count in count_statuses(answers).items()]
    narrator.tell(f"customers made {len(answers)} requests, answered {', '.join(statuses)}")
    return answers


def _tell_silence(mesh: Mesh, narrator: Narrator) -> Silence:
    """Have the victim's sidecar log nothing any more, while the attacker and customers go on."""
    victim = mesh.sidecars[VICTIM.name]
    silence_victim(mesh.plan, victim)
    reads = read_in_silence(mesh.plan)
    narrator.tell(
        f"the attacker has the sidecar of {VICTIM.name} log nothing, and reads on: "
        + " ".join(str(read.status) for read in reads)
    )
    answers = _let_customers_come(mesh, narrator, hours_count=1)
    wait_until_sent(sidecar for sidecar in mesh.sidecars.values() if sidecar is not victim)
    calls_count = count_calls_of_customers(answers)
    unlogged_count = count_unlogged(victim.counters())
    return Silence(
        reads=reads,
        calls_count=calls_count,
        connections_count=unlogged_count - calls_count - len(reads),
    )


def _workload_lines(mesh: Mesh) -> list[str]:
    return [
        f"{workload.name:<16} {mesh.plan.ips[workload.name]}"
        + (f"  calls {', '.join(workload.calls())}" if workload.calls() else "")
        for workload in WORKLOADS
    ]


def _describe_breach(breach: Breach) -> str:
    probes = " ".join(map(str, breach.probe_statuses))
    reads = " ".join(str(read.status) for read in breach.reads)
    handshake = "refused" if breach.is_handshake_refused else "not refused"
    return (
        f"an attacker in {CULPRIT.name}: probes {probes}, no certificate: {handshake}, "
        f"{STOLEN_FROM.name}'s stolen certificate {reads}"
    )


def _verdict(tour: Tour, elapsed_s: float) -> str:
    if tour.failures_count:
        held = f"{tour.failures_count} of {tour.claims_count} claims did not hold"
    else:
        held = f"all {tour.claims_count} claims held"
    return f"{tour.steps_count} steps, {held} ({elapsed_s:.0f} s)"


def _keep(mesh: Mesh, narrator: Narrator) -> None:
    """Leave everything running, with a customer now and then, until Ctrl-C."""
    narrator.tell(f"meshtrail answers at http://{mesh.http} too")
    narrator.tell("everything runs on, and a customer comes every second; Ctrl-C ends it")
    visits = plan_visits()
    try:
        while True:
            for visit in visits:
                send_visits([visit], to=mesh.entrance, browser_ips=mesh.browser_ips[:1])
                time.sleep(_VISIT_EVERY_S)
    except KeyboardInterrupt:
        narrator.space()
