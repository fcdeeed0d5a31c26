"""Signed notes: text, a blank line, and one signature line for each key that signed the text.

    <text, ends in a newline, may hold blank lines itself>

    — <key name> <base64(4-byte key id || signature)>

``parse_note`` and ``format_note`` know the syntax only; ``open_note`` is the single way to a
``VerifiedNote``. Must not know what the text says, nor how a signature is made: keys come in as
``Signer`` and ``Verifier``.

Source: c2sp.org/signed-note@v1.0.0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from meshtrail.errors import ConfigError, NoteSyntaxError, SignatureError
from meshtrail.note.encoding import decode_base64, encode_base64

if TYPE_CHECKING:
    from collections.abc import Sequence

NOTE_BYTES_MAX = 1_000_000  # as Go's sumdb/note
SIGNATURES_MAX = 100  # as Go's; the specification asks for at least 16
KEY_ID_BYTES = 4

_PREFIX = "\u2014 "  # em dash, space
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")  # below U+0020, newline excepted


class Verifier(Protocol):
    """Checks the signatures of one key."""

    @property
    def name(self) -> str:
        """The key name, as signature lines spell it."""
        ...

    @property
    def key_id(self) -> bytes:
        """The 4-byte key id."""
        ...

    def check_signature(self, text: bytes, signature: bytes) -> None:
        """Raise SignatureError unless this key made ``signature`` over the note's ``text``."""
        ...


