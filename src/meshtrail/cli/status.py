"""``meshtrail status``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from meshtrail.cli import exit_codes
from meshtrail.cli.documentation import (
    add_data_option,
    add_json_option,
    add_key_options,
    make_parser,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from meshtrail.app.status import Status

_ABOUT = """
    Shows what a data directory holds: entries published and sealed, the last arrival, files,
    whether `meshtrail up` seals there now, how many bytes wait in the journals, and what the ledger
    knows to be missing and has found. It reads only, and may be run at any time. Signatures of the
    newest manifest and checkpoint are checked; `meshtrail verify` checks everything.
"""
_EXAMPLES = (
    ("meshtrail status", "The log in ./meshtrail-data."),
    (
        "meshtrail status --data DIR --json",
        "The same for a script: times in unix nanoseconds, sizes in bytes.",
    ),
)


def make_status_parser() -> argparse.ArgumentParser:
    """The arguments of ``meshtrail status``."""
    parser = make_parser(
        "status",
        _ABOUT,
        examples=_EXAMPLES,
        exits=(exit_codes.TAMPERED, exit_codes.BAD_INPUT, exit_codes.CONFIG),
    )
    add_data_option(parser)
    add_key_options(parser)
    add_json_option(parser, "the facts as one JSON object")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = make_status_parser().parse_args(argv)
    from meshtrail.app.clock import SystemClock
    from meshtrail.app.data import open_data
    from meshtrail.app.run_file import read_run_files, select_live, select_tail
    from meshtrail.app.status import read_status
    from meshtrail.cli.trust import find_trusted_key

    data = open_data(arguments.data)
    trusted = find_trusted_key(arguments, is_remembering=False)
    status = read_status(data.layout, trusted.verifier, origin=data.origin)
    now_ns = SystemClock().wall_ns()
    run = read_run_files(data.layout)
    ledger = select_live(run, "ledger", now_ns=now_ns)
    tail = select_tail(run, now_ns=now_ns)
    if arguments.json:
        facts = {**status.as_json(), "ledger": ledger, "tail": tail, "data": str(arguments.data)}
        print(json.dumps({**facts, **trusted.as_json()}))
        return exit_codes.OK
    for line in _lines(status, now_ns=now_ns):
        print(line)
    if tail is not None and tail["files"]:
        print(f"tail       {tail['files']:,} files, {tail['behind_bytes']:,} bytes not read yet")
    print(_missing_line(ledger))
    print(trusted.render())
    return exit_codes.OK


def _missing_line(ledger: dict[str, Any] | None) -> str:
    """What the ledger has told since it was started; the log has it for ever."""
    if ledger is None:
        return "missing    not known: no ledger is kept here now, see meshtrail completeness"
    causes = _counted(ledger["missing"]) + [f"{ledger['silent']} silent"] * bool(ledger["silent"])
    missing = ", ".join(causes) or "nothing known since the ledger was started"
    findings = ", ".join(_counted(ledger["findings"]))
    line = f"missing    of {ledger['reporters']} reporters: {missing}"
    return f"{line}; findings: {findings}" if findings else line


def _counted(causes: dict[str, int]) -> list[str]:
    return [f"{count:,} {cause}" for cause, count in sorted(causes.items()) if count]


def _lines(status: Status, *, now_ns: int) -> Iterator[str]:
    yield f"log        {status.origin}"
    yield f"published  {status.tree_size:,} entries"
    if status.root_hash is not None:
        yield f"root       {status.root_hash}"
    if status.sealed_size != status.tree_size:
        yield f"sealed     {status.sealed_size:,} entries, being published"
    if status.last_received_ns is not None:
        seconds = max(now_ns - status.last_received_ns, 0) / 1e9
        yield f"last       {seconds:,.1f} s ago"
    yield f"stored     {status.segments_count} segments, {status.stored_bytes:,} bytes with tiles"
    yield f"sealer     {status.sealer}"
    for journal in status.journals:
        yield (
            f"journal    {journal.writer}: {journal.unsealed_bytes:,} bytes not sealed yet, "
            f"{journal.files_count} files"
        )
