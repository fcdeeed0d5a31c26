"""One phase of the ingest benchmark: send for a while at a rate, and watch everything meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.harness.processes import ProcessWatch
from bench.harness.publication import PublicationWatch, published_size, sealed_rate, size_at

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from tests.rig.recorder import Recorder

WARM_UP_S = 2.0
DRAIN_S_MAX = 180.0
SETTLED_S = 1.0
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Phase:
    """What a phase found.

    Attributes:
        facts: JSON-ready.
        seen: published tree sizes by time, as of ``PublicationWatch``.
        from_ns: when sending was warm.
        until_ns: when sending ended.
    """

    facts: dict[str, Any]
    seen: npt.NDArray[np.int64]
    from_ns: int
    until_ns: int

    @property
    def sealed_per_s(self) -> float:
        """Entries published a second while the sender was sending."""
        return float(self.facts["sealed_per_s"])

    @property
    def backlog_s(self) -> float:
        """How much sending the backlog was worth when the sender ended."""
        return float(self.facts["backlog_at_end_s"])


def run_phase(
    recorder: Recorder, *, recording: Path, root: Path, seconds: float, rate: float
) -> Phase:
    """Send for ``seconds`` to the running recorder and wait until all of it is published."""
    size_before = published_size(recorder.data)
    processes = ProcessWatch(recorder.pid)
    publication = PublicationWatch(recorder.data)
    command = [sys.executable, "-m", "bench.harness.sender", str(recording), str(recorder.port)]
    command += ["--seconds", str(seconds), "--rate", str(rate)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as sender:
        lines = sender.stdout
        assert lines is not None  # noqa: S101 - a pipe was asked for
        if lines.readline() != "ready\n":
            raise RuntimeError("the sender did not start; its error stands above")
        from_ns = time.time_ns() + round(WARM_UP_S * 1e9)  # noqa: TID251 - compared with the collector's clock
        sent = json.loads(lines.readline())
        until_ns = time.time_ns()  # noqa: TID251 - as above
    drained_s = _wait_until_drained(publication, size_before + sent["entries_count"])
    size_after = publication.size
    usages = processes.stop()
    seen = publication.stop()
    sealed_count = size_after - size_before
    backlog_count = max(sent["entries_count"] - (size_at(seen, until_ns) - size_before), 0)
    facts = {
        "seconds": seconds,
        "rate_asked": rate or "as fast as possible",
        "sent": sent,
        "sealed_count": sealed_count,
        "sealed_per_s": round(sealed_rate(seen, from_ns=from_ns, until_ns=until_ns)),
        "backlog_at_end_count": backlog_count,
        "backlog_at_end_s": round(backlog_count / sent["entries_per_s"], 2),
        "drained_after_s": round(drained_s, 2),
        "processes": {
            role: usage.figures(entries_count=sealed_count) for role, usage in usages.items()
        },
    }
    return Phase(facts, seen, from_ns, until_ns)


def _wait_until_drained(publication: PublicationWatch, size_min: int) -> float:
    """Wait until everything sent is published and the log has come to rest; seconds it took."""
    started = time.monotonic()
    reached_at, size = started, publication.size
    while time.monotonic() - started < DRAIN_S_MAX:
        time.sleep(POLL_S)  # between two looks
        if publication.size != size:
            reached_at, size = time.monotonic(), publication.size
        elif size >= size_min and time.monotonic() - reached_at > SETTLED_S:
            return reached_at - started
    raise TimeoutError(
        f"the log holds {publication.size} entries {DRAIN_S_MAX} s after the sender ended, "
        f"want at least {size_min}"
    )
