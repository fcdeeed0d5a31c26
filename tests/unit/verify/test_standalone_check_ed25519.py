"""The checker that lies in a bundle: Ed25519 in pure Python against OpenSSL."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from meshtrail.verify import standalone_check as checker


def agree(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature is good, in the verdict of both implementations."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
        theirs = True
    except InvalidSignature:
        theirs = False
    try:
        checker.check_ed25519(public_key, message, signature)
        ours = True
    except checker.NotProven:
        ours = False
    assert ours == theirs
    return ours


def make_signatures(count: int) -> list[tuple[bytes, bytes, bytes]]:
    made = []
    for number in range(count):
        private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"%d" % number).digest())
        message = b"message" * number
        made.append((private.public_key().public_bytes_raw(), message, private.sign(message)))
    return made


def test_ed25519_takes_what_openssl_signs() -> None:
    for public_key, message, signature in make_signatures(30):
        assert agree(public_key, message, signature)
        assert not agree(public_key, message + b"\0", signature)


def test_ed25519_gives_openssls_verdict_on_every_flipped_bit() -> None:
    [(public_key, message, signature)] = make_signatures(3)[2:]
    for bit in range(0, 512, 17):
        flipped = bytearray(signature)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not agree(public_key, message, bytes(flipped))
    for bit in range(0, 256, 17):
        flipped = bytearray(public_key)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not agree(bytes(flipped), message, signature)


def test_ed25519_refuses_another_spelling_of_a_good_signature() -> None:
    for public_key, message, signature in make_signatures(5):
        s = int.from_bytes(signature[32:], "little")
        for other in (s + checker.L, s + 2 * checker.L, (-s) % checker.L):
            assert not agree(public_key, message, signature[:32] + other.to_bytes(32, "little"))
        for length in (0, 31, 32, 63):
            assert not agree(public_key, message, signature[:length])
        assert not agree(public_key, message, signature + b"\0")


def point_of_order_8() -> tuple[int, ...]:
    """L times a point that is on the curve and outside the group of the base point."""
    for y in range(2, 100):
        try:
            point = checker.multiply(checker.L, checker.decode_point(y.to_bytes(32, "little")))
        except checker.NotProven:
            continue
        if checker.encode_point(checker.multiply(4, point)) != encoded(0, 1):
            return point
    raise AssertionError


def encoded(x: int, y: int) -> bytes:
    return checker.encode_point((x, y, 1, x * y % checker.P))


def sign_raw(scalar: int, nonce_point: tuple[int, ...], nonce: int, public_key: bytes) -> bytes:
    r = checker.encode_point(nonce_point)
    h = int.from_bytes(hashlib.sha512(r + public_key + b"message").digest(), "little")
    return r + ((nonce + h * scalar) % checker.L).to_bytes(32, "little")


def test_ed25519_gives_openssls_verdict_on_points_with_a_part_of_small_order() -> None:
    torsion = point_of_order_8()
    verdicts = set()
    for number in range(16):
        scalar = int.from_bytes(hashlib.sha256(b"%d" % number).digest(), "little") % checker.L
        nonce = scalar * scalar % checker.L
        key_point = checker.add(
            checker.multiply(scalar, checker.BASE), checker.multiply(number % 8, torsion)
        )
        nonce_point = checker.add(
            checker.multiply(nonce, checker.BASE), checker.multiply(number // 2 % 8, torsion)
        )
        public_key = checker.encode_point(key_point)
        # Good if the equation is multiplied by 8, and mostly not as it stands.
        verdicts.add(
            agree(public_key, b"message", sign_raw(scalar, nonce_point, nonce, public_key))
        )
    assert verdicts == {True, False}


def test_ed25519_refuses_every_key_of_small_order_and_every_second_spelling_of_a_key() -> None:
    torsion = point_of_order_8()
    keys = {checker.encode_point(checker.multiply(factor, torsion)) for factor in range(8)}
    assert len(keys) == 8
    keys |= {
        (y + (sign << 255)).to_bytes(32, "little")
        for y in range(checker.P, 2**255)
        for sign in (0, 1)
    }
    keys |= {
        (1 + (1 << 255)).to_bytes(32, "little"),
        (checker.P - 1 + (1 << 255)).to_bytes(32, "little"),
    }
    for public_key in keys:
        for nonce in range(1, 9):
            point = checker.multiply(nonce, checker.BASE)
            with pytest.raises(checker.NotProven, match="the log's key is"):
                checker.check_ed25519(public_key, b"message", sign_raw(0, point, nonce, public_key))
