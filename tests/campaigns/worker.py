"""The process that a crash may end: runs batches and says before each which one it is.

    python -m tests.campaigns.worker CAMPAIGN --seed N --first N [--rows A B]

Prints one JSON object a line, a ``begin`` before and an ``end`` after each batch, until it is
stopped. With ``--rows`` it runs only those items of the first batch and ends: a culprit is searched
for that way.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import sys
from pathlib import Path
from typing import Any, Final

CAMPAIGNS: Final = ("records", "frames", "exports", "readers")
"""Modules beside this one."""


def main() -> None:
    """Run batches until the parent has enough."""
    parser = argparse.ArgumentParser()
    parser.add_argument("campaign", choices=CAMPAIGNS)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--rows", type=int, nargs=2)
    options = parser.parse_args()
    campaign = importlib.import_module(f"tests.campaigns.{options.campaign}")
    if options.rows:
        begin, end = options.rows
        campaign.check_batch(campaign.make_batch(options.seed, options.first)[begin:end])
        return
    for number in itertools.count(options.first):
        batch = campaign.make_batch(options.seed, number)
        say(begin=number, items=len(batch))
        forget_peak()
        report = campaign.check_batch(batch)
        say(end=number, rss_mib=resident_mib("VmRSS"), peak_mib=resident_mib("VmHWM"), **report)


def say(**facts: Any) -> None:
    """One line to the parent; it is gone when this fails, and so should we be."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def forget_peak() -> None:
    """Begin anew with the most memory that was ever resident."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def resident_mib(name: str) -> float:
    """Memory that is resident now (``VmRSS``), or was at most (``VmHWM``)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    kib = int(status.partition(f"{name}:")[2].split()[0])
    return round(kib / 1024, 1)


if __name__ == "__main__":
    main()
