"""Keys: their text forms, their ids, and the secrecy of the private half."""

from __future__ import annotations

import dataclasses
import hashlib
import pickle  # noqa: TID251 - to show that it refuses

import pytest

from meshtrail.errors import NoteSyntaxError, SignatureError
from meshtrail.note.algorithms import SignatureType
from meshtrail.note.encoding import encode_base64
from meshtrail.note.keys import (
    VerifierKey,
    format_fingerprint,
    format_private_key,
    format_vkey,
    generate_signer,
    parse_private_key,
    parse_vkey,
)

FOO_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"

# Seed and public key of RFC 8032 section 7.1, test 1, under a name of our own.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC_KEY = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
NAME = "mesh/cluster/0badcafe"
VKEY = f"{NAME}+6d65f8f6+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"
PRIVATE = f"PRIVATE+KEY+{NAME}+6d65f8f6+AZ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g"


def vkey_of(name: str, typed_key: bytes) -> str:
    """A vkey whose key id is right, whatever else is wrong with it."""
    key_id = hashlib.sha256(name.encode() + b"\n" + typed_key).hexdigest()[:8]
    return f"{name}+{key_id}+{encode_base64(typed_key)}"


def test_vkey_of_the_specification_round_trips() -> None:
    key = parse_vkey(FOO_VKEY)
    assert key.name == "example.com/foo"
    assert key.signature_type is SignatureType.ED25519
    assert key.key_id.hex() == "530d903a"
    assert format_vkey(key) == FOO_VKEY


def test_vkey_splits_at_the_first_two_plus_signs_only() -> None:
    assert VKEY.count("+") == 3
    assert parse_vkey(VKEY).public_key == PUBLIC_KEY


@pytest.mark.parametrize(
    "text",
    [
        "",
        "++",
        "name",
        "name+6d65f8f6",
        VKEY + "\n",
        " " + VKEY,
        VKEY.replace("6d65f8f6", "6D65F8F6"),
        VKEY.replace("6d65f8f6", "6d65f8f7"),
        VKEY.replace("6d65f8f6", "06d65f8f6"),
        VKEY.replace("6d65f8f6", ""),
        VKEY.replace("mesh", "mash"),
        VKEY.replace("B1Ea", "B1Eb"),
        VKEY + "=",
        VKEY[:-4],
        vkey_of("", b"\x01" + PUBLIC_KEY),
        vkey_of("a b", b"\x01" + PUBLIC_KEY),
        vkey_of("a\u2028b", b"\x01" + PUBLIC_KEY),
        vkey_of("a", b""),
        vkey_of("a", b"\x01"),
        vkey_of("a", b"\x01" + PUBLIC_KEY + b"\0"),
        vkey_of("a", b"\x02" + PUBLIC_KEY),
        vkey_of("a", b"\x04" + PUBLIC_KEY),
        vkey_of("a", b"\x06" + bytes(1312)),
        vkey_of("a", b"\xff" + PUBLIC_KEY),
        vkey_of("a", b"\x01" + b"\xff" * 32),
        vkey_of("a", b"\x01" + bytes(32)),
        # The test key of transparency-dev/formats, whose id is not that of its bytes.
        "test+5893dc2c+" + encode_base64(b"\x06" + bytes(1312)),
    ],
    ids=range(27),
)
def test_parse_vkey_refuses_what_format_vkey_does_not_write(text: str) -> None:
    with pytest.raises(NoteSyntaxError):
        parse_vkey(text)


def test_parse_vkey_names_the_key_id_that_it_wanted() -> None:
    with pytest.raises(NoteSyntaxError, match=r"'00000000'.* 6d65f8f6"):
        parse_vkey(VKEY.replace("6d65f8f6", "00000000"))


def test_parse_vkey_says_that_a_type_is_known_and_not_supported() -> None:
    with pytest.raises(NoteSyntaxError, match="type 0x04 of key 'a' is not supported"):
        parse_vkey(vkey_of("a", b"\x04" + PUBLIC_KEY))


