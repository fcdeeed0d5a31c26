"""``meshtrail import``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from meshtrail.cli import exit_codes
from meshtrail.cli.documentation import add_data_option, add_json_option, make_parser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from meshtrail.app.import_report import FileAccount
    from meshtrail.app.importing import ImportedFile

FORMATS: Final = (
    *("envoy-json", "git-log", "hubble", "inventory", "istio-json", "istio-text"),
    *("kubernetes-audit", "linkerd", "otlp-json", "ztunnel"),
)
"""Those of ``model.record_formats``, which takes too long to load for who asks for help."""

_ABOUT = """
    Puts files into the log: access logs, flows, audit events, inventories, commits. Each record is
    sealed as it stood in its file, and becomes an event; one that cannot be read is sealed all the
    same, and its event says why. Returns once everything is sealed, with an account of every
    record.

    A running `meshtrail up` on the same data directory does the sealing; without one, the import
    does it itself, and makes the log if there is none. Files that are packed with gzip are
    unpacked; - is standard input.

    What a file says is nobody's word but its own: identities in it are reported, or asserted where
    a caller could have written them, and never attested. A file that is imported again is sealed
    again, and its records are flagged as duplicates, but for the last 4 MiB of one that has grown.
"""
_EXAMPLES = (
    ("meshtrail import ztunnel ztunnel.log", "The connections that a ztunnel logged."),
    (
        "meshtrail import kubernetes-audit --cluster prod /var/log/kubernetes/audit*.log.gz",
        "Who changed what in a cluster, with its rotated files.",
    ),
    (
        "kubectl get pods -A -o json | meshtrail import inventory --cluster prod -",
        "What runs in a cluster now.",
    ),
)


def make_import_parser() -> argparse.ArgumentParser:
    """The arguments of ``meshtrail import``."""
    parser = make_parser(
        "import",
        _ABOUT,
        examples=_EXAMPLES,
        exits=(
            exit_codes.TAMPERED,
            exit_codes.BAD_INPUT,
            exit_codes.DURABILITY,
            exit_codes.UNAVAILABLE,
            exit_codes.CONFIG,
            exit_codes.INTERRUPTED,
        ),
    )
    parser.add_argument("format", metavar="FORMAT", choices=FORMATS, help=", ".join(FORMATS))
    parser.add_argument("files", metavar="FILE", type=Path, nargs="+", help="files, or -")
    parser.add_argument(
        "--reporter", metavar="NAME", help="who wrote the files: a node, a proxy; it is a claim"
    )
    parser.add_argument(
        "--cluster", metavar="NAME", help="the cluster that they are of; it is a claim"
    )
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help="the TOML file of `meshtrail up`, if it has one"
    )
    add_data_option(parser)
    add_json_option(parser, "an object for each file")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = make_import_parser().parse_args(argv)
    from meshtrail.app.import_report import account_for
    from meshtrail.app.importing import Importer
    from meshtrail.app.version import read_version
    from meshtrail.cli.progress import ProgressLine

    owned, configuration = _open(arguments)
    importer = Importer(
        owned,
        configuration,
        version=read_version(),
        reporter=arguments.reporter,
        cluster=arguments.cluster,
    )
    files: list[ImportedFile] = []
    try:
        with importer, ProgressLine() as progress:
            for path in arguments.files:
                files.append(importer.read(arguments.format, path, progress=progress))  # noqa: PERF401 - what was read before an error counts
    finally:
        for account in account_for(owned, files):
            if arguments.json:
                print(json.dumps(account.as_json()))
            else:
                print("\n".join(_lines(account)))
        sys.stdout.flush()
    where = "by the `meshtrail up` that runs" if importer.is_sealed_elsewhere else "by this import"
    print(f"sealed in {owned.signer.name} {where}", file=sys.stderr)
    return exit_codes.OK


def _open(arguments: argparse.Namespace) -> tuple[Any, Any]:
    from meshtrail.app.data import open_owned_data
    from meshtrail.app.keys import home_directory
    from meshtrail.config import make_configuration, read_tables
    from meshtrail.store.durable import Disk
    from meshtrail.verify.pins import default_pins_file

    config = arguments.config
    configuration = make_configuration(
        read_tables(config) if config is not None else {},
        overrides={},
        folder=(config.parent if config is not None else Path()).absolute(),
    )
    owned = open_owned_data(
        Disk(),
        arguments.data.absolute(),
        log=configuration.log,
        key_file=configuration.keys.file,
        home=home_directory(os.environ),
        pins_file=default_pins_file(os.environ),
    )
    return owned, configuration


def _lines(account: FileAccount) -> Iterator[str]:
    """What became of a file, for people."""
    entries = f", entries {account.first_index} to {account.last_index}" if account.kinds else ""
    repeated = f", {account.repeated_count:,} imported before" if account.repeated_count else ""
    yield f"{account.name}: {account.records_count:,} records{entries}{repeated}"
    for kind, count in sorted(account.kinds.items(), key=lambda one: (-one[1], one[0])):
        yield f"  {count:>9,}  {kind}"
    for reason, count in sorted(account.reasons.items(), key=lambda one: (-one[1], one[0])):
        yield f"  {count:>9,}  with a remark: {reason}"
