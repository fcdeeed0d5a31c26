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
