from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from meshtrail.collect.peer import Peer
from meshtrail.collect.sender_identity import identify_by_certificate
from meshtrail.demo.authority import Authority

if TYPE_CHECKING:
    from pathlib import Path


def test_a_sender_is_who_its_certificate_says_in_either_form(tmp_path: Path) -> None:
    identity = Authority(tmp_path).issue("ns/shop/sa/payments")
    begin = "-----BEGIN CERTIFICATE-----"
    pem = begin + identity.chain.read_text().split(begin)[1]
    der = ssl.PEM_cert_to_DER_cert(pem)
    found = [
        identify_by_certificate("10.0.0.7:1", form, [], "otlp") for form in (pem.encode(), der)
    ]
    assert found[0] == found[1]
    assert (found[0].address, found[0].auth) == ("10.0.0.7:1", "mtls")
    assert found[0].spiffe_id == identity.spiffe_id


def test_a_sender_without_a_certificate_is_nobody_whatever_its_head_says() -> None:
    headers: list[tuple[str | bytes, str | bytes]] = [
        ("x-forwarded-client-cert", "URI=spiffe://a/b"),
        (b"authorization", b"Bearer x"),
    ]
    assert identify_by_certificate("[::1]:1", None, headers, "otlp") == Peer(address="[::1]:1")
