"""Pods that come and go on few addresses: what is said of them, and who had which address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from meshtrail.correlate.workloads import WORKLOAD_COLUMNS
from meshtrail.model.event import BY_NAME

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

BEGIN_NS = 1_763_712_000_000_000_000
DAY_NS = 86_400_000_000_000
_UNTOLD_EVERY = 10


@dataclass(frozen=True)
class PodChurn:
    """Pods of a day, each at one address that others had before and have after it.

    Attributes:
        addresses: string[a].
        address: int64[p], the position of each pod's address.
        from_ns: int64[p], when it was first seen there.
        to_ns: int64[p], when it was gone.
        is_told: bool[p], whether anybody said that it was gone.
    """

    addresses: pa.Array
    address: Ints
    from_ns: Ints
    to_ns: Ints
    is_told: npt.NDArray[np.bool_]

    @property
    def pods_count(self) -> int:
        return len(self.address)

    def events(self, *, seed: int) -> pa.Table:
        """``WORKLOAD_COLUMNS``, in no order: each pod is seen, and most are told to be gone."""
        pods = np.arange(self.pods_count)
        told = pods[self.is_told]
        pod = np.concatenate([pods, told])
        is_gone = np.arange(len(pod)) >= len(pods)
        at_ns = np.where(is_gone, self.to_ns[pod], self.from_ns[pod])
        order = np.random.default_rng(seed).permutation(len(pod))
        pod, is_gone, at_ns = pod[order], is_gone[order], at_ns[order]
        ips = self.addresses.take(pa.array(self.address[pod]))
        known: dict[str, Any] = {
            "log_index": np.arange(len(pod)),
            "kind": _repeated("workload", len(pod)),
            "time": at_ns,
            "received_time": at_ns,
            "operation": pa.array(["added", "deleted"]).take(pa.array(is_gone.astype(np.int64))),
            "pod_ips": ips,
            "pod_phase": _repeated("Running", len(pod)),
            "reporter_cluster": _repeated("east", len(pod)),
            "object_namespace": _numbered("ns", pod % 20),
            "object_name": _numbered("pod", pod),
            "object_uid": _numbered("uid", pod),
            "pod_workload": _numbered("app", pod % 300),
            "pod_service_account": _numbered("app", pod % 300),
            "pod_node": _numbered("node", self.address[pod] % 500),
            "pod_version": _numbered("v", pod % 40),
            "image_digest": _numbered("sha256:", pod % 1_000),
        }
        return pa.table(
            {
                name: pa.array(known[name], BY_NAME[name].type)
                if name in known
                else pa.nulls(len(pod), BY_NAME[name].type)
                for name in WORKLOAD_COLUMNS
            }
        )


def churn(*, pods_count: int, addresses_count: int, seed: int) -> PodChurn:
    """A day of pods; of one address, each is gone before the next is seen."""
    random = np.random.default_rng(seed)
    address = np.repeat(random.integers(0, addresses_count, pods_count), 2)
    moments = BEGIN_NS + random.integers(0, DAY_NS, 2 * pods_count)
    order = np.lexsort((moments, address))
    # Each address has an even number of moments: by turns somebody comes and goes.
    address, moments = address[order][::2], moments[order]
    return PodChurn(
        addresses=pa.array(
            [f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in range(addresses_count)]
        ),
        address=address,
        from_ns=moments[::2],
        to_ns=moments[1::2],
        is_told=np.arange(pods_count) % _UNTOLD_EVERY != 0,
    )


def _repeated(text: str, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(text), count)


def _numbered(word: str, numbers: Ints) -> pa.Array:
    return pa.array([f"{word}-{number}" for number in numbers.tolist()])
