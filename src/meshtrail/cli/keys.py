"""``meshtrail keys``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from meshtrail.cli import exit_codes
from meshtrail.cli.documentation import (
    Parser,
    add_data_option,
    add_json_option,
    make_parser,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshtrail.note import VerifierKey

_ABOUT = """
    Makes, shows and pins keys.

    A log is signed with one Ed25519 private key, which never lies in the data directory: whoever
    gets a copy of the evidence must not be able to sign another. `meshtrail up` makes one on its
    first start; `make` makes one beforehand, for example on another machine. Others need the
    verifier key (the vkey line): `show` prints it with its fingerprint, and `pin` makes this
    machine trust it for the log of that name.
"""
_EXAMPLES = (
    (
        "meshtrail keys make prod/eu-1/1f2e3d4c --out /secure/log.key",
        "A private key for a log, mode 0600. The name becomes the log's origin.",
    ),
    ("meshtrail keys show --data DIR", "The verifier key that a data directory claims."),
    (
        "meshtrail keys show /secure/log.key",
        "The verifier key of a private key; the secret stays there.",
    ),
    ("meshtrail keys pin log.vkey", "Trust this key from now on for the log that it names."),
)


def make_keys_parser() -> Parser:
    """The arguments of ``meshtrail keys``."""
    parser = make_parser(
        "keys",
        _ABOUT,
        usage="make NAME [--out FILE] | show [FILE] [--data DIR] | pin VKEY|FILE",
        examples=_EXAMPLES,
        exits=(exit_codes.BAD_INPUT, exit_codes.CONFIG),
    )
    parser.add_argument("verb", metavar="make|show|pin", choices=("make", "show", "pin"))
    parser.add_argument(
        "what",
        metavar="NAME|FILE|VKEY",
        nargs="?",
        help="make: the key's name, MESH/CLUSTER/ID; show: a private key or vkey file; "
        "pin: a vkey or its file",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        help="make: where to write the private key (default: $MESHTRAIL_HOME/keys/NAME.key)",
    )
    add_data_option(parser)
    add_json_option(parser, "the key as one JSON object")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = make_keys_parser()
    arguments = parser.parse_args(argv)
    if arguments.what is None and arguments.verb != "show":
        parser.error(f"{arguments.verb} needs an argument")
    if arguments.out is not None and arguments.verb != "make":
        parser.error("--out goes with make")
    from meshtrail.verify.pins import default_pins_file, parse_key_option, write_pin

    facts: dict[str, object] = {}
    if arguments.verb == "make":
        key, path = _make(arguments.what, arguments.out, arguments.data)
        facts["key_file"] = str(path)
    elif arguments.verb == "show":
        key = _show(arguments.what, arguments.data)
    else:
        key = parse_key_option(arguments.what)
        pins_file = default_pins_file(os.environ)
        write_pin(pins_file, key)
        facts["pins_file"] = str(pins_file)
    _print_key(key, facts, is_json=arguments.json)
    return exit_codes.OK


def _make(name: str, out: Path | None, data: Path) -> tuple[VerifierKey, Path]:
    from meshtrail.app.keys import default_key_file, home_directory, write_key_file
    from meshtrail.note import check_origin, generate_signer

    check_origin(name)
    path = (out or default_key_file(home_directory(os.environ), name)).absolute()
    signer = generate_signer(name)
    write_key_file(path, signer, data=data)
    return signer.verifier, path


def _show(what: str | None, data: Path) -> VerifierKey:
    from meshtrail.app.data import open_data
    from meshtrail.app.keys import is_private_key_file, read_key_file
    from meshtrail.verify.pins import parse_key_option

    if what is None:
        return open_data(data).claimed_key
    if is_private_key_file(Path(what)):
        return read_key_file(Path(what)).verifier
    return parse_key_option(what)


def _print_key(key: VerifierKey, facts: dict[str, object], *, is_json: bool) -> None:
    """The vkey alone on the first line, so that `> log.vkey | head -1` is what others need."""
    from meshtrail.note import format_fingerprint, format_vkey

    vkey, fingerprint = format_vkey(key), format_fingerprint(key)
    if is_json:
        print(json.dumps({"name": key.name, "vkey": vkey, "fingerprint": fingerprint, **facts}))
        return
    print(vkey)
    print(f"fingerprint {fingerprint}", file=sys.stderr)
    for name, value in facts.items():
        print(f"{name.replace('_', ' ')} {value}", file=sys.stderr)
