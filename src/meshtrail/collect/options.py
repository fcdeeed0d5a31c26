"""What the front doors can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - config reads the annotations when it converts

from meshtrail.collect.address import parse_address
from meshtrail.errors import ConfigError

MIB = 1 << 20
OFF = "off"
_AT_LEAST_ONE = (
    "message_bytes_max",
    "streams_max",
    "otlp_requests_max",
    "otlp_streams_max",
    "otlp_connection_streams_max",
    "otlp_connections_max",
)
_COPIES = 4
"""A body may be held packed and unpacked, by a sender who gets half of all room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectOptions:
    """Where records are received, from whom, and how much at once.

    Attributes:
        grpc: ``host:port`` to listen on; port 0 lets the system choose.
        grpc_cert: certificate chain of this server, PEM. With the two below, every sender must show
            a certificate, on loopback too. Read again when the file changes.
        grpc_key: its private key, PEM.
        grpc_client_ca: who signs the certificates of senders, PEM.
        otlp_http: ``host:port`` on loopback where OTLP over HTTP is listened for, or ``off``.
        message_bytes_max: a larger message ends its stream; a larger export is refused.
        streams_max: open at once; further ones are refused.
        otlp_requests_max: exports under way at once; further ones are refused, to be sent again.
        otlp_bytes_max: what these hold in memory.
        otlp_streams_max: streams of OTLP open at once; the least recently used gives way.
        otlp_connection_streams_max: of these, of one connection.
        otlp_connections_max: connections over HTTP at once; further ones are refused.
    """

    grpc: str = "127.0.0.1:4317"
    otlp_http: str = "127.0.0.1:4318"
    grpc_cert: Path | None = None
    grpc_key: Path | None = None
    grpc_client_ca: Path | None = None
    message_bytes_max: int = 16 * MIB
    streams_max: int = 10_000
    otlp_requests_max: int = 256
    otlp_bytes_max: int = 128 * MIB
    otlp_streams_max: int = 10_000
    otlp_connection_streams_max: int = 1_024
    otlp_connections_max: int = 1_024

    def __post_init__(self) -> None:
        """Refuse what would not be safe, or could not work."""
        address = parse_address(self.grpc)
        tls = (self.grpc_cert, self.grpc_key, self.grpc_client_ca)
        if any(tls) and not all(tls):
            raise ConfigError(
                "mTLS needs all three of grpc_cert, grpc_key and grpc_client_ca, "
                f"got {sum(map(bool, tls))} of them"
            )
        if not any(tls) and not address.is_loopback:
            raise ConfigError(
                f"{self.grpc} is not a loopback address, and senders would not be authenticated: "
                "give grpc_cert, grpc_key and grpc_client_ca, or listen on 127.0.0.1",
                address=self.grpc,
            )
        if self.is_otlp_http_on and not parse_address(self.otlp_http).is_loopback:
            raise ConfigError(
                f"{self.otlp_http} is not a loopback address, and senders would not be "
                "authenticated: listen on 127.0.0.1, or say off",
                address=self.otlp_http,
            )
        for name in _AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"collect.{name} must be at least 1, got {getattr(self, name)}",
                    key=f"collect.{name}",
                )
        if self.otlp_bytes_max < _COPIES * self.message_bytes_max:
            raise ConfigError(
                f"collect.otlp_bytes_max must be at least {_COPIES} times message_bytes_max "
                f"{self.message_bytes_max}, got {self.otlp_bytes_max}",
                key="collect.otlp_bytes_max",
            )

    @property
    def is_otlp_http_on(self) -> bool:
        """Whether OTLP over HTTP is listened for."""
        return self.otlp_http != OFF

    @property
    def is_mtls(self) -> bool:
        """Whether senders must show a certificate."""
        return self.grpc_cert is not None
