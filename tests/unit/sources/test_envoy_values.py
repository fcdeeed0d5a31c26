from __future__ import annotations

import tracemalloc

import pytest

from meshtrail.sources import envoy_values as envoy
from meshtrail.sources.envoy_messages import read_flags
from meshtrail.sources.envoy_values import (
    REMEMBERED_LENGTH_MAX,
    read_denial,
    split_policy_id,
    split_spiffe_id,
    tls_version_name,
)


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("spiffe://cluster.local/ns/shop/sa/pay", ("cluster.local", "shop", "pay")),
        ("spiffe://cluster.local/workload", ("cluster.local", None, None)),
        ("spiffe://cluster.local/ns/shop/sa/pay/x", ("cluster.local", None, None)),
        ("spiffe://Cluster.local/ns/shop/sa/pay", (None, None, None)),
        ("spiffe://cluster.local/ns/../sa/pay", (None, None, None)),
        ("spiffe://cluster.local/ns//sa/pay", (None, None, None)),
        ("spiffe://cluster.local/ns/shop/sa/pay\n", (None, None, None)),
        ("spiffe://cluster.local", (None, None, None)),
        ("spiffe://a/" + "b" * 2_037, ("a", None, None)),
        ("spiffe://a/" + "b" * 2_038, (None, None, None)),
        ("", (None, None, None)),
        (None, (None, None, None)),
    ],
)
def test_spiffe_ids_are_taken_apart(uri: str | None, parts: tuple[str | None, ...]) -> None:
    assert split_spiffe_id(uri) == parts


@pytest.mark.parametrize(
    ("policy_id", "parts"),
    [
        ("ns[a]-policy[b]-rule[0]", ("b", "a", "0")),
        ("ns[a]-policy[b]-rule[0]\n", ("ns[a]-policy[b]-rule[0]\n", None, None)),
        ("anything", ("anything", None, None)),
        ("", (None, None, None)),
    ],
)
def test_policy_ids_of_istio_are_taken_apart(policy_id: str, parts: tuple[str | None, ...]) -> None:
    assert split_policy_id(policy_id) == parts


def test_long_values_mean_the_same_as_short_ones() -> None:
    name = "p" * REMEMBERED_LENGTH_MAX
    assert split_policy_id(f"ns[a]-policy[{name}]-rule[0]").name == name
    assert read_denial(f"rbac_access_denied_matched_policy[{name}]").policy_id == name
    assert read_flags(b"\xff" * 1_000).problem == "response_flags: not a protobuf message"


def test_long_values_are_not_remembered() -> None:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(50):
            read_denial(f"{number}" + "x" * 1_000_000)
            read_flags(b"\x00" + number.to_bytes(8, "big") + b"x" * 1_000_000)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1_000_000


@pytest.mark.parametrize(
    "details", ["[" * 200_000, "rbac_access_denied_matched_policy[" + "]" * 200_000 + "x"]
)
def test_hostile_details_take_no_more_than_one_look(details: str) -> None:
    # A pattern that backtracks would need hours for this.
    assert read_denial(details).decision is None
    assert split_policy_id("ns[" * 60_000).name == "ns[" * 60_000


def test_a_cipher_suite_is_named_or_shown_in_hex() -> None:
    assert envoy.cipher_suite_name(4865) == "TLS_AES_128_GCM_SHA256"
    assert envoy.cipher_suite_name(0x1399) == "0x1399"
    assert envoy.cipher_suite_name(0xFFFF) is None
    assert envoy.cipher_suite_name(None) is None


@pytest.mark.parametrize(
    ("openssl", "iana"),
    [
        ("TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
        ("ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
        ("AES256-SHA", "TLS_RSA_WITH_AES_256_CBC_SHA"),
        ("DES-CBC3-SHA", "DES-CBC3-SHA"),
        (None, None),
    ],
)
def test_cipher_suites_have_one_name_however_they_are_written(
    openssl: str | None, iana: str | None
) -> None:
    assert envoy.cipher_of_text(openssl) == iana


def test_every_suite_before_tls_1_3_has_an_openssl_name() -> None:
    # Those of TLS 1.3 are the same in both.
    named = {name for name in envoy.CIPHER_SUITES.values() if "_WITH_" in name}
    openssl = [
        f"{kind}{cipher}"
        for kind in ("", "ECDHE-RSA-", "ECDHE-ECDSA-")
        for cipher in ("AES128-SHA", "AES256-SHA", "AES128-GCM-SHA256", "AES256-GCM-SHA384")
    ]
    openssl += ["ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-ECDSA-CHACHA20-POLY1305"]
    assert {envoy.cipher_of_text(name) for name in openssl} == named


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("TLSv1.3", "1.3"),
        ("TLSv1.2", "1.2"),
        ("TLSv1", "1.0"),
        ("1.3", None),
        ("SSLv3", None),
        (None, None),
    ],
)
def test_tls_versions_are_known_by_their_names_alone(text: str | None, version: str | None) -> None:
    assert envoy.tls_version_of_text(text) == version


@pytest.mark.parametrize(
    ("text", "version"),
    [("HTTP/1.1", "1.1"), ("HTTP/2", "2"), ("2", None), ("SPDY", None), (None, None)],
)
def test_protocols_are_known_by_their_names_alone(text: str | None, version: str | None) -> None:
    assert envoy.protocol_of_text(text) == version


@pytest.mark.parametrize(
    ("text", "flags"),
    [("URX,UF", "UF,URX"), ("UDO,UF", "UF,UDO"), ("NR", "NR"), (",", None), (None, None)],
)
def test_flags_stand_in_one_order(text: str | None, flags: str | None) -> None:
    assert envoy.flags_of_text(text) == flags


@pytest.mark.parametrize(
    ("names", "only", "is_many"),
    [("a", "a", False), ("a,b", None, True), ("a,", "a", False), (",", None, False)],
)
def test_names_of_a_certificate_are_parted_at_commas(
    *, names: str, only: str | None, is_many: bool
) -> None:
    assert envoy.uris_of_text(names) == (only, is_many)


def test_mended_text_is_found_fast_and_has_a_mark_for_each_bad_byte() -> None:
    assert envoy.mend_utf8(b"\xff" * 100_000 + "é".encode()) == "!" * 100_000 + "é"


@pytest.mark.parametrize(
    ("code", "suite", "version"),
    [
        (3, 0xC02B, "1.2"),
        (4, 0x1302, "1.3"),
        (1, 0x002F, "1.0"),
        # Asked before anything was agreed on, Envoy keeps the answer.
        (3, 0x1302, "1.3"),
        (3, 0xFFFF, None),
        (0, None, None),
        (3, None, "1.2"),
        (9, None, "9"),
    ],
)
def test_tls_version_is_the_one_that_was_agreed_on(
    code: int, suite: int | None, version: str | None
) -> None:
    assert tls_version_name(code, suite) == version
