"""Check an evidence bundle of meshtrail, offline, with nothing but Python 3.8 or newer.

    python3 check.py                          the unpacked bundle that this file lies in
    python3 check.py BUNDLE.zip               a bundle as it was handed over
    python3 check.py BUNDLE.zip --key KEY     hold it to the key that you trust (or a file with it)

A log is a list of entries that can only grow. Its owner signs checkpoints: how many entries there
are, and one hash, the root, that depends on every byte of every entry. A bundle carries entries,
one signed checkpoint, and the hashes that lead from each entry's bytes up to that root.

PROVEN means: whoever holds the key signed a log that has exactly these bytes at exactly these
positions. It does not mean that the bytes are true, that nothing was left out of the log, or whose
key it is: compare the fingerprint over a channel that you trust, or pass the key with --key.
README.txt and events.jsonl are for reading. Of events.jsonl this program compares log_index,
received_time, stream and seq with the entries themselves; it does NOT check its other columns.

A checker that came with the evidence can have been changed along with it. If that matters, take
this file from the meshtrail project instead, or read it: it is short for that purpose.

Exit status: 0 proven; 3 not proven: something is false, changed or missing; 65 the input is not a
well-formed bundle; 2 wrong use of the command line.
"""

from __future__ import annotations

import binascii
import datetime as dt
import hashlib
import json
import re
import struct
import sys
import zipfile
from argparse import ArgumentParser, RawTextHelpFormatter
from pathlib import Path
from typing import IO, Any


class NotProven(Exception):
    """The bundle is well-formed and does not show what it claims; ValueError: it is malformed."""


# ---- 1. The files of a bundle, and the spelling of numbers and base64 ----------------------------
# Every file that a bundle may have, and how many bytes it may have. Nothing else is taken: no
# absolute name, no "..", nothing that a reader could mistake for a part of the evidence.
ENTRY_NAME = r"entries/(0|[1-9][0-9]{0,18})\.entry"
PROOF_NAME = r"proofs/(0|[1-9][0-9]{0,18})\.tlog-proof"
BYTES_MAX = {
    r"checkpoint": 1_000_000,
    r"log\.vkey": 4096,
    r"events\.jsonl": 256 << 20,
    r"README\.txt|check\.py": 1 << 20,
    ENTRY_NAME: 65_535,
    PROOF_NAME: 1 << 20,
}


def read_file(files: dict[str, bytes], name: str, stream: IO[bytes]) -> None:
    limit = next((most for known, most in BYTES_MAX.items() if re.fullmatch(known, name)), None)
    if limit is None or name in files:
        raise ValueError(f"{name!a} is not the name of a file of a bundle, or is there twice")
    files[name] = stream.read(limit + 1)
    if len(files[name]) > limit:
        raise ValueError(f"{name} has more than {limit} bytes")


