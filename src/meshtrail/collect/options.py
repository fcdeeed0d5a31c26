"""What the front doors can be told."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003 - config reads the annotations when it converts

from meshtrail.collect.address import parse_address
from meshtrail.collect.tail.options import TailOptions  # noqa: TC001 - as above
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
    "tail_files_max",
)
_COPIES = 4
"""A body may be held packed and unpacked, by a sender who gets half of all room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookOptions:
    """Whose webhooks are taken; none without a secret.

    Attributes:
        github_secret_file: holds the secret of GitHub's; mode 0600. Read again when it changes.
        gitlab_secret_file: likewise of GitLab's.
    """

    github_secret_file: Path | None = None
    gitlab_secret_file: Path | None = None

    @property
    def is_on(self) -> bool:
        """Whether any are taken."""
        return bool(self.github_secret_file or self.gitlab_secret_file)


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectOptions:
    """Where records are received, from whom, and how much at once.

    Attributes:
        grpc: ``host:port`` to listen on; port 0 lets the system choose.
        otlp_http: ``host:port`` of the HTTP door, which takes OTLP, records and webhooks; or
            ``off``.
        tls_cert: certificate chain of this server, PEM. Every door speaks TLS with it. Read again
            when the file changes.
        tls_key: its private key, PEM.
        tls_client_ca: who signs the certificates of senders, PEM. With it, every sender must show a
            certificate, on loopback too.
        tokens: file of the tokens that senders may show instead; see ``meshtrail keys token``.
        xfcc_from: addresses and networks of proxies whose ``x-forwarded-client-cert`` is believed.
        webhooks: whose are taken, at the HTTP door.
        message_bytes_max: a larger message ends its stream; a larger export is refused.
        streams_max: open at once; further ones are refused.
        otlp_requests_max: exports under way at once; further ones are refused, to be sent again.
        otlp_bytes_max: what these hold in memory.
        otlp_streams_max: streams of exports open at once, of records and webhooks too; the least
            recently used gives way.
        otlp_connection_streams_max: of these, of one connection.
        otlp_connections_max: connections over HTTP at once; further ones are refused.
        tail: files that are read as they grow; see docs/sources/file-tail.md.
        tail_files_max: of these, open at once; further ones wait.
    """

    grpc: str = "127.0.0.1:4317"
    otlp_http: str = "127.0.0.1:4318"
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    tokens: Path | None = None
    xfcc_from: tuple[str, ...] = ()
    webhooks: WebhookOptions = field(default_factory=WebhookOptions)
    message_bytes_max: int = 16 * MIB
    streams_max: int = 10_000
    otlp_requests_max: int = 256
    otlp_bytes_max: int = 128 * MIB
    otlp_streams_max: int = 10_000
    otlp_connection_streams_max: int = 1_024
    otlp_connections_max: int = 1_024
    tail: tuple[TailOptions, ...] = ()
    tail_files_max: int = 512

    def __post_init__(self) -> None:
        """Refuse what would not be safe, or could not work."""
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ConfigError("TLS needs both of tls_cert and tls_key, got one of them")
        if self.tls_client_ca and not self.is_tls:
            raise ConfigError("tls_client_ca needs tls_cert and tls_key: certificates need TLS")
        self.forwarders()
        self.check_listener(self.grpc, door="grpc")
        if self.is_otlp_http_on:
            self.check_listener(self.otlp_http, door="otlp_http")
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
        """Whether HTTP is listened for."""
        return self.otlp_http != OFF

    @property
    def is_tls(self) -> bool:
        """Whether the doors speak TLS."""
        return self.tls_cert is not None

    @property
    def is_mtls(self) -> bool:
        """Whether senders must show a certificate."""
        return self.tls_client_ca is not None

    def forwarders(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """``xfcc_from`` as networks, an address as the network of itself.

        Raises:
            ConfigError: one of them is neither, or is everybody.
        """
        networks = []
        for text in self.xfcc_from:
            try:
                network = ipaddress.ip_network(text)
            except ValueError as error:
                raise ConfigError(
                    f"xfcc_from: {error}; want an address or network, such as 10.0.0.7 or "
                    "10.0.0.0/24",
                    key="collect.xfcc_from",
                ) from error
            if network.prefixlen == 0:
                raise ConfigError(
                    f"xfcc_from has {text}: everybody could say whose certificate it was shown",
                    key="collect.xfcc_from",
                )
            networks.append(network)
        return tuple(networks)

    def check_listener(self, address: str, *, door: str) -> None:
        """Check that nobody can send to a listener without showing who it is.

        Args:
            address: that is listened on, ``host:port``.
            door: the option that says so.

        Raises:
            ConfigError: beyond loopback, senders would not be authenticated, or would send their
                tokens in the clear.
        """
        if parse_address(address).is_loopback:
            return
        if self.tokens and not self.is_tls:
            raise ConfigError(
                f"{door} {address} is not a loopback address, and tokens would be sent in the "
                "clear: give tls_cert and tls_key, or listen on 127.0.0.1",
                address=address,
                key=f"collect.{door}",
            )
        is_webhook_door = door == "otlp_http" and self.webhooks.is_on
        if is_webhook_door and self.webhooks.gitlab_secret_file and not self.is_tls:
            raise ConfigError(
                f"{door} {address} is not a loopback address, and GitLab would send its secret in "
                "the clear: give tls_cert and tls_key, or listen on 127.0.0.1",
                address=address,
                key=f"collect.{door}",
            )
        is_known_by_secret = is_webhook_door and self.is_tls
        if not (self.is_mtls or self.tokens or self.xfcc_from or is_known_by_secret):
            raise ConfigError(
                f"{door} {address} is not a loopback address, and senders would not be "
                "authenticated: give tls_cert, tls_key and tls_client_ca, or tokens in place of "
                "the last, or xfcc_from, or listen on 127.0.0.1",
                address=address,
                key=f"collect.{door}",
            )

    def describe_security(self) -> str:
        """How senders are authenticated, for people."""
        ways = ["mTLS" if self.is_mtls else "TLS" if self.is_tls else "plaintext"]
        ways += ["tokens"] if self.tokens else []
        ways += [f"x-forwarded-client-cert of {', '.join(self.xfcc_from)}"] * bool(self.xfcc_from)
        ways += ["secrets of webhooks"] if self.webhooks.is_on else []
        is_anyone = not (self.is_mtls or self.tokens or self.xfcc_from)
        return ", ".join([*ways, *["loopback only"] * is_anyone])
