"""Records a clean mesh for a while, and says what the ledger makes of it.

    ./dev python -m tests.e2e.clean_run --minutes 60

Prints one JSON object; ends with status 1 if a record is missing, or one is said to be.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.correlate.ledger import Ledger
from meshtrail.correlate.statements import Cause
from meshtrail.demo.waiting import wait_until
from meshtrail.model.entry import EntryType
from tests.e2e.clean_mesh import running_clean_mesh
from tests.rig.recorded_log import read_log
from tests.rig.recorder import running_recorder

SEALED_S_MAX = 60.0
DECIDED_NS = 300_000_000_000
"""Whatever is to be said of a record has been said so long after it came."""
COUNTED_EVERY_S = 10
_TOLD = "kind:gap OR kind:finding"


@dataclass(frozen=True)
class Account:
    """What was sealed of a clean mesh, and what was said of it.

    Attributes:
        seconds: of traffic.
        made: requests through each sidecar, by its workload, as those know them who made them.
        sealed: records of them.
        paired: of them, by the reckoning of the ledger, those that have a record of the other end.
        both_made: of ``made``, those through two sidecars.
        kinds: events in all.
        said: gaps and findings, as the running recorder told them, or as the ledger would have
            within five minutes.
    """

    seconds: float
    made: dict[str, int]
    sealed: dict[str, int]
    paired: dict[str, int]
    both_made: dict[str, int]
    kinds: dict[str, int]
    said: list[dict[str, Any]]

    @property
    def is_clean(self) -> bool:
        """Whether everything is there, and nothing was said."""
        return self.made == self.sealed and self.paired == self.both_made and not self.said


def record(directory: Path, *, seconds: float, counted_every_s: int) -> Account:
    """Run a recorder and a clean mesh for so long."""
    with (
        running_recorder(directory) as recorder,
        running_clean_mesh(recorder, directory, counted_every_s=counted_every_s) as mesh,
    ):
        with mesh.busy("curl"):
            time.sleep(2 * counted_every_s)  # so that there is something to count
        time.sleep(2 * counted_every_s)  # a count with nothing around it
        # Envoy counts those of telephones once more, by themselves.
        with mesh.busy("iOS"):
            time.sleep(seconds)  # the length of the run
        made = mesh.made()
        wait_until(
            lambda: count_requests(read_log(recorder)).total() >= made.total(),
            "every request is sealed at both ends",
            seconds_max=SEALED_S_MAX,
        )
        log, said = read_log(recorder), recorder.search(_TOLD)
        assert recorder.stop() == 0
    minutes, later = keep_account(log)
    return Account(
        seconds=seconds,
        made=dict(made),
        sealed=dict(count_requests(log)),
        paired=dict(minutes),
        both_made=dict(mesh.both_made()),
        kinds=dict(Counter(log.column("kind").to_pylist())),
        said=[*said, *later],
    )


def keep_account(log: pa.Table) -> tuple[Counter[str], list[dict[str, Any]]]:
    """What the ledger makes of a log: pairs by reporter; gaps, and findings about what is in it."""
    received = log.column("received_time")
    ledger = Ledger(recording_since_ns=received[0].as_py())
    steps = [*ledger.take(log), *ledger.pass_time(received[-1].as_py() + DECIDED_NS)]
    paired: Counter[str] = Counter()
    said = []
    for one in (one for step in steps for one in step.statements):
        if one.entry_type is EntryType.COUNTER and "paired" in one.payload:
            paired[name_of(one.payload["about"])] += one.payload["paired"]
        elif one.entry_type in {EntryType.GAP, EntryType.FINDING}:
            said.append(one.payload)
    # After the end of the log nobody is heard any more.
    return paired, [one for one in said if one["cause"] != Cause.SILENT]


def count_requests(log: pa.Table) -> Counter[str]:
    """Records of requests that ended, by their reporter."""
    is_request = pc.equal(log.column("kind"), "request")
    moment = pc.fill_null(log.column("envoy_access_log_type"), "DownstreamEnd")
    ended = log.filter(pc.and_(is_request, pc.equal(moment, "DownstreamEnd")))
    names = ended.column("reporter_id").cast(pa.string()).to_pylist()
    return Counter(name_of(node_id) for node_id in names)


def name_of(node_id: str) -> str:
    """The workload of a sidecar, by its node id."""
    pod = node_id.split("~")[2]
    return pod.partition("-")[0]


def main() -> None:
    """Run it, and print the account."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="meshtrail-clean-") as directory:
        account = record(
            Path(directory), seconds=options.minutes * 60, counted_every_s=COUNTED_EVERY_S
        )
    sys.stdout.write(f"{json.dumps(asdict(account), indent=2)}\n")
    sys.exit(not account.is_clean)


if __name__ == "__main__":
    main()
