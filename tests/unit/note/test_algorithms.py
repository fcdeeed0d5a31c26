"""Ed25519 as notes use it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from cryptography.exceptions import InvalidSignature

from meshtrail.errors import NoteSyntaxError
from meshtrail.note.algorithms import ALGORITHMS, SignatureType

if TYPE_CHECKING:
    from collections.abc import Iterator

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
L = 2**252 + 27742317777372353535851937790883648493
ED25519 = ALGORITHMS[SignatureType.ED25519]

# RFC 8032 section 7.1: public key, message, signature of tests 1 to 3.
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555"
            "fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da0"
            "85ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac1"
            "8ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
]


@pytest.mark.parametrize(("public_key", "text", "signature"), VECTORS)
def test_ed25519_takes_the_vectors_of_rfc_8032(public_key: str, text: str, signature: str) -> None:
    key = bytes.fromhex(public_key)
    ED25519.check_public_key(key)
    ED25519.check_signature(key, bytes.fromhex(text), bytes.fromhex(signature))


@pytest.mark.parametrize(("public_key", "text", "signature"), VECTORS)
def test_ed25519_refuses_a_signature_whose_scalar_is_not_reduced(
    public_key: str, text: str, signature: str
) -> None:
    good = bytes.fromhex(signature)
    scalar = int.from_bytes(good[32:], "little") + L
    with pytest.raises(InvalidSignature):
        ED25519.check_signature(
            bytes.fromhex(public_key),
            bytes.fromhex(text),
            good[:32] + scalar.to_bytes(32, "little"),
        )


def test_ed25519_refuses_a_public_key_of_another_length() -> None:
    for length in (0, 31, 33, 64):
        with pytest.raises(NoteSyntaxError, match=f"{length} bytes"):
            ED25519.check_public_key(b"\x05" * length)


def test_ed25519_refuses_every_second_spelling_of_a_public_key() -> None:
    for y in range(P, 2**255):
        for sign in (0, 1):
            with pytest.raises(NoteSyntaxError):
                ED25519.check_public_key((y + (sign << 255)).to_bytes(32, "little"))


Point = tuple[int, int]
NEUTRAL: Point = (0, 1)


def add(a: Point, b: Point) -> Point:
    product = D * a[0] * b[0] * a[1] * b[1]
    x = (a[0] * b[1] + a[1] * b[0]) * pow(1 + product, -1, P)
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, -1, P)
    return x % P, y % P


def multiply(scalar: int, point: Point) -> Point:
    product = NEUTRAL
    while scalar:
        if scalar & 1:
            product = add(product, point)
        point, scalar = add(point, point), scalar >> 1
    return product


def find_points() -> Iterator[Point]:
    for y in itertools.count(2):
        square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
        root = pow(square, (P + 3) // 8, P)
        for x in (root, root * pow(2, P // 4, P) % P):
            if x * x % P == square:
                yield x, y


def find_small_order_points() -> set[Point]:
    """The eight points with 8P = 0: the multiples of L times a point that generates them all."""
    for point in find_points():
        torsion = multiply(L, point)
        found = {multiply(scalar, torsion) for scalar in range(8)}
        if len(found) == 8:
            return found
    raise AssertionError


def test_ed25519_refuses_every_public_key_of_small_order() -> None:
    for x, y in find_small_order_points():
        with pytest.raises(NoteSyntaxError):
            ED25519.check_public_key((y | (x & 1) << 255).to_bytes(32, "little"))


def test_ed25519_refuses_every_signature_under_a_key_that_is_not_on_the_curve() -> None:
    off_curve = (2).to_bytes(32, "little")
    ED25519.check_public_key(off_curve)
    with pytest.raises(InvalidSignature):
        ED25519.check_signature(off_curve, b"text", bytes(64))
