"""Keys of signed notes: the public half that people pass around, and the private half.

    vkey      <name>+<8 hex digits of key id>+<base64(type || public key)>
    private   PRIVATE+KEY+<name>+<8 hex digits of key id>+<base64(0x01 || 32-byte seed)>

Must not read or write files: where a private key lives, and who may read it, is the caller's
business. No error and no repr of this module repeats text that could be a private key.

Source: c2sp.org/signed-note@v1.0.0; the private form is that of Go's sumdb/note.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from meshtrail.errors import NoteSyntaxError, SignatureError
from meshtrail.note.algorithms import ALGORITHMS, Algorithm, SignatureType
from meshtrail.note.encoding import decode_base64, encode_base64
from meshtrail.note.signed_note import KEY_ID_BYTES, check_key_name

_PRIVATE_PREFIX = "PRIVATE+KEY+"
_SEED_BYTES = 32
_VKEY_PARTS = 3
_FINGERPRINT_GROUP = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierKey:
    """A public key with its name; a ``Verifier``. Holding one does not mean trusting it."""

    name: str
    signature_type: SignatureType
    public_key: bytes

    def __post_init__(self) -> None:
        """Raise NoteSyntaxError for a bad name, an unsupported type or a bad public key."""
        check_key_name(self.name)
        self._algorithm().check_public_key(self.public_key)

    @property
    def key_id(self) -> bytes:
        """The first 4 bytes of SHA-256(name || 0x0A || type || public key)."""
        hashed = self.name.encode() + b"\n" + self.typed_key
        return hashlib.sha256(hashed).digest()[:KEY_ID_BYTES]

    def check_signature(self, text: bytes, signature: bytes) -> None:
        """Return when this key made ``signature`` over the note's ``text``.

        Raises:
            SignatureError: it did not.
        """
        try:
            self._algorithm().check_signature(self.public_key, text, signature)
        except InvalidSignature as error:
            raise SignatureError(
                f"note has a bad signature in the name of {self.name}+{self.key_id.hex()}",
                key_name=self.name,
                key_id=self.key_id,
            ) from error

    @property
    def typed_key(self) -> bytes:
        """The type byte and the public key, as a vkey carries them."""
        return bytes([self.signature_type]) + self.public_key

    def _algorithm(self) -> Algorithm:
        try:
            return ALGORITHMS[self.signature_type]
        except KeyError as error:
            raise NoteSyntaxError(
                f"signature type 0x{self.signature_type:02x} of key {self.name!r} is not supported"
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SignerKey:
    """An Ed25519 private key with its verifier key; a ``Signer``.

    The repr shows the verifier key only, and pickling one raises TypeError (``cryptography``
    refuses it): the seed leaves this object through ``format_private_key`` alone.
    """

    verifier: VerifierKey
    private: Ed25519PrivateKey = field(repr=False)

    @property
    def name(self) -> str:
        """The key name."""
        return self.verifier.name

    @property
    def key_id(self) -> bytes:
        """The 4-byte key id."""
        return self.verifier.key_id

    def sign(self, text: bytes) -> bytes:
        """Return the 64-byte signature over ``text``."""
        return self.private.sign(text)


def generate_signer(name: str) -> SignerKey:
    """Return a new key called ``name``, from the operating system's random source.

    Raises:
        NoteSyntaxError: ``name`` cannot name a key.
    """
    return _make_signer(name, Ed25519PrivateKey.generate())


def format_vkey(key: VerifierKey) -> str:
    """Return the one line that ``key`` is passed around as, without a newline."""
    return f"{key.name}+{key.key_id.hex()}+{encode_base64(key.typed_key)}"


def parse_vkey(text: str) -> VerifierKey:
    """Return the key whose ``format_vkey`` is exactly ``text``.

    Raises:
        NoteSyntaxError: there is no such key: not in the form, a key id that name and key do not
            give, a signature type that is not supported, a bad public key; or a private key.
    """
    if text.startswith(_PRIVATE_PREFIX):
        raise NoteSyntaxError("this is a private key; a verifier key was wanted")
    # Only the first two plus signs separate: base64 has plus signs of its own.
    parts = text.split("+", _VKEY_PARTS - 1)
    if len(parts) != _VKEY_PARTS:
        raise NoteSyntaxError("verifier key is not in the form name+id+base64")
    name, key_id_hex, typed_base64 = parts
    typed_key = decode_base64(typed_base64)
    try:
        signature_type = SignatureType(typed_key[0])
    except (IndexError, ValueError) as error:
        raise NoteSyntaxError(
            f"verifier key has an unknown signature type: 0x{typed_key[:1].hex()}"
        ) from error
    key = VerifierKey(name=name, signature_type=signature_type, public_key=typed_key[1:])
    if format_vkey(key) != text:
        raise NoteSyntaxError(
            f"verifier key says key id {key_id_hex[:16]!r},"
            f" its name and public key give {key.key_id.hex()}"
        )
    return key


def format_private_key(signer: SignerKey) -> str:
    """Return the secret line that ``signer`` is kept as, without a newline."""
    seed = signer.private.private_bytes_raw()
    secret = encode_base64(bytes([SignatureType.ED25519]) + seed)
    return f"{_PRIVATE_PREFIX}{signer.name}+{signer.key_id.hex()}+{secret}"


def parse_private_key(text: str) -> SignerKey:
    """Return the key whose ``format_private_key`` is exactly ``text``.

    Raises:
        NoteSyntaxError: there is no such key. The message says nothing of ``text``.
    """
    signer = _try_private_key(text)
    # Raised out here, so that no chained error carries a part of the secret.
    if signer is None or format_private_key(signer) != text:
        raise NoteSyntaxError(f"not a private key in the form {_PRIVATE_PREFIX}name+id+base64")
    return signer


def format_fingerprint(key: VerifierKey) -> str:
    """Return what two people compare to know that they hold the same key.

    It is the SHA-256 of the vkey line without its newline, in groups of four hex digits, so that
    ``printf %s "$VKEY" | sha256sum`` gives it to anyone. It covers the name as well as the key.
    """
    digits = hashlib.sha256(format_vkey(key).encode()).hexdigest()
    groups = range(0, len(digits), _FINGERPRINT_GROUP)
    return " ".join(digits[start : start + _FINGERPRINT_GROUP] for start in groups)


def _make_signer(name: str, private: Ed25519PrivateKey) -> SignerKey:
    verifier = VerifierKey(
        name=name,
        signature_type=SignatureType.ED25519,
        public_key=private.public_key().public_bytes_raw(),
    )
    return SignerKey(verifier=verifier, private=private)


def _try_private_key(text: str) -> SignerKey | None:
    parts = text.removeprefix(_PRIVATE_PREFIX).split("+", _VKEY_PARTS - 1)
    if len(parts) != _VKEY_PARTS:
        return None
    name, _, secret_base64 = parts
    try:
        secret = decode_base64(secret_base64)
        if len(secret) != 1 + _SEED_BYTES:
            return None
        return _make_signer(name, Ed25519PrivateKey.from_private_bytes(secret[1:]))
    except NoteSyntaxError:
        return None
