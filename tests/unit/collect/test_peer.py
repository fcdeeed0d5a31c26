from __future__ import annotations

import datetime as dt
import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from meshtrail.collect.peer import identify_certificate, is_spiffe_id

URI = "spiffe://cluster.local/ns/shop/sa/frontend"


def make_certificate(*names: x509.GeneralName, raw_san: bytes | None = None) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    start = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=1))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if raw_san is not None:
        san = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, raw_san)
        builder = builder.add_extension(san, critical=False)
    return builder.sign(key, hashes.SHA256())


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize("encoding", [serialization.Encoding.PEM, serialization.Encoding.DER])
def test_peer_with_one_uri_san_is_known_by_its_spiffe_id_and_fingerprint(
    encoding: serialization.Encoding,
) -> None:
    certificate = make_certificate(x509.DNSName("x"), x509.UniformResourceIdentifier(URI))
    peer = identify_certificate("10.1.2.3:99", certificate.public_bytes(encoding))
    der = certificate.public_bytes(serialization.Encoding.DER)
    assert peer.address == "10.1.2.3:99"
    assert peer.auth == "mtls"
    assert peer.spiffe_id == URI
    assert peer.certificate_sha256 == hashlib.sha256(der).digest()
    assert peer.detail is None


@pytest.mark.parametrize(
    ("uris", "detail"),
    [
        ([], "the certificate has 0 URI SANs, an X.509-SVID has exactly one"),
        ([URI, URI + "2"], "the certificate has 2 URI SANs, an X.509-SVID has exactly one"),
        (["https://example.com/x"], "is not a SPIFFE ID"),
    ],
)
def test_certificate_that_is_no_svid_authenticates_by_its_fingerprint_alone(
    uris: list[str], detail: str
) -> None:
    names = [x509.UniformResourceIdentifier(uri) for uri in uris]
    peer = identify_certificate("p", pem(make_certificate(x509.DNSName("x"), *names)))
    assert peer.auth == "mtls"
    assert peer.spiffe_id is None
    assert peer.certificate_sha256 is not None
    assert peer.detail is not None
    assert detail in peer.detail


def test_certificate_without_any_san_has_no_spiffe_id() -> None:
    peer = identify_certificate("p", pem(make_certificate()))
    assert peer.detail == "the certificate has 0 URI SANs, an X.509-SVID has exactly one"


def test_certificate_whose_san_cannot_be_decoded_has_no_spiffe_id() -> None:
    peer = identify_certificate("p", pem(make_certificate(raw_san=b"\x30\x03\x86\x01\xff")))
    assert peer.spiffe_id is None
    assert peer.certificate_sha256 is not None
    assert "cannot be decoded" in str(peer.detail)


@pytest.mark.parametrize("spoiled", [b"-----BEGIN CERTIFICATE-----\nAAAA\n", b"\x30\x03", b""])
def test_certificate_that_cannot_be_decoded_names_nobody(spoiled: bytes) -> None:
    peer = identify_certificate("p", spoiled)
    assert peer.auth == "mtls"
    assert (peer.spiffe_id, peer.certificate_sha256) == (None, None)
    assert "cannot be decoded" in str(peer.detail)


@pytest.mark.parametrize(
    "text",
    [URI, "spiffe://td/a", "spiffe://a.b-c_d.9/x/Y/z.1_-", "spiffe://td/" + "p" * 2_036],
)
def test_workload_ids_are_spiffe_ids(text: str) -> None:
    assert is_spiffe_id(text)


@pytest.mark.parametrize(
    "text",
    ["", "spiffe://td", "spiffe://td/", "spiffe:///x", "SPIFFE://td/x", "spiffe://TD/x", URI + "/",
     "spiffe://td//x", "spiffe://td/./x", "spiffe://td/../x", "spiffe://td/x?y", "spiffe://td/x#y",
     "spiffe://u@td/x", "spiffe://td:1/x", "spiffe://td/%41", "spiffe://td/ä", URI + "\n",
     "spiffe://" + "t" * 256 + "/x", "spiffe://td/" + "p" * 2_037],
)  # fmt: skip
def test_everything_else_is_no_spiffe_id(text: str) -> None:
    assert not is_spiffe_id(text)
