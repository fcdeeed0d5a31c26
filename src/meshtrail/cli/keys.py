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
from meshtrail.cli.tokens import DAYS_DEFAULT, TOKEN_VERBS, run_token_verb

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from meshtrail.note import VerifierKey

_KEY_VERBS = ("make", "show", "pin")
_ABOUT = """
    Makes, shows and pins the keys of logs; makes, lists and revokes the tokens of senders.

    A log is signed with one Ed25519 private key, which never lies in the data directory: whoever
    gets a copy of the evidence must not be able to sign another. `meshtrail up` makes one on its
    first start; `make` makes one beforehand, for example on another machine. Others need the
    verifier key (the vkey line): `show` prints it with its fingerprint, and `pin` makes this
    machine trust it for the log of that name.

    A token is what a sender shows that has no certificate (`authorization: Bearer …`). `token`
    prints a new one, once, and notes its SHA-256 in the tokens file, which `meshtrail up --tokens`
    reads again whenever it changes; `tokens` lists what is there, and `revoke` takes one out. A
    token is good for some kinds of telemetry, and for reporters that claim names which match its
    patterns: whoever claims another name with it is recorded, and the conflict stands in each row.
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
    (
        "meshtrail keys token shop-otel --source otlp --reporter 'shop-*' --days 90",
        "A token for an OTLP sender whose node ids and clusters begin with shop-.",
    ),
    ("meshtrail keys revoke shop-otel", "It is refused from now on."),
)


def make_keys_parser() -> Parser:
    """The arguments of ``meshtrail keys``."""
    parser = make_parser(
        "keys",
        _ABOUT,
        usage="make NAME [--out FILE] | show [FILE] [--data DIR] | pin VKEY|FILE |\n"
        "       token NAME --source KIND[,…] --reporter PATTERN [--days N] [--tokens FILE] |\n"
        "       tokens [--tokens FILE] | revoke NAME|ID [--tokens FILE]",
        examples=_EXAMPLES,
        exits=(exit_codes.BAD_INPUT, exit_codes.CONFIG),
    )
    parser.add_argument(
        "verb", metavar="|".join((*_KEY_VERBS, *TOKEN_VERBS)), choices=(*_KEY_VERBS, *TOKEN_VERBS)
    )
    parser.add_argument(
        "what",
        metavar="NAME|FILE|VKEY|ID",
        nargs="?",
        help="make: the key's name, MESH/CLUSTER/ID; show: a private key or vkey file; "
        "pin: a vkey or its file; token: its name; revoke: its name or id",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        help="make: where to write the private key (default: $MESHTRAIL_HOME/keys/NAME.key)",
    )
    parser.add_argument(
        "--source",
        metavar="KIND[,…]",
        action="append",
        help="token: what it is good for, of otlp, envoy-als and envoy-metrics",
    )
    parser.add_argument(
        "--reporter",
        metavar="PATTERN",
        action="append",
        help="token: node ids and node clusters that its senders may claim; * stands for anything, "
        "and the option may stand several times",
    )
    parser.add_argument(
        "--days",
        metavar="N",
        type=int,
        help=f"token: how long it is good, 1 to 3650 (default: {DAYS_DEFAULT})",
    )
    parser.add_argument(
        "--tokens",
        metavar="FILE",
        type=Path,
        help="token, tokens, revoke: the tokens file, outside DATA (default: "
        "$MESHTRAIL_HOME/tokens)",
    )
    add_data_option(parser)
    add_json_option(parser, "the key as one JSON object")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = make_keys_parser()
    arguments = parser.parse_args(argv)
    _check_arguments(parser, arguments)
    if arguments.verb in TOKEN_VERBS:
        return run_token_verb(arguments)
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


def _check_arguments(parser: Parser, arguments: argparse.Namespace) -> None:
    """End with a usage error where options and verb make no command."""
    verb = arguments.verb
    if arguments.what is None and verb not in ("show", "tokens"):
        parser.error(f"{verb} needs an argument")
    if arguments.what is not None and verb == "tokens":
        parser.error("tokens takes no argument")
    if arguments.out is not None and verb != "make":
        parser.error("--out goes with make")
    if arguments.tokens is not None and verb not in TOKEN_VERBS:
        parser.error(f"--tokens goes with {', '.join(TOKEN_VERBS)}")
    bound = (arguments.source, arguments.reporter)
    if verb == "token" and None in bound:
        parser.error("token needs --source and --reporter: what it is good for, and for whom")
    if verb != "token" and (*bound, arguments.days) != (None, None, None):
        parser.error("--source, --reporter and --days go with token")


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
