"""A collector with certificates and tokens, and what its senders show, good and bad."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import shutil
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from meshtrail.app.tokens import add_token
from meshtrail.collect.tokens import make_token
from meshtrail.demo.authority import Authority, Identity
from meshtrail.units import UnixNanos
from tests.collect_rig import (
    Collector,
    Entry,
    by_stream,
    check_streams,
    own_entries,
    read_entries,
    running_collector,
)
from tests.fake_clock import START_NS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from meshtrail.collect import CollectOptions


class DoorScene:
    """Files of a collector, and those of its senders; what it has in the end."""

    def __init__(self, folder: Path) -> None:
        self.journal = folder / "journal" / "collect"
        self.data = folder / "data"
        self.tokens = folder / "tokens"
        self.authority = Authority(folder / "mesh")
        self.stranger = Authority(folder / "other")
        self.server = self.authority.issue("ns/mesh/sa/collector", is_named_localhost=True)
        self.sender = self.authority.issue("ns/shop/sa/payments")

    def tls(self) -> dict[str, Path]:
        return {"tls_cert": self.server.chain, "tls_key": self.server.key}

    def token(
        self, name: str = "shop", *, source: str = "envoy-als", days: int = 1, age_days: int = 0
    ) -> str:
        """The text of a token that the collector knows."""
        now_ns = UnixNanos(START_NS - age_days * 86_400 * 10**9)
        token, text = make_token(
            name, sources=[source], reporters=["shop-*"], now_ns=now_ns, days=days
        )
        add_token(self.tokens, token, data=self.data)
        return text

    def renewable(self) -> tuple[dict[str, Path], Callable[[Authority], None]]:
        """Files of a listener that asks for certificates, and what replaces them by new ones."""
        names = ("tls_cert", "tls_key", "tls_client_ca")
        files = {name: self.tokens.with_name(name) for name in names}

        def renew(authority: Authority) -> None:
            server = authority.issue("ns/mesh/sa/collector", is_named_localhost=True)
            for name, new in zip(names, (server.chain, server.key, authority.bundle), strict=True):
                shutil.copyfile(new, files[name])

        renew(self.authority)
        return files, renew

    def play(
        self, options: CollectOptions, play: Callable[[Collector], Awaitable[None]]
    ) -> list[list[Entry]]:
        """The streams of senders that the collector then has."""

        async def run() -> None:
            async with running_collector(self.journal, options=options) as collector:
                self.diag = collector.diag
                await play(collector)
                await collector.finish()

        asyncio.run(run())
        entries = read_entries(self.journal)
        check_streams(entries)
        assert own_entries(entries)
        return by_stream(entries)


def expired(authority: Authority, folder: Path) -> Identity:
    """A certificate of the mesh whose time is over."""
    identity = authority.issue("ns/shop/sa/payments")
    good = _certificate_of(identity)
    builder = (
        _copy(good)
        .issuer_name(good.issuer)
        .not_valid_before(good.not_valid_before_utc - dt.timedelta(days=9))
        .not_valid_after(good.not_valid_before_utc - dt.timedelta(days=8))
    )
    chain = folder / "expired.pem"
    chain.write_bytes(_pem(builder.sign(authority._key, hashes.SHA256())))
    return Identity(identity.spiffe_id, chain, identity.key)


def without_key(identity: Identity, folder: Path) -> Identity:
    """A certificate with another key than its own.

    A library that is honest shows no such thing, unless the key's file says that its public half is
    the one of the certificate. What it then signs in the handshake, it signs with the wrong key.
    """
    encoding, form = serialization.Encoding, serialization.PublicFormat.UncompressedPoint
    own = ec.generate_private_key(ec.SECP256R1())
    own_half = own.public_key().public_bytes(encoding.X962, form)
    named_half = _certificate_of(identity).public_key().public_bytes(encoding.X962, form)
    der = own.private_bytes(
        encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    assert der.count(own_half) == 1
    text = base64.encodebytes(der.replace(own_half, named_half)).decode()
    key = folder / "wrong.key"
    key.write_text(f"-----BEGIN EC PRIVATE KEY-----\n{text}-----END EC PRIVATE KEY-----\n")
    return Identity(identity.spiffe_id, identity.chain, key)


def issue_below(authority: Authority, folder: Path) -> tuple[Path, Identity]:
    """An authority below the one of the mesh, and a certificate that it signed."""
    root = x509.load_pem_x509_certificate(authority.bundle.read_bytes())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "below")])
    key = ec.generate_private_key(ec.SECP256R1())
    between = _copy(root, subject=name, key=key.public_key()).issuer_name(root.subject)
    between_pem = _pem(_dated(between, root).sign(authority._key, hashes.SHA256()))
    path = folder / "below.pem"
    path.write_bytes(between_pem)
    identity = authority.issue("ns/shop/sa/payments")
    good = _certificate_of(identity)
    leaf = _dated(_copy(good).issuer_name(name), good).sign(key, hashes.SHA256())
    chain = folder / "leaf.pem"
    chain.write_bytes(_pem(leaf) + between_pem)
    return path, Identity(identity.spiffe_id, chain, identity.key)


def _copy(
    found: x509.Certificate,
    *,
    subject: x509.Name | None = None,
    key: ec.EllipticCurvePublicKey | None = None,
) -> x509.CertificateBuilder:
    """The same certificate once more, without its issuer and its time."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject or found.subject)
        .public_key(key or found.public_key())
        .serial_number(x509.random_serial_number())
    )
    for extension in found.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    return builder


def _dated(builder: x509.CertificateBuilder, like: x509.Certificate) -> x509.CertificateBuilder:
    return builder.not_valid_before(like.not_valid_before_utc).not_valid_after(
        like.not_valid_after_utc
    )


def _certificate_of(identity: Identity) -> x509.Certificate:
    return x509.load_pem_x509_certificate(identity.chain.read_bytes())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
