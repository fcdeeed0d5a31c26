"""Signature types of notes, and how each that is supported checks a signature.

A type that has a number here and no entry in ``ALGORITHMS`` is known and not supported. Must not
know of key names or of the text format of keys.

Source: c2sp.org/signed-note@v1.0.0, "Signature types"; RFC 8032.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from meshtrail.errors import NoteSyntaxError

if TYPE_CHECKING:
    from collections.abc import Mapping


class SignatureType(IntEnum):
    """The byte before a public key: what kind of signature the key makes."""

    ED25519 = 0x01
    ED25519_COSIGNATURE = 0x04
    ML_DSA_44_COSIGNATURE = 0x06


class Algorithm(Protocol):
    """What a signature type needs to know; keys are the bytes that follow the type in a vkey."""

    def check_public_key(self, public_key: bytes) -> None:
        """Raise NoteSyntaxError unless ``public_key`` is one that an honest signer could have."""
        ...

    def check_signature(self, public_key: bytes, text: bytes, signature: bytes) -> None:
        """Raise InvalidSignature (of ``cryptography``) unless the signature is good.

        Args:
            public_key: one that ``check_public_key`` took.
            text: the note's text; the algorithm makes the signed message from it.
            signature: what follows the key id in the signature line.
        """
        ...


_FIELD_PRIME = 2**255 - 19
# y of the points of order 8: doubled they have y = 0, so x^2 = -y^2, and the curve equation
# -x^2 + y^2 = 1 + d*x^2*y^2 becomes d*y^4 + 2*y^2 = 1. Its two roots are this and its negative.
_ORDER_8_Y = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER_Y = frozenset({0, 1, _FIELD_PRIME - 1, _ORDER_8_Y, _FIELD_PRIME - _ORDER_8_Y})


class Ed25519:
    """Ed25519 over the note's text, as RFC 8032 has it."""

    public_key_bytes = 32

    def check_public_key(self, public_key: bytes) -> None:
        """Refuse a key of another length, in a second spelling, or of small order.

        OpenSSL takes the last two. A point with a y of the field prime or more is another
        spelling of a smaller y, and RFC 8032 refuses it. Under a key of small order one signature
        is good for many texts, so it commits its holder to nothing.
        """
        if len(public_key) != self.public_key_bytes:
            raise NoteSyntaxError(
                f"Ed25519 public key has {len(public_key)} bytes, wanted {self.public_key_bytes}"
            )
        y = int.from_bytes(public_key, "little") & (2**255 - 1)
        if y >= _FIELD_PRIME or y in _SMALL_ORDER_Y:
            raise NoteSyntaxError(
                f"Ed25519 public key {public_key[:8].hex()}… is not canonical or of small order"
            )

    def check_signature(self, public_key: bytes, text: bytes, signature: bytes) -> None:
        """Check ``signature`` over ``text`` itself."""
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, text)


ALGORITHMS: Mapping[SignatureType, Algorithm] = {SignatureType.ED25519: Ed25519()}
