"""Who a sender is, decided the same way at every door, before anything of it is read.

The rules in words: docs/deployment.md, "Who may send". The first that applies decides; what a
sender says in its payload is never one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from meshtrail.collect.address import find_ip
from meshtrail.collect.peer import (
    AUTH_NONE,
    AUTH_SIGNATURE,
    AUTH_TOKEN,
    AUTH_XFCC,
    Peer,
    identify_certificate,
)
from meshtrail.collect.tokens import format_time, parse_token
from meshtrail.collect.xfcc import HEADER, read_nearest
from meshtrail.errors import InputError, UnauthenticatedError

if TYPE_CHECKING:
    import ipaddress
    from collections.abc import Callable, Iterable

    from meshtrail.collect.sender_refusals import SenderRefusals
    from meshtrail.collect.token_file import TokenFile
    from meshtrail.collect.tokens import Token
    from meshtrail.units import UnixNanos

    Network = ipaddress.IPv4Network | ipaddress.IPv6Network
    Headers = Iterable[tuple[str | bytes, str | bytes]]

_AUTHORIZATION: Final = "authorization"


class Identify(Protocol):
    """Says who is at the other end."""

    def __call__(
        self, address: str, certificate: bytes | None, headers: Headers, source: str, /
    ) -> Peer:
        """The peer.

        Args:
            address: of the peer, as the socket saw it.
            certificate: of the peer, DER or PEM, verified by TLS; None without one.
            headers: of the call or request.
            source: kind of telemetry that it wants to send, one of ``TOKEN_SOURCES``.

        Raises:
            UnauthenticatedError: it does not show what it has to.
        """
        ...


class Authenticator:
    """Identifies the senders of one listener.

    Args:
        is_loopback: whether only this machine can reach the listener.
        is_mtls: whether senders are asked for certificates.
        forwarders: proxies whose ``x-forwarded-client-cert`` is believed.
        tokens: None when no token is good.
        now: the collector's clock.
        refusals: hears of refused senders.
    """

    def __init__(
        self,
        *,
        is_loopback: bool,
        is_mtls: bool,
        forwarders: tuple[Network, ...],
        tokens: TokenFile | None,
        now: Callable[[], UnixNanos],
        refusals: SenderRefusals,
    ) -> None:
        self._forwarders = forwarders
        self._tokens = tokens
        self._now = now
        self._refusals = refusals
        self._is_anyone_taken = not (is_mtls or forwarders or tokens is not None) and is_loopback

    def identify(
        self, address: str, certificate: bytes | None, headers: Headers, source: str
    ) -> Peer:
        """The sender at the other end of a connection.

        Args:
            address: of the peer, ``host:port`` as the socket saw it.
            certificate: of the peer, DER or PEM, verified by TLS; None without one.
            headers: of the call or request, in their order.
            source: kind of telemetry that it wants to send, one of ``TOKEN_SOURCES``.

        Raises:
            UnauthenticatedError: it is not let in; says why, and holds no secret.
        """
        try:
            return self._identify(address, certificate, headers, source)
        except UnauthenticatedError as error:
            self._count(address, source, error)
            raise

    def identify_signed(self, address: str, source: str, check: Callable[[], None]) -> Peer:
        """The sender of a webhook, who shows nothing but what takes a shared secret to make.

        Args:
            address: of the peer, ``host:port`` as the socket saw it.
            source: whose webhooks they are.
            check: returns when that is good; raises UnauthenticatedError.

        Raises:
            UnauthenticatedError: it is not; holds no secret.
        """
        try:
            check()
        except UnauthenticatedError as error:
            self._count(address, source, error)
            raise
        return Peer(address=address, auth=AUTH_SIGNATURE)

    def check_again(self, peer: Peer, source: str) -> None:
        """Check that a sender may go on: streams outlive tokens.

        Certificates are not looked at again: they are renewed all the time while streams stay open,
        and a stream that is cut loses records.

        Raises:
            UnauthenticatedError: its token was revoked or has expired.
        """
        if peer.token_id is None:
            return
        token = self._tokens.find(peer.token_id) if self._tokens else None
        try:
            self._check_use(token, source, which=f"token {peer.token} ({peer.token_id})")
        except UnauthenticatedError as error:
            self._count(peer.address, source, error)
            raise

    def _identify(
        self, address: str, certificate: bytes | None, headers: Headers, source: str
    ) -> Peer:
        said = _select(headers)
        if self._is_forwarder(address):
            return _identify_forwarded(address, said[HEADER])
        if certificate is not None:
            return identify_certificate(address, certificate)
        if said[_AUTHORIZATION]:
            return self._identify_token(address, said[_AUTHORIZATION], source)
        if self._is_anyone_taken:
            return Peer(address=address, auth=AUTH_NONE)
        raise UnauthenticatedError("neither a certificate nor a token was shown")

    def _is_forwarder(self, address: str) -> bool:
        if not self._forwarders:
            return False
        ip = find_ip(address)
        return ip is not None and any(ip in network for network in self._forwarders)

    def _identify_token(self, address: str, values: list[str], source: str) -> Peer:
        if len(values) != 1:
            raise UnauthenticatedError(f"{len(values)} authorization headers")
        scheme, _, text = values[0].partition(" ")
        if scheme.lower() != "bearer":
            raise UnauthenticatedError("authorization is not Bearer and a token")
        if self._tokens is None:
            raise UnauthenticatedError("this collector takes no tokens")
        try:
            token_id, secret = parse_token(text.strip(" "))
        except InputError as error:
            raise UnauthenticatedError(f"token: {error.message}") from error
        token = self._tokens.find(token_id)
        # One answer to both, so that nobody can find out which ids there are.
        if token is None or not token.has_secret(secret):
            raise UnauthenticatedError(f"token {token_id}: unknown, revoked, or not its secret")
        self._check_use(token, source, which=f"token {token.name} ({token_id})")
        return Peer(
            address=address,
            auth=AUTH_TOKEN,
            token=token.name,
            token_id=token.id,
            reporters=token.reporters,
        )

    def _check_use(self, token: Token | None, source: str, *, which: str) -> None:
        """Check that a token is there, good now, and for this."""
        if token is None:
            raise UnauthenticatedError(f"{which}: revoked")
        if self._now() >= token.expires_ns:
            raise UnauthenticatedError(f"{which}: expired on {format_time(token.expires_ns)}")
        if source not in token.sources:
            raise UnauthenticatedError(
                f"{which}: good for {', '.join(token.sources)}, not for {source}"
            )

    def _count(self, address: str, source: str, error: UnauthenticatedError) -> None:
        self._refusals.add(address=address, source=source, reason=error.message, now_ns=self._now())


def _identify_forwarded(address: str, values: list[str]) -> Peer:
    if not values:
        # It is there for what others say: on its own word it would be everybody who comes by it.
        raise UnauthenticatedError(f"a proxy that forwards certificates sent no {HEADER}")
    nearest = read_nearest(",".join(values))
    return Peer(
        address=address,
        auth=AUTH_XFCC,
        spiffe_id=nearest.spiffe_id,
        certificate_sha256=nearest.sha256,
        detail=nearest.detail,
    )


def _select(headers: Headers) -> dict[str, list[str]]:
    """The values of the two headers that matter, in their order."""
    found: dict[str, list[str]] = {HEADER: [], _AUTHORIZATION: []}
    for name, value in headers:
        key = (name.decode("latin-1") if isinstance(name, bytes) else name).lower()
        if key in found:
            found[key].append(_text(key, value))
    return found


def _text(name: str, value: str | bytes) -> str:
    if isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise UnauthenticatedError(f"{name} is not UTF-8") from error
