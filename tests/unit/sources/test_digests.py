from __future__ import annotations

import pytest

from meshtrail.sources.digests import find_digest, read_address, read_commit

DIGEST = "sha256:" + "0a" * 32


@pytest.mark.parametrize(
    "reference",
    [
        DIGEST,
        f"registry.example:5000/shop/app@{DIGEST}",
        f"docker-pullable://app@{DIGEST}",
        f"docker://{DIGEST}",
        f"app:2.14@{DIGEST}",
    ],
)
def test_digest_is_found_at_the_end_of_a_reference(reference: str) -> None:
    assert find_digest(reference) == DIGEST


@pytest.mark.parametrize(
    "reference",
    [None, "", "app:2.14", "sha256:0a", DIGEST + "0", DIGEST + "\n", f"x{DIGEST}", DIGEST.upper()],
)
def test_what_ends_in_no_digest_has_none(reference: str | None) -> None:
    assert find_digest(reference) is None


def test_commit_is_40_or_64_digits_in_lower_case() -> None:
    assert read_commit("AB" * 20) == "ab" * 20
    assert read_commit("ab" * 32) == "ab" * 32
    assert [read_commit(text) for text in (None, "", "ab" * 10, "g" * 40, "0" * 40)] == [None] * 5


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("FD00:0:0::1", "fd00::1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("fe80::1%eth0", None),
        ("10.0.0.01", None),
        ("10.0.0.0/24", None),
        ("", None),
    ],
)
def test_address_has_one_spelling(text: str, address: str | None) -> None:
    assert read_address(text) == address
