"""The checker that lies in a bundle: every way to change the evidence, and its verdict."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from meshtrail.note.encoding import encode_base64
from meshtrail.note.keys import format_vkey, generate_signer
from meshtrail.note.signed_note import sign_note
from meshtrail.verify import standalone_check
from tests.small_bundles import (
    GOOD,
    MALFORMED,
    NOT_PROVEN,
    ORIGIN,
    PROVEN,
    SIGNER,
    VKEY,
    Files,
    check_files,
    make_entry,
    make_files,
    make_line,
    resign,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def quick_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Good signatures are computed once; bad ones still raise each time."""
    monkeypatch.setattr(
        standalone_check,
        "check_ed25519",
        functools.lru_cache(maxsize=64)(standalone_check.check_ed25519),
    )


def replaced(name: str, old: bytes, new: bytes) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        assert old in files[name]
        files[name] = files[name].replace(old, new)

    return change


def put(name: str, data: bytes) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        files[name] = data

    return change


def without(*names: str) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        for name in names:
            del files[name]

    return change


def swapped(first: str, second: str) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        files[first], files[second] = files[second], files[first]

    return change


def everywhere(old: bytes, new: bytes) -> Callable[[Files], None]:
    """The checkpoint changed in its file and in every proof alike."""

    def change(files: Files) -> None:
        for name in files:
            files[name] = files[name].replace(old, new)

    return change


NOTE = GOOD["checkpoint"]
OTHER_TREE = make_files(tree_size=8)
SIX, PROOF_SIX, EVENTS = "entries/6.entry", "proofs/6.tlog-proof", "events.jsonl"
HASH_LINE = encode_base64(bytes(32)).encode() + b"\n"
LONGER = GOOD[PROOF_SIX].replace(b"index 6\n", b"index 6\n" + HASH_LINE)
SHORTER = b"c2sp.org/tlog-proof@v1\nindex 6\n\n" + NOTE


