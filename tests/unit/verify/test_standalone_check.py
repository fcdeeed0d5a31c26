"""The checker that lies in a bundle: what it says of good bundles, and of keys."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from meshtrail.model.entry import EntryFlags
from meshtrail.note.encoding import encode_base64
from meshtrail.note.keys import format_fingerprint, format_private_key, format_vkey, generate_signer
from meshtrail.note.signed_note import sign_note
from meshtrail.verify import standalone_check
from tests.naive_rfc6962 import naive_leaf_hash, naive_root
from tests.small_bundles import (
    CHOSEN,
    GOOD,
    MALFORMED,
    NOT_PROVEN,
    ORIGIN,
    PROVEN,
    RECEIVED,
    SCRIPT,
    SIGNER,
    TREE_SIZE,
    VKEY,
    check_files,
    make_entry,
    make_files,
    resign,
    unpack,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_good_bundle_is_proven_and_says_what_it_rests_on() -> None:
    status, out = check_files(GOOD)
    assert status == PROVEN
    fingerprint = format_fingerprint(SIGNER.verifier)
    assert f"origin           {ORIGIN}\n" in out
    assert "tree_size        7\n" in out
    assert f"key_fingerprint  {fingerprint}\n" in out
    entry = make_entry(2)
    assert (
        "entry 2: received 2025-11-21T01:36:40.123456791Z, stream 4611686018427387905, seq 2, 41"
        f" bytes, leaf hash {naive_leaf_hash(entry).hex()}\n"
    ) in out
    assert out.endswith(
        f"PROVEN: 2 entries are in the log {ORIGIN};"
        f" key NOT pinned, compare this fingerprint: {fingerprint}\n"
    )


def test_json_gives_the_facts_in_one_object() -> None:
    status, out = check_files(GOOD, "--json", "--key", VKEY)
    assert status == PROVEN
    entries = [make_entry(index) for index in range(TREE_SIZE)]
    assert json.loads(out) == {
        "proven": True,
        "pinned": True,
        "origin": ORIGIN,
        "tree_size": 7,
        "root_hash": naive_root(entries).hex(),
        "key": VKEY,
        "key_fingerprint": format_fingerprint(SIGNER.verifier),
        "entries": [
            {
                "log_index": index,
                "received_time": RECEIVED + index,
                "stream": 2**62 + 1,
                "seq": index,
                "entry_bytes": 41,
                "leaf_hash": naive_leaf_hash(entries[index]).hex(),
            }
            for index in CHOSEN
        ],
    }


def test_unpacked_bundle_is_proven_by_the_script_that_lies_in_it(tmp_path: Path) -> None:
    root = unpack(GOOD, tmp_path / "bundle")
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(root / "check.py")],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (PROVEN, "")
    assert "PROVEN: 2 entries" in done.stdout
    (root / "entries/2.entry").write_bytes(make_entry(3))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-O", str(root / "check.py"), "--json"],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (NOT_PROVEN, "")
    assert json.loads(done.stdout)["proven"] is False


@pytest.mark.parametrize("tree_size", [1, 2, 3, 4, 5, 8, 9, 33])
def test_every_entry_of_small_trees_is_proven(tree_size: int) -> None:
    files = make_files(tree_size=tree_size, chosen=tuple(range(tree_size)))
    status, out = check_files(files, "--json")
    assert status == PROVEN
    assert len(json.loads(out)["entries"]) == tree_size


@pytest.mark.parametrize("flags", [*EntryFlags, sum(EntryFlags)])
def test_entries_with_each_flag_there_is_are_proven(flags: int) -> None:
    assert check_files(make_files(entry_options={"flags": int(flags)}))[0] == PROVEN


def test_checkpoint_with_further_signatures_is_proven() -> None:
    text = GOOD["checkpoint"].decode().partition("\n\n")[0] + "\n"
    note = sign_note(text, [generate_signer("witness.example"), SIGNER, SIGNER])
    assert check_files(resign(note))[0] == PROVEN


def test_zip_that_lists_its_folders_is_proven() -> None:
    assert check_files({"entries/": b"", "proofs/": b"", **GOOD})[0] == PROVEN


def test_text_that_a_terminal_might_obey_is_printed_escaped() -> None:
    signer = generate_signer("größe\u202e")
    text = GOOD["checkpoint"].decode().partition("\n\n")[0] + "\n"
    note = sign_note(text.replace(ORIGIN, signer.name), [signer])
    status, out = check_files({**resign(note), "log.vkey": format_vkey(signer.verifier).encode()})
    assert status == PROVEN
    assert out.isascii()
    assert "gr\\xf6\\xdfe\\u202e" in out


def test_key_is_taken_as_text_and_as_a_file(tmp_path: Path) -> None:
    pin = tmp_path / "log.pin"
    pin.write_text(VKEY + "\n", encoding="utf-8")
    for key in (VKEY, str(pin)):
        status, out = check_files(GOOD, "--key", key, "--require-pin")
        assert status == PROVEN
        assert out.endswith(f" {ORIGIN}; the key that you passed signed it\n")
        assert "NOT pinned" not in out


def test_another_key_of_the_same_name_is_refused() -> None:
    other = format_vkey(generate_signer(ORIGIN).verifier)
    status, out = check_files(GOOD, "--key", other)
    assert (status, out) == (
        NOT_PROVEN,
        "NOT PROVEN: the bundle names another key than the one that you passed\n",
    )


def test_bundle_that_names_the_pinned_key_and_is_signed_with_another_is_refused() -> None:
    other = generate_signer(ORIGIN)
    text = GOOD["checkpoint"].decode().partition("\n\n")[0] + "\n"
    note = sign_note(text, [other])
    status, out = check_files(resign(note), "--key", VKEY)
    assert status == NOT_PROVEN
    assert "not signed by the log's key" in out


def test_require_pin_refuses_to_go_without_a_key() -> None:
    status, out = check_files(GOOD, "--require-pin")
    assert status == NOT_PROVEN
    assert "--require-pin" in out


@pytest.mark.parametrize(
    "key",
    [
        "",
        "no key",
        "a+b+c",
        VKEY + "=",
        VKEY.replace("6d65f8f6", "6d65f8f7"),
        VKEY.replace("6d65f8f6", "6D65F8F6"),
        VKEY.replace("B1Ea", "B1Eb"),
        VKEY.replace("+Add", "+BNd"),
        VKEY.replace(ORIGIN, ""),
        "/dev/null",
    ],
)
def test_key_that_is_none_is_malformed(key: str) -> None:
    assert check_files(GOOD, "--key", key)[0] == MALFORMED


@pytest.mark.parametrize(
    ("name", "typed_key"),
    [
        ("", b"\x01" + SIGNER.verifier.public_key),
        ("a b", b"\x01" + SIGNER.verifier.public_key),
        ("a\u2028b", b"\x01" + SIGNER.verifier.public_key),
        ("a\x1bb", b"\x01" + SIGNER.verifier.public_key),
        ("a\x9bb", b"\x01" + SIGNER.verifier.public_key),
        ("a", b"\x01" + SIGNER.verifier.public_key[:-1]),
        ("a", b"\x01" + SIGNER.verifier.public_key + b"\0"),
        ("a", b"\x02" + SIGNER.verifier.public_key),
        ("a", b"\x04" + SIGNER.verifier.public_key),
        ("a", b"\x01"),
        ("a", b""),
    ],
)
def test_key_with_a_right_id_that_no_log_can_have_is_malformed(name: str, typed_key: bytes) -> None:
    key_id = hashlib.sha256(name.encode() + b"\n" + typed_key).hexdigest()[:8]
    key = f"{name}+{key_id}+{encode_base64(typed_key)}"
    status, out = check_files(GOOD, "--key", key)
    assert (status, "verifier key" in out) == (MALFORMED, True)


def test_private_key_in_the_place_of_a_key_is_not_repeated(tmp_path: Path) -> None:
    private = format_private_key(SIGNER)
    (tmp_path / "private").write_text(private, encoding="utf-8")
    for key in (private, str(tmp_path / "private")):
        status, out = check_files(GOOD, "--key", key)
        assert status == MALFORMED
        assert private.rpartition("+")[2] not in out
    files = {**GOOD, "log.vkey": private.encode()}
    status, out = check_files(files)
    assert status == MALFORMED
    assert private.rpartition("+")[2] not in out


def test_script_imports_the_standard_library_alone_and_parses_as_python_3_8() -> None:
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=(3, 8))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(node.module or "")
    assert imported <= sys.stdlib_module_names


def test_script_says_what_it_does_not_check() -> None:
    text = re.sub(r"\s+", " ", standalone_check.__doc__ or "")
    assert "does NOT check its other columns" in text
    assert "whose key it is" in text