def read_zip(path: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        file.seek(-22, 2)  # the length of the last record
        # Bytes before the first file or after the last record could hold a second archive, which
        # another program would open instead of the one that is checked here.
        if file.read(4) != b"PK\5\6" or min([member.header_offset for member in members] or [0]):
            raise ValueError("there are bytes before or after the zip archive")
        if sum(member.file_size for member in members) > 512 << 20:
            raise ValueError("the files have more than 512 MiB in all")
        for member in members:
            name = member.orig_filename  # as written; member.filename ends at the first zero byte
            if name not in ("entries/", "proofs/") or member.file_size:  # the folders themselves
                with archive.open(member) as stream:
                    read_file(files, name, stream)
    return files


def read_directory(root: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    folders = [root, root / "entries", root / "proofs"]
    for path in (path for folder in folders for path in folder.iterdir()):
        if path in folders and path.is_dir() and not path.is_symlink():
            continue
        if path.is_symlink() or not path.is_file():
            raise ValueError(f"{path.name!a} is not a regular file")
        with path.open("rb") as stream:
            read_file(files, path.relative_to(root).as_posix(), stream)
    return files


def parse_decimal(text: str) -> int:
    # int() alone also takes "+5", " 5", "4_2" and the digits of other scripts.
    if not re.fullmatch("0|[1-9][0-9]{0,18}", text) or int(text) >= 2**63:
        raise ValueError(f"{text[:40]!a} is not a decimal number below 2^63")
    return int(text)


def decode_base64(text: str) -> bytes:
    # The decoder skips junk and takes stray trailing bits; encoding again shows both.
    data = binascii.a2b_base64(text)
    if binascii.b2a_base64(data, newline=False).decode() != text:
        raise ValueError("a line is not base64 in its canonical form")
    return data


# ---- 2. Ed25519 signatures (RFC 8032) ------------------------------------------------------------
# The curve is -x^2 + y^2 = 1 + D x^2 y^2 over the integers modulo P; its base point B generates a
# group of L points. A point (x, y) is kept as (X, Y, Z, T) with x = X/Z, y = Y/Z, x*y = T/Z, so
# that adding needs no division (RFC 8032, section 5.1.4).
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def add(p: tuple[int, ...], q: tuple[int, ...]) -> tuple[int, ...]:
    a = (p[1] - p[0]) * (q[1] - q[0])
    b = (p[1] + p[0]) * (q[1] + q[0])
    c = 2 * D * p[3] * q[3]
    d = 2 * p[2] * q[2]
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar: int, point: tuple[int, ...]) -> tuple[int, ...]:
    product: tuple[int, ...] = (0, 1, 1, 0)  # the neutral point
    while scalar:
        if scalar & 1:
            product = add(product, point)
        point, scalar = add(point, point), scalar >> 1
    return product


def encode_point(point: tuple[int, ...]) -> bytes:
    """Return y in 255 bits, little-endian, and the lowest bit of x on top."""
    z_inverse = pow(point[2], -1, P)
    x, y = point[0] * z_inverse % P, point[1] * z_inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decode_point(data: bytes) -> tuple[int, ...]:
    """Return the point whose ``encode_point`` is exactly the 32 bytes ``data``."""
    y, x_is_odd = int.from_bytes(data, "little") & (2**255 - 1), data[31] >> 7
    x_squared = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    # P is 5 modulo 8: the square root, if there is one, is this power, perhaps times sqrt(-1).
    x = pow(x_squared, (P + 3) // 8, P)
    if x * x % P != x_squared:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x & 1 != x_is_odd:
        x = -x % P
    point = (x, y, 1, x * y % P)
    if x * x % P != x_squared or encode_point(point) != data:
        raise NotProven("the log's key is not a point of the curve in its one encoding")
    return point


BASE = decode_point(bytes([0x58] + [0x66] * 31))  # y = 4/5, x even


def check_ed25519(public_key: bytes, message: bytes, signature: bytes) -> None:
    """Return if the signature (R, S) is good: S*B = R + h*A, with h = SHA-512(R, A, message).

    This is the strict form: S is below L, points are in their one encoding, the equation holds as
    it stands (not only times 8), and A is none of the eight points of small order, under which one
    signature is good for many messages. R is never decoded: S*B - h*A has to encode to its bytes.
    """
    a = decode_point(public_key)
    if encode_point(multiply(8, a)) == encode_point((0, 1, 1, 0)):
        raise NotProven("the log's key is of small order, it can be anybody's")
    s = int.from_bytes(signature[32:], "little")
    digest = hashlib.sha512(signature[:32] + public_key + message).digest()
    h, minus_a = int.from_bytes(digest, "little") % L, (P - a[0], a[1], a[2], P - a[3])
    r = encode_point(add(multiply(s, BASE), multiply(h, minus_a)))
    if len(signature) != 64 or s >= L or r != signature[:32]:
        raise NotProven("the checkpoint has a bad signature in the name of the log's key")


# ---- 3. Keys and signed checkpoints (c2sp.org/signed-note, c2sp.org/tlog-checkpoint) -------------
def parse_key(text: str) -> tuple[str, bytes, bytes]:
    """Return name, key id and public key. No message repeats the text: it may be a private key."""
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    if not name or re.search(r"[\s\x00-\x20\x7f-\x9f]", name):
        raise ValueError("this is not a verifier key in the form name+id+base64")
    typed_key = decode_base64(encoded)
    want_id = hashlib.sha256(name.encode() + b"\n" + typed_key).digest()[:4]
    if len(typed_key) != 33 or typed_key[0] != 1 or key_id != want_id.hex():
        raise ValueError("the verifier key is not an Ed25519 key, or its key id is wrong")
    return name, want_id, typed_key[1:]


def open_checkpoint(note: bytes, key: str) -> tuple[int, bytes]:
    """Return tree size and root hash, once ``key`` is known to have signed them for its log."""
    # Three lines of text, a blank line, and signature lines: a dash, the key's name, and the
    # base64 of its key id and of the signature over the text with its last newline.
    name, key_id, public_key = parse_key(key)
    content = note.decode("utf-8")
    text, blank, block = content.rpartition("\n\n")
    text, lines = text + "\n", block.split("\n")
    is_clean = not re.search(r"[\x00-\x09\x0b-\x1f]", content)
    if not blank or lines.pop() or not is_clean or not 1 <= len(lines) <= 100:
        raise ValueError("the checkpoint is not a signed note")
    is_signed = False
    for line in lines:
        match = re.fullmatch("\u2014 ([^\\s+]+) ([A-Za-z0-9+/]+=?=?)", line)
        signed = decode_base64(match[2]) if match else b""
        if not match or len(signed) < 5:
            raise ValueError(f"the checkpoint has a bad signature line: {line[:80]!a}")
        if (match[1], signed[:4]) == (name, key_id):  # the others are witnesses, perhaps
            check_ed25519(public_key, text.encode(), signed[4:])
            is_signed = True
    if not is_signed:
        raise NotProven("the checkpoint is not signed by the log's key")
    origin, size, root, *rest = text.split("\n")
    if rest != [""] or len(decode_base64(root)) != 32:
        raise ValueError("the checkpoint's text is not three lines, the last one a hash")
    if origin != name:
        raise NotProven(f"the checkpoint is of another log: {origin!a}")
    return parse_decimal(size), decode_base64(root)


# ---- 4. Proofs (RFC 6962, c2sp.org/tlog-proof), entries, and the lines that render them ----------
def parse_proof(proof: bytes) -> tuple[int, list[bytes], bytes]:
    """Return the index, the hashes from the leaf up, and the checkpoint of a .tlog-proof file."""
    head, _, note = proof.partition(b"\n\n")
    lines = head.decode("ascii").split("\n")
    # The format has room for a line "extra ..." that nothing vouches for; a bundle has none.
    if lines[0] != "c2sp.org/tlog-proof@v1" or not lines[1:] or not lines[1].startswith("index "):
        raise ValueError("a proof does not start with the two lines of a proof in a bundle")
    path = [decode_base64(line) for line in lines[2:]]
    if len(path) > 63 or any(len(node_hash) != 32 for node_hash in path):
        raise ValueError("a proof has more than 63 hashes, or one that is not 32 bytes long")
    return parse_decimal(lines[1][len("index ") :]), path, note


def compute_root(leaf_hash: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """Return the root of a tree of ``size`` leaves, as the leaf at ``index`` and its path give it.

    A tree of one leaf is that leaf. A larger one is a left tree, of the largest power of two below
    its size, and a right tree with the rest; the path ends in the root of the leaf's other side.
    """
    if (size == 1) != (not path):
        raise NotProven("a proof does not have the number of hashes that its position calls for")
    if size == 1:
        return leaf_hash
    left_size = 1 << ((size - 1).bit_length() - 1)
    if index < left_size:
        left, right = compute_root(leaf_hash, index, left_size, path[:-1]), path[-1]
    else:
        right = compute_root(leaf_hash, index - left_size, size - left_size, path[:-1])
        left = path[-1]
    return hashlib.sha256(b"\x01" + left + right).digest()


def decode_header(entry: bytes) -> dict[str, int]:
    """Read the first 32 bytes of an entry, whose numbers are all big-endian."""
    version, _, _, flags, reserved, received, stream, seq = struct.unpack(">BBHHHqqq", entry[:32])
    if version != 1 or reserved != 0 or flags > 15 or stream < 1 or seq < 0:
        raise ValueError("an entry has a header that is not one of version 1")
    return {"received_time": received, "stream": stream, "seq": seq}


def build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("events.jsonl has an object that names a column twice")
    return dict(pairs)


def check_rendering(data: bytes, headers: dict[int, dict[str, int]]) -> None:
    """Return if the lines are one for each entry and say of it what its header says."""
    # Digits after the 25th are dropped: such a number is no 64-bit number either way, and reading
    # a million of them would take minutes.
    decoder = json.JSONDecoder(object_pairs_hook=build_object, parse_int=lambda n: int(n[:25]))
    rendered = set()
    for line in data.split(b"\n")[:-1]:
        event = decoder.decode(line.decode("utf-8"))
        index = event.get("log_index")
        if type(index) is not int or index not in headers or index in rendered:
            raise NotProven(f"events.jsonl has a wrong or repeated log_index: {index!a:.40}")
        rendered.add(index)
        says = {column: event.get(column) for column in headers[index]}
        if repr(says) != repr(headers[index]):  # == would take 1.0 and true for 1
            raise NotProven(
                f"events.jsonl was edited: entry {index} has {headers[index]}, not {says}"
            )
    if rendered != set(headers) or not data.endswith(b"\n"):
        raise NotProven("events.jsonl does not have one whole line for each entry")


# ---- 5. The whole check --------------------------------------------------------------------------
def check_bundle(files: dict[str, bytes], pinned: str | None) -> dict[str, Any]:
    """Return the facts that the bundle proves; raise NotProven or ValueError if it does not."""
    # (1) All files are there; every entry has its proof, every proof its entry, and there is one.
    entries = {m[1]: files[m[0]] for m in (re.fullmatch(ENTRY_NAME, name) for name in files) if m}
    proofs = {m[1]: files[m[0]] for m in (re.fullmatch(PROOF_NAME, name) for name in files) if m}
    missing = {"README.txt", "check.py", "checkpoint", "events.jsonl", "log.vkey"} - set(files)
    if missing:
        raise ValueError(f"the bundle has no {', '.join(sorted(missing))}")
    if set(entries) != set(proofs) or not entries:
        raise NotProven("there is an entry without a proof, a proof without an entry, or neither")

    # (2) The key: the one that the bundle's maker names has to be the one that you passed, if any.
    key = files["log.vkey"].decode("utf-8").rstrip("\n")
    if pinned not in (None, key):
        raise NotProven("the bundle names another key than the one that you passed")

    # (3) That key signed the checkpoint.
    tree_size, root_hash = open_checkpoint(files["checkpoint"], key)

    headers, facts = {}, []
    for index in sorted(map(int, entries)):
        entry = entries[str(index)]
        # (4) The proof is about this entry and this very checkpoint.
        proof_index, path, note = parse_proof(proofs[str(index)])
        if proof_index != index or note != files["checkpoint"]:
            raise NotProven(f"the proof of entry {index} is of another entry or checkpoint")

        # (5) The entry's own bytes, with the proof's hashes, give the root that was signed.
        leaf_hash = hashlib.sha256(b"\x00" + entry).digest()
        if index >= tree_size or compute_root(leaf_hash, index, tree_size, path) != root_hash:
            raise NotProven(f"entry {index} is not in the log: its bytes or its proof were changed")

        # (6) What its header says: when it was received, and where it stood in its stream.
        headers[index] = decode_header(entry)
        lengths = {"entry_bytes": len(entry), "leaf_hash": leaf_hash.hex()}
        facts.append({"log_index": index, **headers[index], **lengths})

    # (7) The rendering says the same, as far as headers go.
    check_rendering(files["events.jsonl"], headers)

    # For people to compare; printf %s "$KEY" | sha256sum gives the same digits.
    return {
        "proven": True,
        "pinned": pinned is not None,
        "origin": key.partition("+")[0],
        "tree_size": tree_size,
        "root_hash": root_hash.hex(),
        "key": key,
        "key_fingerprint": " ".join(re.findall("....", hashlib.sha256(key.encode()).hexdigest())),
        "entries": facts,
    }


def describe(facts: dict[str, Any]) -> list[str]:
    if not facts["proven"]:
        return [f"NOT PROVEN: {facts['why']}"]
    names = ("origin", "tree_size", "root_hash", "key", "key_fingerprint")
    lines = [f"{name:16} {facts[name]}" for name in names]
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
    for entry in facts["entries"]:
        seconds, nanos = divmod(entry["received_time"], 10**9)
        received = f"{epoch + dt.timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}.{nanos:09}Z"
        lines.append(
            f"entry {entry['log_index']}: received {received}, stream {entry['stream']},"
            f" seq {entry['seq']}, {entry['entry_bytes']} bytes, leaf hash {entry['leaf_hash']}"
        )
    whose = "the key that you passed signed it"
    if not facts["pinned"]:
        whose = f"key NOT pinned, compare this fingerprint: {facts['key_fingerprint']}"
    count = len(facts["entries"])
    return [*lines, f"PROVEN: {count} entries are in the log {facts['origin']}; {whose}"]


def run(bundle: Path, key: str | None, *, require_pin: bool) -> dict[str, Any]:
    if require_pin and key is None:
        raise NotProven("--require-pin was given, and no --key")
    if key is not None:
        key = (Path(key).read_text("utf-8") if Path(key).is_file() else key).rstrip("\n")
        parse_key(key)  # before the bundle's: a mistake of yours is not the bundle's
    return check_bundle(read_directory(bundle) if bundle.is_dir() else read_zip(bundle), key)


def main(arguments: list[str] | None = None) -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawTextHelpFormatter)
    parser.add_argument("bundle", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--key", metavar="KEY|FILE", help="the log's key, from someone you trust")
    parser.add_argument("--require-pin", action="store_true", help="do not go without --key")
    parser.add_argument("--json", action="store_true", help="print the facts as one JSON object")
    options = parser.parse_args(arguments)
    try:
        status, facts = 0, run(options.bundle, options.key, require_pin=options.require_pin)
    except NotProven as error:
        status, facts = 3, {"proven": False, "why": f"{error!s:.400}"}
    except Exception as error:  # whatever hostile bytes make a parser do, they are no proof
        status, facts = 65, {"proven": False, "why": f"malformed input: {error!s:.400}"}
    lines = [json.dumps(facts)] if options.json else describe(facts)
    # In ASCII, so that nothing in a bundle can play tricks with the terminal.
    sys.stdout.write("\n".join(lines).encode("ascii", "backslashreplace").decode() + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
