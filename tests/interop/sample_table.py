"""Imports every sample that the sources cover, and lists what became of each file.

MESHTRAIL_SAMPLES=DIR ./dev python -m tests.interop.sample_table
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from meshtrail.app.data import open_owned_data
from meshtrail.app.import_report import FileAccount, account_for
from meshtrail.app.importing import Importer
from meshtrail.config import Configuration, LogOptions
from meshtrail.store.durable import Disk

if TYPE_CHECKING:
    from collections.abc import Iterator

COVERED: Final = {
    "hubble/*": "hubble",
    "kubernetes-audit/*.json": "kubernetes-audit",
    "otlp/*.json": "otlp-json",
    "ztunnel/waypoint.log": "istio-text",
    "ztunnel/ztunnel.log": "ztunnel",
}
"""Which files of the samples are of which format. The rest is no telemetry of these sources:
policies and what Istio makes of them, a dump of ztunnel's configuration, spans in CSV."""


def import_samples(samples: Path, directory: Path) -> Iterator[tuple[str, Path, FileAccount]]:
    """Import every covered file into a log of its own; its format, path and account."""
    owned = open_owned_data(
        Disk(),
        directory / "data",
        log=LogOptions(),
        key_file=None,
        home=directory / "home",
        pins_file=directory / "pins",
    )
    files = [(name, path) for glob, name in COVERED.items() for path in sorted(samples.glob(glob))]
    with Importer(owned, Configuration(), version="samples") as importer:
        imported = [importer.read(name, path, progress=lambda *_: None) for name, path in files]
    accounts = account_for(owned, imported)
    for (name, path), account in zip(files, accounts, strict=True):
        yield name, path, account


def format_table(samples: Path, rows: Iterator[tuple[str, Path, FileAccount]]) -> Iterator[str]:
    """The table as Markdown."""
    yield "| file | format | lines | records | events | reasons |"
    yield "|---|---|---|---|---|---|"
    for name, path, account in rows:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(account.kinds.items()))
        reasons = ", ".join(f"{count} {why}" for why, count in sorted(account.reasons.items()))
        cells = (
            path.relative_to(samples),
            name,
            count_lines(path),
            account.records_count,
            kinds,
            reasons or "none",
        )
        yield f"| {' | '.join(map(str, cells))} |"


def count_lines(path: Path) -> int:
    """Lines of a file that are not empty."""
    return sum(map(bool, path.read_bytes().split(b"\n")))


def main() -> int:
    """Print the table."""
    folder = os.environ.get("MESHTRAIL_SAMPLES")
    if not folder:
        sys.stderr.write("MESHTRAIL_SAMPLES names no folder of samples\n")
        return 2
    samples = Path(folder)
    with tempfile.TemporaryDirectory() as directory:
        for line in format_table(samples, import_samples(samples, Path(directory))):
            sys.stdout.write(f"{line}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
