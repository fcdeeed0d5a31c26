"""Keeps the ledger: follows the log, and puts what there is to say of it into a journal of its own.

Nothing but the log is kept between two runs. A start reads the last 21 minutes before the
last step that was told, says nothing again of what was told, and goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Final

import pyarrow.compute as pc

from meshtrail.app.journal_lag import read_oldest_unsealed
from meshtrail.collect.clock import CollectorClock
from meshtrail.collect.payloads import (
    CloseReason,
    CollectorFacts,
    Sender,
    encode_json,
    stream_opened,
)
from meshtrail.collect.stream import Stream
from meshtrail.correlate.clock_offsets import ACCESS_LOGS, BATCHES, COUNTS
from meshtrail.correlate.counter_account import EARLY_NS, LATE_NS
from meshtrail.correlate.ledger import (
    GRACE_NS,
    LEDGER_COLUMNS,
    LEDGER_TEXTS,
    STEP_NS,
    UNDER_WAY_NS,
    Ledger,
)
from meshtrail.correlate.minutes import MINUTE_GRACE_NS
from meshtrail.correlate.pair_book import OPTIONS
from meshtrail.correlate.proxy_account import PATIENCE_NS
from meshtrail.correlate.shared_keys import SharedKeys
from meshtrail.correlate.statements import MINUTE, PLACES, parse_logged, parse_places
from meshtrail.journal import blob_frame
from meshtrail.model.entry import EntryType
from meshtrail.search.catalogue import read_received_range
from meshtrail.search.event_reader import EventReader, find_all, find_newest
from meshtrail.sources.reporter_clocks import DRIFT_DIVISOR, LEDGER_WRITER
from meshtrail.store.manifest_follower import ManifestFollower
from meshtrail.units import UnixNanos

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from meshtrail.app.inventory_file import InventoryFile
    from meshtrail.correlate.ledger import Step
    from meshtrail.correlate.pairing import Place
    from meshtrail.correlate.proxy_account import Logged
    from meshtrail.correlate.reporters import Reporter
    from meshtrail.journal import Frame, JournalWriter
    from meshtrail.note import Verifier
    from meshtrail.store.layout import Layout
    from meshtrail.units import Clock

WRITER: Final = LEDGER_WRITER
LOOK_BACK_NS: Final = OPTIONS.replay_ns
SETTLED_NS: Final = 5_000_000_000
"""What came in longer ago than this is published when no journal has anything unsealed."""

CONFIG: Final = {
    "clock_access_logs_delay_ns": ACCESS_LOGS[1],
    "clock_batches_delay_ns": BATCHES[1],
    "clock_counts_delay_ns": COUNTS[1],
    "clock_drift_divisor": DRIFT_DIVISOR,
    "grace_ns": GRACE_NS,
    "early_ns": EARLY_NS,
    "late_ns": LATE_NS,
    "look_back_ns": LOOK_BACK_NS,
    "minute_grace_ns": MINUTE_GRACE_NS,
    "patience_ns": PATIENCE_NS,
    "step_ns": STEP_NS,
    "under_way_ns": UNDER_WAY_NS,
}
"""What its statements rest on, sealed with them."""

_TOLD: Final = (
    pc.field("source").isin(["meshtrail"])
    & pc.match_substring(pc.field("detail"), '"step_ns":')
    # The collector says likewise by how much its clock stepped, and to what.
    & pc.invert(pc.match_substring(pc.field("detail"), '"wall_ns":'))
)

_PLACES: Final = _TOLD & pc.match_substring(pc.field("detail"), f'"name":"{PLACES}"')
_LOGGED: Final = (
    _TOLD
    & pc.match_substring(pc.field("detail"), f'"name":"{MINUTE}"')
    # What was logged once stays so.
    & pc.match_substring(pc.field("detail"), '_logged":true')
)


class LedgerKeeper:
    """One run of the ledger.

    Args:
        layout: of the data directory.
        verifier: the log's key.
        origin: of the log.
        journal: open, and nobody else's; stays open.
        clock: of the machine.
        version: of meshtrail.
        inventory: of what runs where, if there is one.
    """

    def __init__(
        self,
        layout: Layout,
        verifier: Verifier,
        *,
        origin: str,
        journal: JournalWriter,
        clock: Clock,
        version: str,
        inventory: InventoryFile | None = None,
    ) -> None:
        self._layout = layout
        self._manifests = ManifestFollower(layout, verifier, origin=origin)
        self._journal = journal
        # As the collector does: what it says of itself must not be ahead of what others recorded.
        self._clock = CollectorClock(clock)
        self._inventory = inventory
        self._keys: SharedKeys | None = None
        self._read_inventory()
        self._stream = Stream()
        self._reader = EventReader(
            layout,
            verifier,
            origin=origin,
            columns=LEDGER_COLUMNS,
            texts=LEDGER_TEXTS,
            manifests=self._manifests,
        )
        self._ledger: Ledger | None = None
        self._told_ns = 0
        self._passed_ns = 0
        self._gaps: Counter[str] = Counter()
        self._missing: Counter[str] = Counter()
        self._findings: Counter[str] = Counter()
        self._open(version)

    def look(self, is_ending: Callable[[], bool] = lambda: False) -> int:
        """Take what was published since the last look, and journal what there is to say.

        Args:
            is_ending: whether to leave the rest to the next start, which reads it again.

        Returns:
            How many statements were made.

        Raises:
            TamperError, InputError, UnavailableError: as ``EventReader.read_new``.
            DurabilityError: the journal cannot be relied on.
        """
        # The collector seals what it notices of the wall clock.
        self._clock.check()
        self._ledger = self._ledger or self._begin()
        if self._ledger is None:
            return 0
        self._read_inventory()
        self._ledger.keys = self._keys
        told_count = 0
        for table in self._reader.read_new():
            told_count += self._tell(self._ledger.take(table))
            if is_ending():
                return told_count
        quiet_ns = self._quiet_until()
        if quiet_ns is not None:
            told_count += self._tell(self._ledger.pass_time(quiet_ns))
        return told_count

    def figures(self) -> dict[str, object]:
        """What it told since its start, for whoever watches; may be asked from any thread."""
        return {
            "passed_ns": self._passed_ns,
            "reporters": self._ledger.reporters_count if self._ledger else 0,
            "silent": self._ledger.silent_count if self._ledger else 0,
            "gaps": dict(self._gaps),
            "missing": dict(self._missing),
            "findings": dict(self._findings),
        }

    def close(self) -> None:
        """End the stream in order."""
        closed = self._stream.closed_frame(
            CloseReason.SHUTDOWN, detail=None, received_ns=self._clock.now()
        )
        self._journal.append([closed])

    def _open(self, version: str) -> None:
        now_ns = self._clock.now()
        config = encode_json({"ledger": CONFIG})
        facts = CollectorFacts(
            version=version, started_ns=now_ns, config_sha256=hashlib.sha256(config).digest()
        )
        frames: list[Frame] = [blob_frame(config, received_ns=now_ns)]
        for stream_id, state in sorted(self._journal.left_open.items()):
            left = Stream.resumed(stream_id, state)
            frames.append(
                left.closed_frame(
                    CloseReason.COLLECTOR_RESTARTED,
                    detail=f"the last durable entry was seq {left.last_seq}",
                    received_ns=now_ns,
                )
            )
        payload = stream_opened(Sender(transport="self", writer=WRITER), facts)
        frames.append(self._stream.own_frame(EntryType.STREAM_OPENED, payload, received_ns=now_ns))
        self._journal.append(frames)

    def _read_inventory(self) -> None:
        """Go by the inventory as it is now; what is known of keys stays."""
        changed = self._inventory.read_changed() if self._inventory is not None else None
        if changed is not None:
            self._keys = self._keys or SharedKeys(changed)
            self._keys.inventory = changed

    def _begin(self) -> Ledger | None:
        """Go on where the last run ended; None while what it said is not sealed yet."""
        if self._is_behind(WRITER):
            return None
        segments = self._reader.segments()
        if not segments:
            return None
        told = find_newest(self._reader, _TOLD, ["source", "detail"])
        self._told_ns = json.loads(str(told["detail"]))["step_ns"] if told else 0
        since_ns = self._told_ns - LOOK_BACK_NS
        for segment in segments:
            first_ns, last_ns = read_received_range(segment.path)
            if last_ns >= since_ns:
                self._reader.position = segment.named.start
                ledger = Ledger(recording_since_ns=first_ns)
                start = segment.named.start
                ledger.learn(self._read_places(start), self._read_logged(start))
                return ledger
        return None

    def _read_places(self, from_index: int) -> list[Place]:
        """What was last told of where proxies report from, in segments from an entry on."""
        told = find_all(self._reader, _PLACES, ["detail"], from_index=from_index)
        details = told.column("detail").to_pylist()
        steps = [json.loads(detail)["step_ns"] for detail in details]
        return [
            place
            for detail, step_ns in zip(details, steps, strict=True)
            if step_ns == max(steps)
            for place in parse_places(detail)
        ]

    def _read_logged(self, from_index: int) -> dict[Reporter, Logged]:
        """What was last told of what reporters log, in segments from an entry on."""
        told = find_all(self._reader, _LOGGED, ["log_index", "detail"], from_index=from_index)
        return dict(map(parse_logged, told.sort_by("log_index").column("detail").to_pylist()))

    def _tell(self, steps: Iterable[Step]) -> int:
        """Journal the statements of each step at once: a crash keeps all of them, or none."""
        told_count = 0
        for step in steps:
            self._passed_ns = step.until_ns
            if step.until_ns <= self._told_ns or not step.statements:
                continue
            self._count(step)
            now_ns = self._clock.now()
            self._journal.append(
                [
                    self._stream.own_frame(
                        one.entry_type,
                        encode_json({**one.payload, "step_ns": step.until_ns}),
                        received_ns=now_ns,
                    )
                    for one in step.statements
                ]
            )
            self._told_ns = step.until_ns
            told_count += len(step.statements)
        return told_count

    def _count(self, step: Step) -> None:
        for one in step.statements:
            if one.entry_type is EntryType.GAP:
                self._gaps[one.payload["cause"]] += 1
                self._missing[one.payload["cause"]] += one.payload["missing_min"]
            elif one.entry_type is EntryType.FINDING:
                self._findings[one.payload["cause"]] += 1

    def _quiet_until(self) -> int | None:
        """Until when nothing more can be published; None while anything waits to be sealed."""
        now_ns = self._clock.now()
        is_behind = any(
            self._is_behind(folder.name)
            for folder in self._layout.journals.iterdir()
            if folder.is_dir()
        )
        return None if is_behind else UnixNanos(now_ns - SETTLED_NS)

    def _is_behind(self, writer: str) -> bool:
        """Whether a journal holds anything that is not sealed."""
        pinned = self._manifests.read()
        positions = pinned.manifest.journals if pinned is not None else ()
        position = next((at for at in positions if at.writer == writer), None)
        return read_oldest_unsealed(self._layout.journals / writer, position) is not None
