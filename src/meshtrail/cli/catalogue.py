"""``meshtrail catalogue``."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from meshtrail.cli import exit_codes
from meshtrail.cli.documentation import (
    add_data_option,
    add_json_option,
    add_key_options,
    make_parser,
)
from meshtrail.cli.search_options import add_period_options, read_period, with_relative_times

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from meshtrail.search.catalogue import Catalogue, PinnedSegment

_ABOUT = """
    Prints the segments that the log consists of now, one path a line, for other engines: each is a
    Parquet file with the events as columns, and together they hold every sealed entry once.

    The list is pinned to one checkpoint. Merges replace files; the replaced ones stay for 15
    minutes, so read what was listed within that time, and never a glob, which would find entries
    twice. The files are as they lie: `meshtrail verify` checks their SHA-256, which --json shows,
    against the signed manifests.
"""
_EXAMPLES = (
    ("meshtrail catalogue", "The segments of the log in ./meshtrail-data."),
    ("meshtrail catalogue --from -1h", "Those that can hold what arrived in the last hour."),
    (
        "meshtrail catalogue --json",
        "With ranges, lengths and digests, and the checkpoint they are pinned to.",
    ),
)


def make_catalogue_parser() -> argparse.ArgumentParser:
    """The arguments of ``meshtrail catalogue``."""
    parser = make_parser(
        "catalogue",
        _ABOUT,
        examples=_EXAMPLES,
        exits=(exit_codes.TAMPERED, exit_codes.BAD_INPUT, exit_codes.CONFIG),
    )
    add_period_options(parser)
    add_data_option(parser)
    add_key_options(parser)
    add_json_option(parser, "one object with the checkpoint and every segment")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = make_catalogue_parser().parse_args(with_relative_times(argv))
    from meshtrail.app.clock import SystemClock
    from meshtrail.app.data import open_data
    from meshtrail.cli.trust import find_trusted_key
    from meshtrail.search.catalogue import open_catalogue, segments_within

    period = read_period(arguments, now_ns=SystemClock().wall_ns())
    data = open_data(arguments.data)
    trusted = find_trusted_key(arguments, is_remembering=False)
    catalogue = open_catalogue(data.layout, trusted.verifier, origin=data.origin)
    segments = segments_within(catalogue, period)
    if arguments.json:
        print(json.dumps({**_as_json(catalogue, segments), **trusted.as_json()}))
        return exit_codes.OK
    for segment in segments:
        print(segment.path.absolute())
    sys.stdout.flush()
    count = sum(segment.entries_count for segment in segments)
    listed = f"{len(segments)} of {len(catalogue.segments)} segments with {count} entries"
    print(f"{listed} of {catalogue.origin}", trusted.render(), sep="\n", file=sys.stderr)
    return exit_codes.OK


def _as_json(catalogue: Catalogue, segments: Sequence[PinnedSegment]) -> dict[str, Any]:
    checkpoint = catalogue.checkpoint
    return {
        "log": catalogue.origin,
        "tree_size": catalogue.tree_size,
        "root": checkpoint.root_hash.hex() if checkpoint is not None else None,
        "segments": [
            {
                "path": str(segment.path.absolute()),
                "start": segment.named.start,
                "end": segment.named.end,
                "bytes": segment.bytes_count,
                "sha256": segment.sha256.hex(),
            }
            for segment in segments
        ],
    }
