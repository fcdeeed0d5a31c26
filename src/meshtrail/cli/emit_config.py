"""``meshtrail emit-config``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from meshtrail.cli import exit_codes
from meshtrail.cli.emit_config_options import make_emit_config_parser, refuse_strangers

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = make_emit_config_parser()
    arguments = parser.parse_args(argv)
    refuse_strangers(parser, arguments)
    from meshtrail.cli.emitted_config import format_config

    text, collector = format_config(parser, arguments)
    if arguments.json:
        facts = {"for": arguments.kind, "address": collector.format(), "yaml": text}
        print(json.dumps(facts))
    else:
        print(text, end="")
    return exit_codes.OK
