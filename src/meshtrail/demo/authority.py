"""A certificate authority for one trust domain, and the X.509-SVIDs it issues.

For meshes that live as long as a demo or a test: keys lie on disk in the clear, mode 0600.

Source: SPIFFE X509-SVID: one URI SAN, no CA bit, digitalSignature.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

_VALID_FROM_AGO: Final = dt.timedelta(hours=1)
_VALID_FOR: Final = dt.timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Identity:
    """An X.509-SVID on disk.

    Attributes:
        spiffe_id: its one URI SAN.
        chain: the certificate, PEM.
        key: its private key, PEM, mode 0600.
    """

    spiffe_id: str
    chain: Path
    key: Path

    def sha256(self) -> str:
        """The SHA-256 of the certificate, in hexadecimal."""
        certificate = x509.load_pem_x509_certificate(self.chain.read_bytes())
        return certificate.fingerprint(hashes.SHA256()).hex()


class Authority:
    """Signs the SVIDs of one trust domain; two of them do not trust one another.

    Attributes:
        bundle: the authority's own certificate, PEM.
    """

    def __init__(self, directory: Path, *, trust_domain: str = "cluster.local") -> None:
        """Make a key, and write the authority's certificate.

        Args:
            directory: where certificates and keys go; made if it is not there.
            trust_domain: of the SPIFFE IDs.
        """
        self.directory = directory
        self.trust_domain = trust_domain
        self.bundle = directory / "ca.pem"
        self._issued_count = 0
        self._name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, trust_domain)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(subject=self._name, issuer=self._name, key=self._key)
        builder = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        builder = builder.add_extension(_key_usage(signs_certificates=True), critical=True)
        directory.mkdir(parents=True, exist_ok=True)
        self.bundle.write_bytes(_pem(builder.sign(self._key, hashes.SHA256())))

    def issue(self, path: str, *, is_named_localhost: bool = False) -> Identity:
        """Issue the SVID of ``spiffe://<trust domain>/<path>``.

        Args:
            path: for example ``ns/shop/sa/payments``.
            is_named_localhost: also name it localhost and 127.0.0.1, for clients that know no
                SPIFFE.
        """
        spiffe_id = f"spiffe://{self.trust_domain}/{path}"
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(spiffe_id)]
        if is_named_localhost:
            names.append(x509.DNSName("localhost"))
            names.append(x509.IPAddress(ipaddress.IPv4Address("127.0.0.1")))
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = _builder(subject=x509.Name([]), issuer=self._name, key=key)
        # RFC 5280: with an empty subject the SAN must be critical.
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
        builder = builder.add_extension(_key_usage(signs_certificates=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        # The count keeps a second SVID of an identity, as after a rotation, in files of its own.
        stem = f"{path.replace('/', '-')}-{self._issued_count}"
        self._issued_count += 1
        identity = Identity(
            spiffe_id, self.directory / f"{stem}.pem", self.directory / f"{stem}.key"
        )
        identity.chain.write_bytes(_pem(certificate))
        _write_private(identity.key, key)
        return identity

    def client_context(self, identity: Identity | None) -> ssl.SSLContext:
        """A TLS client that trusts this authority and shows ``identity``, or no certificate."""
        context = ssl.create_default_context(cafile=str(self.bundle))
        context.check_hostname = False  # SPIFFE peers have no host names
        if identity is not None:
            context.load_cert_chain(identity.chain, identity.key)
        return context


def _builder(
    *, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)  # noqa: TID251 - Envoy holds validity against the machine's clock
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _VALID_FROM_AGO)
        .not_valid_after(now + _VALID_FOR)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _write_private(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Write a key that no other user could read at any moment."""
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(pem)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