@pytest.mark.parametrize(
    ("change", "status", "why"),
    [
        (put(SIX, make_entry(5)), NOT_PROVEN, "entry 6 is not in the log"),
        (put(SIX, make_entry(6) + b"\0"), NOT_PROVEN, "entry 6 is not in the log"),
        (put(SIX, make_entry(6)[:-1]), NOT_PROVEN, "entry 6 is not in the log"),
        (put(SIX, b""), NOT_PROVEN, "entry 6 is not in the log"),
        (swapped(SIX, "entries/2.entry"), NOT_PROVEN, "entry 2 is not in the log"),
        (swapped(PROOF_SIX, "proofs/2.tlog-proof"), NOT_PROVEN, "of another entry"),
        (replaced(PROOF_SIX, b"index 6", b"index 5"), NOT_PROVEN, "of another entry"),
        (put(PROOF_SIX, OTHER_TREE[PROOF_SIX]), NOT_PROVEN, "of another entry or checkpoint"),
        (put("checkpoint", OTHER_TREE["checkpoint"]), NOT_PROVEN, "another entry or checkpoint"),
        (everywhere(NOTE, OTHER_TREE["checkpoint"]), NOT_PROVEN, "entry 2 is not in the log"),
        (everywhere(b"\n7\n", b"\n8\n"), NOT_PROVEN, "bad signature"),
        (everywhere(b"\n7\n", b"\n6\n"), NOT_PROVEN, "bad signature"),
        (everywhere(ORIGIN.encode() + b"\n", b"mesh/other\n"), NOT_PROVEN, "bad signature"),
        (everywhere(NOTE, NOTE[:-3] + b"N=\n"), MALFORMED, "base64"),
        (replaced(PROOF_SIX, b"index 6", b"index 06"), MALFORMED, "decimal"),
        (replaced(PROOF_SIX, b"index 6", b"index +6"), MALFORMED, "decimal"),
        (replaced(PROOF_SIX, b"index 6", b"index 6_0"), MALFORMED, "decimal"),
        (replaced(PROOF_SIX, b"index 6", "index ６".encode()), MALFORMED, "ascii"),
        (replaced(PROOF_SIX, b"@v1\n", b"@v1\r\n"), MALFORMED, "two lines"),
        (replaced(PROOF_SIX, b"@v1\n", b"@v2\n"), MALFORMED, "two lines"),
        (replaced(PROOF_SIX, b"@v1\n", b"@v1\nextra AAAA\n"), MALFORMED, "two lines"),
        (replaced(PROOF_SIX, b"index 6\n", b"index 6\nAAAA\n"), MALFORMED, "32 bytes"),
        (put(PROOF_SIX, LONGER), NOT_PROVEN, "the number of hashes"),
        (replaced(PROOF_SIX, b"index 6\n", b"index 6\n" + HASH_LINE * 64), MALFORMED, "63 hashes"),
        (put(PROOF_SIX, SHORTER), NOT_PROVEN, "the number of hashes"),
        (replaced(PROOF_SIX, b"index 6\n", b"index 6\n!\n"), MALFORMED, "base64"),
        (put(PROOF_SIX, b""), MALFORMED, "two lines"),
        (put("checkpoint", NOTE + b"\n"), MALFORMED, "signed note"),
        (put("checkpoint", NOTE[:-1]), MALFORMED, "signed note"),
        (put("checkpoint", NOTE.replace(b"\n", b"\r\n")), MALFORMED, "signed note"),
        (put("checkpoint", NOTE.replace("—".encode(), b"-")), MALFORMED, "signature line"),
        (put("checkpoint", b"\xff" + NOTE), MALFORMED, "utf-8"),
        (put("checkpoint", b""), MALFORMED, "signed note"),
        (put("checkpoint", NOTE + b"\xe2\x80\x94 a AAAAAAA="), MALFORMED, "signed note"),
        (put("checkpoint", NOTE + b"\xe2\x80\x94 a AAAA\n"), MALFORMED, "signature line"),
        (put("checkpoint", NOTE + b"\xe2\x80\x94 a\x01 AAAAAAA=\n"), MALFORMED, "signed note"),
        (put("checkpoint", NOTE + b"\xe2\x80\x94 a AAAAAAA=\n" * 100), MALFORMED, "signed note"),
        (without(SIX), NOT_PROVEN, "without"),
        (without(PROOF_SIX), NOT_PROVEN, "without"),
        (without(SIX, PROOF_SIX, "entries/2.entry", "proofs/2.tlog-proof"), NOT_PROVEN, "neither"),
        (without(SIX, PROOF_SIX), NOT_PROVEN, "log_index: 6"),
        (without("checkpoint"), MALFORMED, "no checkpoint"),
        (without("log.vkey"), MALFORMED, "no log.vkey"),
        (without("README.txt"), MALFORMED, "no README.txt"),
        (without("check.py"), MALFORMED, "no check.py"),
        (without(EVENTS), MALFORMED, "no events.jsonl"),
        (put("log.vkey", b""), MALFORMED, "verifier key"),
        (put("log.vkey", VKEY[:-1].encode()), MALFORMED, ""),
        (put("log.vkey", VKEY.replace(ORIGIN, "mesh/other").encode()), MALFORMED, "key id"),
        (put("log.vkey", format_vkey(generate_signer(ORIGIN).verifier).encode()), NOT_PROVEN, ""),
        (put(EVENTS, b""), NOT_PROVEN, "one whole line for each entry"),
        (put(EVENTS, make_line(2)), NOT_PROVEN, "one whole line for each entry"),
        (put(EVENTS, (make_line(2) + make_line(6))[:-1]), NOT_PROVEN, "one whole line"),
        (put(EVENTS, make_line(2) + make_line(6) + make_line(6)), NOT_PROVEN, "log_index: 6"),
        (put(EVENTS, make_line(2) + make_line(6) + b"{}"), NOT_PROVEN, "one whole line"),
        (put(EVENTS, make_line(2) + make_line(5)), NOT_PROVEN, "log_index: 5"),
        (put(EVENTS, make_line(2) + make_line(6, seq=7)), NOT_PROVEN, "edited: entry 6"),
        (put(EVENTS, make_line(2) + make_line(6, seq=6.0)), NOT_PROVEN, "edited: entry 6"),
        (put(EVENTS, make_line(2) + make_line(6, seq="6")), NOT_PROVEN, "edited: entry 6"),
        (put(EVENTS, make_line(2) + make_line(6, seq=None)), NOT_PROVEN, "edited: entry 6"),
        (put(EVENTS, make_line(2) + make_line(6, stream=1)), NOT_PROVEN, "edited: entry 6"),
        (put(EVENTS, make_line(2) + make_line(6, received_time=0)), NOT_PROVEN, "edited: entry 6"),
        (put(EVENTS, make_line(2) + make_line(6, log_index="6")), NOT_PROVEN, "log_index: '6'"),
        (put(EVENTS, make_line(2) + make_line(6, log_index=6.0)), NOT_PROVEN, "log_index: 6.0"),
        (put(EVENTS, make_line(2) + make_line(6, log_index=True)), NOT_PROVEN, "log_index: True"),
        (put(EVENTS, make_line(2) + b'{"seq": 1, "seq": 6}\n'), MALFORMED, "twice"),
        (put(EVENTS, make_line(2) + b"[]\n"), MALFORMED, ""),
        (put(EVENTS, make_line(2) + b"\n"), MALFORMED, ""),
        (put(EVENTS, b"[" * 200_000 + b"\n"), MALFORMED, ""),
        (put(EVENTS, b'{"seq": ' + b"9" * 1_000_000 + b"}\n"), NOT_PROVEN, "log_index: None"),
        (put(EVENTS, make_line(2) + b"\xff\n"), MALFORMED, "utf-8"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("quick_signatures")
def test_tampered_bundle_is_refused_with_its_reason(
    change: Callable[[Files], None], status: int, why: str
) -> None:
    files = dict(GOOD)
    change(files)
    got, out = check_files(files)
    assert (got, why in out) == (status, True), out


@pytest.mark.parametrize(
    "options",
    [
        {"version": 2},
        {"version": 0},
        {"reserved": 1},
        {"flags": 16},
        {"flags": 0x8000},
        {"stream": 0},
        {"stream": -1},
        {"seq": -1},
    ],
)
def test_sealed_entry_with_another_header_is_malformed(options: dict[str, int]) -> None:
    status, out = check_files(make_files(entry_options=options))
    assert status == MALFORMED
    assert "header" in out


def test_signed_text_that_is_no_checkpoint_is_refused() -> None:
    text = NOTE.decode().partition("\n\n")[0] + "\n"
    for bad, status in (
        (text + "extension\n", MALFORMED),
        (text + "\n", MALFORMED),
        (text.replace("\n7\n", "\n07\n"), MALFORMED),
        (text.replace("\n7\n", "\n4_2\n"), MALFORMED),
        (text.replace("\n7\n", f"\n{2**63}\n"), MALFORMED),
        (ORIGIN + "\n7\nAAAA\n", MALFORMED),
        ("mesh/other" + text.removeprefix(ORIGIN), NOT_PROVEN),
        (text.replace("\n7\n", "\n0\n"), NOT_PROVEN),
        (text.replace("\n7\n", "\n6\n"), NOT_PROVEN),
    ):
        note = sign_note(bad, [SIGNER])
        assert check_files(resign(note))[0] == status, bad


def test_bad_signature_line_that_shares_only_name_or_only_id_is_ignored() -> None:
    for name, key_id in ((ORIGIN, bytes(4)), ("witness.example", SIGNER.key_id)):
        line = f"— {name} {encode_base64(key_id + bytes(64))}\n".encode()
        assert check_files(resign(NOTE + line))[0] == PROVEN


def test_second_signature_line_of_the_log_that_is_bad_is_refused() -> None:
    line = f"— {ORIGIN} {encode_base64(SIGNER.key_id + bytes(64))}\n".encode()
    for note in (NOTE + line, NOTE.replace(b"\n\n", b"\n\n" + line)):
        status, out = check_files(resign(note))
        assert status == NOT_PROVEN
        assert "bad signature" in out


@pytest.mark.parametrize(
    "name", ["checkpoint", "log.vkey", SIX, PROOF_SIX, "entries/2.entry", "proofs/2.tlog-proof"]
)
@pytest.mark.usefixtures("quick_signatures")
def test_every_byte_flip_of_the_evidence_is_refused(name: str) -> None:
    for position in range(len(GOOD[name])):
        data = bytearray(GOOD[name])
        data[position] ^= 1 << position % 8
        if data.rstrip(b"\n") == GOOD[name].rstrip(b"\n"):
            continue
        with pytest.raises((standalone_check.NotProven, ValueError)):
            standalone_check.check_bundle({**GOOD, name: bytes(data)}, None)