class Signer(Protocol):
    """Makes the signatures of one key."""

    @property
    def name(self) -> str:
        """The key name, as signature lines spell it."""
        ...

    @property
    def key_id(self) -> bytes:
        """The 4-byte key id."""
        ...

    def sign(self, text: bytes) -> bytes:
        """Return this key's signature over the note's ``text``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureLine:
    """One signature line: who claims to have signed, and the signature without the key id."""

    key_name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedNote:
    """A note whose signatures nobody has checked: ``text`` is whatever the sender wrote."""

    text: str
    signatures: tuple[SignatureLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedNote:
    """A note that at least one trusted key signed; only ``open_note`` makes one."""

    text: str
    signed_by: tuple[Verifier, ...]
    """Each trusted key with a good signature once, in the order of the lines."""


def check_key_name(name: str) -> None:
    """Return when ``name`` can name a key: not empty, no Unicode whitespace, no plus sign.

    Raises:
        NoteSyntaxError: it cannot.
    """
    # U+001C to U+001F are whitespace for str.isspace and not for Unicode; notes ban them anyway.
    if not name or "+" in name or any(character.isspace() for character in name):
        raise NoteSyntaxError(f"key name {name[:80]!r} is empty, or has whitespace or a plus sign")
    _encode_text(name)


def format_note(note: UnverifiedNote, *, bytes_max: int = NOTE_BYTES_MAX) -> bytes:
    """Return the bytes of ``note``.

    Raises:
        NoteSyntaxError: ``note`` has no spelling: text that does not end in a newline, control
            characters, a bad key name or key id, an empty signature, none or more than 100
            signatures, more than ``bytes_max`` bytes.
    """
    if not note.text.endswith("\n"):
        raise NoteSyntaxError(f"note text does not end in a newline: …{note.text[-40:]!r}")
    if not 1 <= len(note.signatures) <= SIGNATURES_MAX:
        raise NoteSyntaxError(
            f"note has {len(note.signatures)} signatures, wanted 1 to {SIGNATURES_MAX}"
        )
    content = note.text + "\n" + "".join(_format_signature_line(line) for line in note.signatures)
    control = _CONTROL.search(content)
    if control:
        raise NoteSyntaxError(
            f"note has the control character U+{ord(control[0]):04X} at character {control.start()}"
        )
    data = _encode_text(content)
    if len(data) > bytes_max:
        raise NoteSyntaxError(f"note has {len(data)} bytes, at most {bytes_max} are allowed")
    return data


def parse_note(data: bytes, *, bytes_max: int = NOTE_BYTES_MAX) -> UnverifiedNote:
    """Return the note whose ``format_note`` is exactly ``data``.

    Raises:
        NoteSyntaxError: there is no such note.

    Source: c2sp.org/signed-note@v1.0.0, "Format".
    """
    if len(data) > bytes_max:
        raise NoteSyntaxError(f"note has {len(data)} bytes, at most {bytes_max} are allowed")
    try:
        content = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoteSyntaxError(f"note is not UTF-8 at byte {error.start}") from error
    # The text may hold blank lines, so the last one is the separator.
    separator = content.rfind("\n\n")
    if separator < 0:
        raise NoteSyntaxError("note has no blank line between text and signatures")
    text, block = content[: separator + 1], content[separator + 2 :]
    lines = block.split("\n")
    if lines.pop():
        raise NoteSyntaxError("note does not end in a newline")
    if len(lines) > SIGNATURES_MAX:
        raise NoteSyntaxError(f"note has {len(lines)} signatures, wanted 1 to {SIGNATURES_MAX}")
    note = UnverifiedNote(
        text=text, signatures=tuple(_parse_signature_line(line) for line in lines)
    )
    if format_note(note, bytes_max=bytes_max) != data:
        raise NoteSyntaxError("note is not in canonical form")
    return note


def open_note(note: UnverifiedNote, verifiers: Sequence[Verifier]) -> VerifiedNote:
    """Return ``note`` as verified by at least one of ``verifiers``.

    Lines of keys that are not among ``verifiers`` are ignored, even when they share a name or a
    key id (not both) with one. Several lines of one key count once, and each of them must be
    good: Go's implementation looks at the first only, and would let anyone append a second.

    Raises:
        SignatureError: one of ``verifiers`` has a bad signature in the note, or none of them has
            a signature there.
        ConfigError: two different ``verifiers`` share name and key id.

    Source: c2sp.org/signed-note@v1.0.0, "Signatures".
    """
    trusted: dict[tuple[str, bytes], Verifier] = {}
    for verifier in verifiers:
        if trusted.setdefault((verifier.name, verifier.key_id), verifier) != verifier:
            raise ConfigError(
                f"two trusted keys are both called {verifier.name}+{verifier.key_id.hex()}"
            )
    text = note.text.encode("utf-8")
    signed_by: dict[tuple[str, bytes], Verifier] = {}
    for line in note.signatures:
        key = (line.key_name, line.key_id)
        if key in trusted:
            trusted[key].check_signature(text, line.signature)
            signed_by[key] = trusted[key]
    if not signed_by:
        wanted = ", ".join(f"{name}+{key_id.hex()}" for name, key_id in trusted) or "nobody"
        got = ", ".join(f"{line.key_name}+{line.key_id.hex()}" for line in note.signatures[:16])
        raise SignatureError(f"note is not signed by a trusted key: wanted {wanted}, got {got}")
    return VerifiedNote(text=note.text, signed_by=tuple(signed_by.values()))


def sign_note(text: str, signers: Sequence[Signer], *, bytes_max: int = NOTE_BYTES_MAX) -> bytes:
    """Return the note of ``text`` with one signature line for each of ``signers``, in order.

    Raises:
        NoteSyntaxError: there is no such note, see ``format_note``.
    """
    data = _encode_text(text)
    lines = (
        SignatureLine(key_name=signer.name, key_id=signer.key_id, signature=signer.sign(data))
        for signer in signers
    )
    return format_note(UnverifiedNote(text=text, signatures=tuple(lines)), bytes_max=bytes_max)


def _parse_signature_line(line: str) -> SignatureLine:
    name, space, payload_base64 = line.removeprefix(_PREFIX).partition(" ")
    if not line.startswith(_PREFIX) or not space:
        raise NoteSyntaxError(f"signature line {line[:80]!r} is not '— name base64'")
    payload = decode_base64(payload_base64)
    return SignatureLine(
        key_name=name, key_id=payload[:KEY_ID_BYTES], signature=payload[KEY_ID_BYTES:]
    )


def _format_signature_line(line: SignatureLine) -> str:
    check_key_name(line.key_name)
    if len(line.key_id) != KEY_ID_BYTES or not line.signature:
        raise NoteSyntaxError(
            f"signature of {line.key_name[:80]!r} has a key id of {len(line.key_id)} bytes and"
            f" {len(line.signature)} bytes of signature, wanted {KEY_ID_BYTES} and at least 1"
        )
    return f"{_PREFIX}{line.key_name} {encode_base64(line.key_id + line.signature)}\n"


def _encode_text(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise NoteSyntaxError(f"text has half a surrogate pair at {error.start}") from error
