"""Addresses for the demo: one for each workload, on this machine's loopback, and nobody else's.

A workload's address says who it is only if nothing else calls from it. So a demo takes a block
127.0.N.0/24 of its own and holds it, by a bound socket, as long as it runs; a second demo takes the
next one.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from meshtrail.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

_BLOCKS: Final = range(1, 100)
_RESERVATION: Final = (1, 15_099)
"""Host and port whose binding means that a block is taken."""
_SHIFTS: Final = range(0, 10_000, 1_000)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where things listen at each workload's address, numbered as in Istio.

    Attributes:
        application: the service itself.
        admin: the sidecar's admin endpoint.
        outbound: the sidecar, for its own service's calls.
        inbound: the sidecar, for other sidecars: mTLS.
        public: the sidecar, for customers: plaintext, at the entrance of the shop only.
    """

    application: int = 8080
    admin: int = 15_000
    outbound: int = 15_001
    inbound: int = 15_006
    public: int = 8000

    def shifted(self, by: int) -> Ports:
        """The same, each so much higher."""
        return Ports(*(port + by for port in self.numbers()))

    def numbers(self) -> tuple[int, ...]:
        """All of them."""
        return (self.application, self.admin, self.outbound, self.inbound, self.public)


class LoopbackBlock:
    """A block of loopback addresses that is held until it is closed."""

    def __init__(self) -> None:
        """Take the first block that nobody holds.

        Raises:
            ConfigError: this system has no such addresses, or none is free.
        """
        for number in _BLOCKS:
            self._prefix = f"127.0.{number}."
            host, port = _RESERVATION
            if (taken := _bind(self.ip(host), port, is_shared=False)) is not None:
                self._socket = taken
                return
        raise ConfigError(
            f"all of 127.0.{_BLOCKS[0]}.0/24 to 127.0.{_BLOCKS[-1]}.0/24 are taken: something "
            f"listens on port {_RESERVATION[1]} of every address"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def ip(self, host: int) -> str:
        """The address of one host of the block."""
        return f"{self._prefix}{host}"

    def find_ports(self, hosts: Iterable[int]) -> Ports:
        """Ports that are free at every host; those of Istio if they are.

        Raises:
            ConfigError: something listens on one of each set.
        """
        ips = [self.ip(host) for host in hosts]
        for shift in _SHIFTS:
            ports = Ports().shifted(shift)
            if all(_is_free(ip, port) for ip in ips for port in ports.numbers()):
                return ports
        raise ConfigError(f"no set of ports is free at {ips[0]} to {ips[-1]}")


def _is_free(ip: str, port: int) -> bool:
    probe = _bind(ip, port, is_shared=True)
    if probe is None:
        return False
    probe.close()
    return True


def _bind(ip: str, port: int, *, is_shared: bool) -> socket.socket | None:
    """A socket bound there; None where another one is.

    Args:
        ip: the address.
        port: the port.
        is_shared: whether connections that ended a moment ago may linger there.

    Raises:
        ConfigError: the system does not have the address.
    """
    bound = socket.socket()
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(is_shared))
        bound.bind((ip, port))
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise ConfigError(
            f"this system cannot listen on {ip} ({error.strerror}). Each workload of the demo has "
            "an address of its own on loopback: Linux has all of 127.0.0.0/8 there, other systems "
            "only 127.0.0.1",
            ip=ip,
        ) from error
    return bound
