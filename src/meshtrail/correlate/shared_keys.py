"""Keys that are used from where they do not belong: stolen, copied, or shared by mistake.

Two signs. An identity is used from an address at which the inventory knows no pod of its service
account; and one certificate is used from the addresses of several pods within an hour, though each
pod has a key of its own.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.correlate.statements import Cause, Statement, finding_about
from meshtrail.model.event import Trust

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshtrail.correlate.inventory import Inventory

KEY_USE_COLUMNS: Final = (
    "log_index",
    "received_time",
    "side",
    "src_spiffe_id",
    "src_spiffe_id_trust",
    "src_namespace",
    "src_service_account",
    "src_ip",
    "tls_client_hash_sha256",
)
"""The event columns that are read."""

AT_ONCE_NS: Final = 3_600_000_000_000
"""A certificate that was used from two pods within this was used from both at once; what an address
is known for is told again after it."""
KNOWN_MAX: Final = 200_000
"""Uses that are remembered; the oldest are forgotten."""

_BELIEVED: Final = pa.array([Trust.ATTESTED.value, Trust.REPORTED.value])


@dataclass(frozen=True, slots=True)
class _Use:
    """An identity, or a certificate, used from an address."""

    key: str | bytes
    address: str


class SharedKeys:
    """Looks at who calls from where.

    Args:
        inventory: what runs where.

    Attributes:
        inventory: may be exchanged between two calls; what is known of keys stays.
    """

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self._told: OrderedDict[_Use, int] = OrderedDict()
        self._pods: OrderedDict[bytes, dict[str, int]] = OrderedDict()

    def take(self, events: pa.Table) -> Iterator[Statement]:
        """Look at the next events.

        Args:
            events: ``KEY_USE_COLUMNS``, in the order of the log.

        Yields:
            What has not been told within the hour.
        """
        for row in _distinct_uses(events).to_pylist():
            namespace, account = row["src_namespace"], row["src_service_account"]
            pods = self.inventory.pods_of(namespace, account)
            if not pods:
                # Of a service account that is not listed nothing is known.
                continue
            at_ns, address = row["received_time"], row["src_ip"]
            at_home = self.inventory.pods_at(
                address, at_ns, namespace=namespace, service_account=account
            )
            certificate = row["tls_client_hash_sha256"]
            if not at_home:
                if self._is_new(_Use(row["src_spiffe_id"], address), at_ns):
                    yield self._tell(row, sorted(pod.name for pod in pods))
            elif certificate is not None:
                others = self._note_pod(certificate, at_home[0].name, at_ns)
                if others and self._is_new(_Use(certificate, address), at_ns):
                    yield self._tell(row, others)

    def _note_pod(self, certificate: bytes, pod: str, at_ns: int) -> list[str]:
        """Note that a pod used a certificate; the other pods that did within the hour."""
        seen = self._pods.setdefault(certificate, {})
        self._pods.move_to_end(certificate)
        seen[pod] = at_ns
        if len(self._pods) > KNOWN_MAX:
            self._pods.popitem(last=False)
        return sorted(
            other
            for other, last_ns in seen.items()
            if other != pod and at_ns - last_ns < AT_ONCE_NS
        )

    def _is_new(self, use: _Use, at_ns: int) -> bool:
        last_ns = self._told.get(use)
        if last_ns is not None and at_ns - last_ns < AT_ONCE_NS:
            return False
        self._told[use] = at_ns
        self._told.move_to_end(use)
        if len(self._told) > KNOWN_MAX:
            self._told.popitem(last=False)
        return True

    def _tell(self, row: dict[str, object], pods: list[str]) -> Statement:
        certificate = row["tls_client_hash_sha256"]
        return finding_about(
            str(row["src_spiffe_id"]),
            Cause.KEY_SHARED,
            from_ns=row["received_time"],
            until_ns=row["received_time"],
            address=row["src_ip"],
            certificate_sha256=certificate.hex() if isinstance(certificate, bytes) else None,
            pods=pods[:16],
            entry=row["log_index"],
            inventory_sha256=self.inventory.sha256.hex(),
        )


def _distinct_uses(events: pa.Table) -> pa.Table:
    """The first row of each distinct use, as a proxy that was called reports it."""
    believed = pc.and_(
        pc.equal(events.column("side"), "destination"),
        pc.is_in(events.column("src_spiffe_id_trust"), _BELIEVED),
    )
    chosen = events.filter(pc.and_(believed, pc.is_valid(events.column("src_ip"))))
    keys = ["src_spiffe_id", "src_ip", "tls_client_hash_sha256"]
    codes = np.zeros(chosen.num_rows, dtype=np.int64)
    for name in keys:
        encoded = chosen.column(name).combine_chunks().dictionary_encode()
        part = np.asarray(pc.fill_null(pc.add(encoded.indices, 1), 0), dtype=np.int64)
        codes = codes * (len(encoded.dictionary) + 1) + part
    _, first = np.unique(codes, return_index=True)
    return chosen.take(np.sort(first))
