"""The staged breach: what an attacker does who has taken over ``recommendations``.

1. They ask other services for what recommendations never asks for, through its own sidecar.
2. They go past the sidecar, straight to the customers' one, without a certificate.
3. They do it again with a certificate stolen from checkout, from the address they are at.
4. They have the customers' sidecar, too: they take its access logs out of what it is configured
   by, and read on.

Everything here really happens on the wire; the record is what the Envoys saw of it.
"""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meshtrail.demo.waiting import wait_until
from meshtrail.demo.workloads import CHECKOUT, CUSTOMERS, EXPORT_PATH, PAYMENTS, RECOMMENDATIONS

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from meshtrail.demo.authority import Identity
    from meshtrail.demo.envoy import Envoy
    from meshtrail.demo.sidecar import MeshPlan
    from meshtrail.demo.workloads import Workload

ANSWER_S_MAX: Final = 30.0
SILENCE_S_MAX: Final = 30.0
CULPRIT: Final = RECOMMENDATIONS
STOLEN_FROM: Final = CHECKOUT
VICTIM: Final = CUSTOMERS
PROBES: Final[tuple[tuple[Workload, str, str], ...]] = (
    (PAYMENTS, "GET", "/admin/refunds"),
    (CHECKOUT, "POST", "/checkout/1003"),
    (CUSTOMERS, "GET", EXPORT_PATH),
)
READS: Final = ("/customers/1003", EXPORT_PATH)
SILENT_READS: Final = (EXPORT_PATH,) * 5
"""What they read once nothing is logged any more."""
_AGENT: Final = "python-requests/2.34.2"


@dataclass(frozen=True, slots=True)
class Read:
    """One answer to the stolen identity."""

    path: str
    status: int
    body_bytes: int


@dataclass(frozen=True, slots=True)
class Breach:
    """What the attacker saw.

    Attributes:
        probe_statuses: in the order of ``PROBES``.
        is_handshake_refused: whether they were turned away without a certificate.
        reads: in the order of ``READS``.
    """

    probe_statuses: tuple[int, ...]
    is_handshake_refused: bool
    reads: tuple[Read, ...]


def commit_breach(plan: MeshPlan) -> Breach:
    """Do the first three, one after the other."""
    return Breach(
        probe_statuses=tuple(_probe(plan, *probe) for probe in PROBES),
        is_handshake_refused=_is_refused_without_certificate(plan),
        reads=_read_as(plan.identities[STOLEN_FROM.name], plan, READS),
    )


def silence_victim(plan: MeshPlan, sidecar: Envoy) -> None:
    """Take the access logs of the victim's sidecar away, and return when it has none.

    Args:
        plan: of the mesh.
        sidecar: of the victim.

    Raises:
        UnavailableError: it does not come to that.
    """
    updates_count = _updates_count(sidecar)
    plan.listener_files[VICTIM.name].silence()
    wait_until(
        lambda: _updates_count(sidecar) > updates_count and not _draining_count(sidecar),
        f"envoy {sidecar.name} has taken its new listeners and let go of the old ones",
        seconds_max=SILENCE_S_MAX,
    )


def read_in_silence(plan: MeshPlan) -> tuple[Read, ...]:
    """Read on with the stolen identity; what each was answered with."""
    return _read_as(plan.identities[STOLEN_FROM.name], plan, SILENT_READS)


def _updates_count(sidecar: Envoy) -> int:
    return sum(sidecar.counters(r"^listener_manager\.lds\.update_success$").values())


def _draining_count(sidecar: Envoy) -> int:
    return sum(sidecar.counters(r"^listener_manager\.total_.*_(draining|warming)$").values())


def _probe(plan: MeshPlan, workload: Workload, method: str, path: str) -> int:
    ip = plan.ips[CULPRIT.name]
    connection = http.client.HTTPConnection(
        ip, plan.ports.outbound, timeout=ANSWER_S_MAX, source_address=(ip, 0)
    )
    try:
        headers = {"host": workload.domain, "user-agent": _AGENT}
        connection.request(method, path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def _is_refused_without_certificate(plan: MeshPlan) -> bool:
    connection = _connect(plan, plan.authority.client_context(None))
    try:
        connection.request("GET", EXPORT_PATH)
        connection.getresponse()
    except (OSError, http.client.HTTPException):
        # With TLS 1.3 the refusal comes as an alert after the handshake, or as a reset.
        return True
    finally:
        connection.close()
    return False


def _read_as(identity: Identity, plan: MeshPlan, paths: Sequence[str]) -> tuple[Read, ...]:
    connection = _connect(plan, plan.authority.client_context(identity))
    reads = []
    try:
        for path in paths:
            connection.request("GET", path, headers={"user-agent": _AGENT})
            answer = connection.getresponse()
            reads.append(Read(path, answer.status, len(answer.read())))
    finally:
        connection.close()
    return tuple(reads)


def _connect(plan: MeshPlan, context: ssl.SSLContext) -> http.client.HTTPSConnection:
    """A connection from the culprit's address straight to the victim's sidecar."""
    return http.client.HTTPSConnection(
        plan.ips[VICTIM.name],
        plan.ports.inbound,
        timeout=ANSWER_S_MAX,
        source_address=(plan.ips[CULPRIT.name], 0),
        context=context,
    )
