"""One phase of the ingest benchmark: send for a while at a rate, and watch everything meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.harness.processes import ProcessWatch, Usage
from bench.harness.publication import PublicationWatch, published_size, sealed_rate, size_at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from tests.rig.recorder import Recorder

WARM_UP_S = 2.0
DRAIN_S_MAX = 180.0
SETTLED_S = 1.0
POLL_S = 0.1
SENDER = "bench.harness.sender"
LEDGER = "ledger"


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
    recorder: Recorder,
    *,
    recording: Path,
    root: Path,
    seconds: float,
    rate: float,
    sender: str = SENDER,
    port: int | None = None,
    words: Sequence[str] = (),
) -> Phase:
    """Send for ``seconds`` to the running recorder and wait until all of it is published.

    Args:
        recorder: is running.
        recording: what is sent.
        root: of the checkout.
        seconds: how long.
        rate: entries a second; 0 sends as fast as possible.
        sender: the module of the process that sends.
        port: where it sends to; the recorder's gRPC door if None.
        words: more of its command line.

    Raises:
        RuntimeError: the sender failed.
        TimeoutError: what was sent is not published.
    """
    size_before = published_size(recorder.data)
    processes = ProcessWatch(recorder.pid)
    publication = PublicationWatch(recorder.data)
    command = [sys.executable, "-m", sender, str(recording), str(port or recorder.port), *words]
    command += ["--seconds", str(seconds), "--rate", str(rate)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        lines = process.stdout
        assert lines is not None  # noqa: S101 - a pipe was asked for
        if lines.readline() != "ready\n":
            raise RuntimeError("the sender did not start; its error stands above")
        from_ns = time.time_ns() + round(min(WARM_UP_S, seconds / 2) * 1e9)  # noqa: TID251 - compared with the collector's clock
        sent = json.loads(lines.readline())
        until_ns = time.time_ns()  # noqa: TID251 - as above
    if process.returncode:
        raise RuntimeError("the sender failed; its error stands above")
    drained_s = _wait_until_drained(publication, size_before + sent["entries_count"])
    size_after = publication.size
    usages = processes.stop()
    seen = publication.stop()
    sealed_count = size_after - size_before
    backlog_count = max(sent["entries_count"] - (size_at(seen, until_ns) - size_before), 0)
    sealed_per_s = sealed_rate(seen, from_ns=from_ns, until_ns=until_ns)
    record_bytes = sent["entries_bytes"] / sent["entries_count"]
    message_bytes = sent["frames_bytes"] / sent["entries_count"]
    spent_s = sum(usage.spent_s for usage in usages.values())
    facts = {
        "seconds": seconds,
        "rate_asked": rate or "as fast as possible",
        "sent": sent,
        "sealed_count": sealed_count,
        "sealed_per_s": round(sealed_per_s),
        "sealed_record_bytes_per_s": round(sealed_per_s * record_bytes),
        "sealed_message_bytes_per_s": round(sealed_per_s * message_bytes),
        "backlog_at_end_count": backlog_count,
        "backlog_at_end_s": round(backlog_count / sent["entries_per_s"], 2),
        "drained_after_s": round(drained_s, 2),
        "cpu_us_per_entry": round(spent_s / sealed_count * 1e6, 2),
        "record_bytes_per_cpu_s": round(sealed_count * record_bytes / spent_s),
        "ledger_share_of_cpu_percent": ledger_share_percent(usages),
        "processes": {
            role: usage.figures(
                entries_count=sealed_count, records_bytes=sealed_count * record_bytes
            )
            for role, usage in usages.items()
        },
    }
    return Phase(facts, seen, from_ns, until_ns)


def ledger_share_percent(usages: Mapping[str, Usage]) -> float:
    """The ledger's share of the CPU that all processes of ``meshtrail up`` took."""
    spent_s = sum(usage.spent_s for usage in usages.values())
    ledger_s = sum(usage.spent_s for role, usage in usages.items() if role.startswith(LEDGER))
    return round(100 * ledger_s / spent_s, 1) if spent_s else 0.0


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
