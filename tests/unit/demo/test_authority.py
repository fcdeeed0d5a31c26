from __future__ import annotations

import hashlib
import stat
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from meshtrail.demo.authority import Authority

if TYPE_CHECKING:
    from pathlib import Path


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_svid_has_one_uri_which_is_its_spiffe_id_and_no_ca_bit(tmp_path: Path) -> None:
    identity = Authority(tmp_path).issue("ns/shop/sa/payments")
    leaf = certificate(identity.chain)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.critical
    assert [name.value for name in names.value] == [identity.spiffe_id]
    assert identity.spiffe_id == "spiffe://cluster.local/ns/shop/sa/payments"
    with pytest.raises(x509.ExtensionNotFound):
        leaf.extensions.get_extension_for_class(x509.BasicConstraints)


def test_identity_tells_the_hash_of_its_certificate(tmp_path: Path) -> None:
    identity = Authority(tmp_path).issue("ns/shop/sa/payments")
    der = certificate(identity.chain).public_bytes(Encoding.DER)
    assert identity.sha256() == hashlib.sha256(der).hexdigest()


def test_private_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    identity = Authority(tmp_path).issue("ns/shop/sa/payments")
    assert stat.S_IMODE(identity.key.stat().st_mode) == 0o600


def test_second_svid_of_an_identity_leaves_the_first_as_it_is(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    first = authority.issue("ns/shop/sa/payments")
    before = first.chain.read_bytes()
    second = authority.issue("ns/shop/sa/payments")
    assert second.spiffe_id == first.spiffe_id
    assert {first.chain, first.key}.isdisjoint({second.chain, second.key})
    assert first.chain.read_bytes() == before


def test_svid_is_signed_by_its_own_authority_and_no_other(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "a"), Authority(tmp_path / "b")
    leaf = certificate(authority.issue("ns/shop/sa/payments").chain)
    leaf.verify_directly_issued_by(certificate(authority.bundle))
    with pytest.raises(InvalidSignature):
        leaf.verify_directly_issued_by(certificate(other.bundle))
