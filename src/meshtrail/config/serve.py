"""What the serve process can be told. Beside the configuration: ``api`` lies above it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from meshtrail.collect.address import parse_address
from meshtrail.errors import ConfigError
from meshtrail.search.limits import SearchLimits

OFF: Final = "off"

_MIB: Final = 1 << 20
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
_AT_LEAST_ONE: Final = (
    "connections_max",
    "body_bytes_max",
    "searches_max",
    "rows_max",
    "answer_bytes_max",
    "tails_max",
    "reader_seconds_max",
    "ready_lag_seconds_max",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Where HTTP is answered, and how much of it at once.

    Attributes:
        http: ``host:port`` on loopback; port 0 lets the system choose; ``off`` answers nothing.
        hosts: names that a Host header may carry besides those of loopback.
        connections_max: open at once; further ones are closed.
        body_bytes_max: of a request.
        searches_max: at the same time, each with a thread and an engine of its own.
        searches_waiting_max: that wait for their turn; further ones are refused.
        search_seconds_max: for one search, from its plan to its last row.
        search_memory_mib: for one search.
        search_threads: for one search.
        rows_max: in one answer.
        answer_bytes_max: of a JSON answer, which is put together before it is sent.
        tails_max: live tails at once; further ones are refused.
        reader_seconds_max: a reader that takes nothing for so long is cut off.
        ready_lag_seconds_max: ``/readyz`` says no while an entry waits longer to be sealed.
    """

    http: str = "127.0.0.1:8710"
    hosts: tuple[str, ...] = ()
    connections_max: int = 256
    body_bytes_max: int = 256 << 10
    searches_max: int = 2
    searches_waiting_max: int = 16
    search_seconds_max: int = 30
    search_memory_mib: int = 512
    search_threads: int = 2
    rows_max: int = 100_000
    answer_bytes_max: int = 64 * _MIB
    tails_max: int = 64
    reader_seconds_max: int = 30
    ready_lag_seconds_max: int = 10

    def __post_init__(self) -> None:
        """Refuse what would not be safe, or could not work."""
        if self.is_on and not parse_address(self.http).is_loopback:
            raise ConfigError(
                f"http {self.http} is not a loopback address, and whoever reads would not be "
                "authenticated: listen on 127.0.0.1, or say off",
                address=self.http,
                key="serve.http",
            )
        for host in self.hosts:
            if not _HOST.fullmatch(host):
                raise ConfigError(
                    f"serve.hosts has {host!r}: want host names in lower case, without port",
                    key="serve.hosts",
                )
        for name in _AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"serve.{name} must be at least 1, got {getattr(self, name)}",
                    key=f"serve.{name}",
                )
        if self.searches_waiting_max < 0:
            raise ConfigError(
                f"serve.searches_waiting_max must not be negative, got {self.searches_waiting_max}",
                key="serve.searches_waiting_max",
            )
        self.make_search_limits()

    @property
    def is_on(self) -> bool:
        """Whether anything is answered at all."""
        return self.http != OFF

    def make_search_limits(self) -> SearchLimits:
        """The bounds of one search.

        Raises:
            ConfigError: they make no sense.
        """
        return SearchLimits(
            memory_bytes_max=self.search_memory_mib * _MIB,
            threads_count=self.search_threads,
            seconds_max=float(self.search_seconds_max),
        )
