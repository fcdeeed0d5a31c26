"""What runs where: an inventory file of pods, until the Kubernetes API is listened to.

Specified in docs/completeness.md. It says which addresses may use the key of a service account, and
when.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import msgspec

from meshtrail.errors import ConfigError, QueryError
from meshtrail.search.moments import parse_moment
from meshtrail.units import INT64_MAX, UnixNanos

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class _Pod(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A pod as the file writes it."""

    pod: str
    namespace: str
    service_account: str
    addresses: list[str]
    image_digest: str | None = None
    from_: str | None = msgspec.field(name="from", default=None)
    to: str | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pods: list[_Pod]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod and its lifetime.

    Attributes:
        addresses: that it calls from.
        image_digest: of what it runs.
        from_ns: when it began.
        to_ns: when it was gone.
    """

    name: str
    namespace: str
    service_account: str
    addresses: tuple[Network, ...]
    image_digest: str | None
    from_ns: int
    to_ns: int

    def is_alive(self, at_ns: int) -> bool:
        """Whether it lived then."""
        return self.from_ns <= at_ns < self.to_ns


@dataclass(slots=True)
class _Account:
    """The pods of a service account, and what they call from.

    An account may have thousands of pods, each at an address or two; networks are rare.
    """

    pods: list[Pod] = field(default_factory=list)
    at_address: dict[tuple[int, int], list[Pod]] = field(default_factory=dict)
    in_network: list[tuple[Network, Pod]] = field(default_factory=list)

    def add(self, pod: Pod) -> None:
        self.pods.append(pod)
        for network in pod.addresses:
            if network.num_addresses == 1:
                key = network.version, int(network.network_address)
                self.at_address.setdefault(key, []).append(pod)
            else:
                self.in_network.append((network, pod))

    def pods_at(self, address: str) -> list[Pod]:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return []
        found = self.at_address.get((parsed.version, int(parsed)), [])
        return found + [pod for network, pod in self.in_network if parsed in network]


@dataclass(frozen=True)
class Inventory:
    """All pods of a mesh.

    Attributes:
        sha256: of the file, so that what rests on it can name it.
    """

    pods: tuple[Pod, ...]
    sha256: bytes

    @cached_property
    def _by_account(self) -> dict[tuple[str | None, str | None], _Account]:
        by_account: dict[tuple[str | None, str | None], _Account] = {}
        for pod in self.pods:
            by_account.setdefault((pod.namespace, pod.service_account), _Account()).add(pod)
        return by_account

    def pods_of(self, namespace: str | None, service_account: str | None) -> list[Pod]:
        """The pods of a service account, whenever they lived; none for one that is not listed."""
        account = self._by_account.get((namespace, service_account))
        return account.pods if account is not None else []

    def pods_at(
        self, address: str, at_ns: int, *, namespace: str | None, service_account: str | None
    ) -> list[Pod]:
        """The pods of a service account that lived then, and call from this address."""
        account = self._by_account.get((namespace, service_account))
        pods = account.pods_at(address) if account is not None else []
        return [pod for pod in pods if pod.is_alive(at_ns)]


def parse_inventory(data: bytes, *, name: str) -> Inventory:
    """Read an inventory file.

    Args:
        data: JSON, an object with a list ``pods``.
        name: of the file, for the message.

    Raises:
        ConfigError: it is not what docs/completeness.md says; names the pod.
    """
    try:
        file = msgspec.json.decode(data, type=_File)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{name} is no inventory: {error}", path=name) from error
    return Inventory(
        tuple(_read_pod(pod, name) for pod in file.pods), hashlib.sha256(data).digest()
    )


def _read_pod(pod: _Pod, name: str) -> Pod:
    try:
        from_ns = parse_moment(pod.from_, now_ns=UnixNanos(0)) if pod.from_ is not None else 0
        to_ns = parse_moment(pod.to, now_ns=UnixNanos(0)) if pod.to is not None else INT64_MAX
        addresses = tuple(ipaddress.ip_network(one) for one in pod.addresses)
    except (QueryError, ValueError) as error:
        raise ConfigError(f"{name}: pod {pod.namespace}/{pod.pod}: {error}", path=name) from error
    return Pod(
        name=pod.pod,
        namespace=pod.namespace,
        service_account=pod.service_account,
        addresses=addresses,
        image_digest=pod.image_digest,
        from_ns=from_ns,
        to_ns=to_ns,
    )
