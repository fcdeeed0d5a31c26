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
import os
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Run batches until the parent has enough."""
    parser = argparse.ArgumentParser()
    parser.add_argument("campaign", choices=("records", "frames"))
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
        say(end=number, rss_mib=resident_mib(), **campaign.check_batch(batch))


def say(**facts: Any) -> None:
    """One line to the parent; it is gone when this fails, and so should we be."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def resident_mib() -> float:
    """Memory that is resident now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20), 1)


if __name__ == "__main__":
    main()
