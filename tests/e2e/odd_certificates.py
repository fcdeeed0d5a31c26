"""Certificates as nobody should show them: expired, of another CA, with another name.

For handshakes that must fail; those that work are ``meshtrail.demo.authority``'s.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from pathlib import Path

DAY = dt.timedelta(days=1)


class Workshop:
    """A CA that signs whatever it is asked to, valid whenever it is asked to.

    Attributes:
        bundle: its own certificate, PEM.
    """

    def __init__(self, directory: Path, *, name: str) -> None:
        """Make a key, and write the CA's certificate."""
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._name = _name(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._count = 0
        self.bundle = directory / "ca.pem"
        builder = _builder(self._name, self._name, self._key, days=(-30, 30))
        basic = x509.BasicConstraints(ca=True, path_length=None)
        certificate = builder.add_extension(basic, critical=True).sign(self._key, hashes.SHA256())
        self.bundle.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        *sans: str,
        days: tuple[float, float] = (-1, 1),
        is_self_signed: bool = False,
        name: str = "workload",
    ) -> Path:
        """A certificate and its key, in one PEM file.

        Args:
            sans: its names: URIs, or DNS names.
            days: from when until when it is valid, counted from now.
            is_self_signed: signed by its own key rather than by the CA.
            name: common name of its subject.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        signer, issuer = (key, subject) if is_self_signed else (self._key, self._name)
        builder = _builder(subject, issuer, key, days=days)
        if sans:
            names = [
                x509.UniformResourceIdentifier(san) if ":" in san else x509.DNSName(san)
                for san in sans
            ]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(signer, hashes.SHA256())
        pem = serialization.Encoding.PEM
        secret = key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = self._directory / f"{name}-{self._count}.pem"
        self._count += 1
        path.write_bytes(certificate.public_bytes(pem) + secret)
        return path


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    *,
    days: tuple[float, float],
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)  # noqa: TID251 - Envoy holds validity against the machine's clock
    first, last = days
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + first * DAY)
        .not_valid_after(now + last * DAY)
    )
