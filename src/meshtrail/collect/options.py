"""What the front doors can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - config reads the annotations when it converts

from meshtrail.collect.address import parse_address
from meshtrail.errors import ConfigError

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectOptions:
    """Where records are received, from whom, and how much at once.

    Attributes:
        grpc: ``host:port`` to listen on; port 0 lets the system choose.
        grpc_cert: certificate chain of this server, PEM. With the two below, every sender must show
            a certificate, on loopback too. Read again when the file changes.
        grpc_key: its private key, PEM.
        grpc_client_ca: who signs the certificates of senders, PEM.
        message_bytes_max: a larger message ends its stream.
        streams_max: open at once; further ones are refused.
    """

    grpc: str = "127.0.0.1:4317"
    grpc_cert: Path | None = None
    grpc_key: Path | None = None
    grpc_client_ca: Path | None = None
    message_bytes_max: int = 16 * MIB
    streams_max: int = 10_000

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
        if self.message_bytes_max < 1 or self.streams_max < 1:
            raise ConfigError(
                "message_bytes_max and streams_max must be at least 1, got "
                f"{self.message_bytes_max} and {self.streams_max}"
            )

    @property
    def is_mtls(self) -> bool:
        """Whether senders must show a certificate."""
        return self.grpc_cert is not None