def test_private_key_with_a_fixed_seed_has_its_golden_text() -> None:
    signer = parse_private_key(PRIVATE)
    assert format_private_key(signer) == PRIVATE
    assert format_vkey(signer.verifier) == VKEY
    assert (signer.name, signer.key_id) == (NAME, signer.verifier.key_id)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PRIVATE+KEY+",
        VKEY,
        PRIVATE + "\n",
        PRIVATE.removeprefix("PRIVATE+KEY+"),
        PRIVATE.lower(),
        PRIVATE.replace("6d65f8f6", "6D65F8F6"),
        PRIVATE.replace("6d65f8f6", "6d65f8f7"),
        PRIVATE.replace("mesh", "me sh"),
        PRIVATE.replace("mesh", "me+sh"),
        PRIVATE.replace("AZ1h", "AZ1"),
        PRIVATE.replace("+AZ1h", "+BJ1h"),
        PRIVATE[:-4],
        PRIVATE + "AAAA",
    ],
    ids=range(14),
)
def test_parse_private_key_refuses_every_other_spelling_and_repeats_none_of_it(text: str) -> None:
    with pytest.raises(NoteSyntaxError) as caught:
        parse_private_key(text)
    assert str(caught.value) == "not a private key in the form PRIVATE+KEY+name+id+base64"
    assert caught.value.facts == {}
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_parse_vkey_refuses_a_private_key_and_repeats_none_of_it() -> None:
    with pytest.raises(NoteSyntaxError) as caught:
        parse_vkey(PRIVATE)
    assert str(caught.value) == "this is a private key; a verifier key was wanted"


def test_signer_shows_its_seed_in_no_repr_and_no_pickle() -> None:
    signer = parse_private_key(PRIVATE)
    shown = repr(signer) + str(signer) + f"{signer}" + repr([signer]) + repr(signer.private)
    assert NAME in shown
    for secret in (PRIVATE.rpartition("+")[2], SEED.hex(), repr(SEED)):
        assert secret not in shown
    with pytest.raises(TypeError):
        pickle.dumps(signer)


def test_generated_keys_differ_and_sign_what_their_verifiers_take() -> None:
    first, second = generate_signer(NAME), generate_signer(NAME)
    assert first.verifier.public_key != second.verifier.public_key
    signature = first.sign(b"text")
    first.verifier.check_signature(b"text", signature)
    with pytest.raises(SignatureError):
        second.verifier.check_signature(b"text", signature)
    with pytest.raises(SignatureError):
        first.verifier.check_signature(b"texts", signature)


def test_generated_key_round_trips_through_its_texts() -> None:
    signer = generate_signer("a")
    again = parse_private_key(format_private_key(signer))
    assert again.verifier == signer.verifier == parse_vkey(format_vkey(signer.verifier))
    assert again.sign(b"text") == signer.sign(b"text")


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\n", "\ud800"])
def test_generate_signer_refuses_a_name_that_no_note_can_carry(name: str) -> None:
    with pytest.raises(NoteSyntaxError):
        generate_signer(name)


def test_verifier_key_cannot_be_made_with_a_bad_public_key() -> None:
    with pytest.raises(NoteSyntaxError):
        VerifierKey(name="a", signature_type=SignatureType.ED25519, public_key=b"short")


def test_fingerprint_is_the_sha256_of_the_vkey_line() -> None:
    assert format_fingerprint(parse_vkey(VKEY)) == (
        "efff 1640 a374 33d4 c5f4 79e3 b9c4 e4ff 5be7 2546 a810 9888 83e7 559b 3e32 788b"
    )


def test_fingerprint_changes_with_the_name_as_with_the_key() -> None:
    key = parse_vkey(VKEY)
    renamed = dataclasses.replace(key, name="mesh/cluster/0badcaff")
    other = generate_signer(NAME).verifier
    assert len({format_fingerprint(each) for each in (key, renamed, other)}) == 3
