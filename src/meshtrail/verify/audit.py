"""The audit of a data directory that nobody here trusts, in the order in which trust is gained.

Everything that can be found is found: the audit goes on behind the first fault, and the verdict
names the most telling one. It never writes, and never imports what wrote the log.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from meshtrail.errors import ManifestError, NotFoundError, QueryError, SignatureError
from meshtrail.store.layout import Layout, read_format
from meshtrail.verify.deep import DeepAudit, choose_sample
from meshtrail.verify.entries import EntryAudit
from meshtrail.verify.files import Blobs, CommittedFiles, stranger, unnamed_files
from meshtrail.verify.findings import Findings, Severity, noted, tampered, verdict_of
from meshtrail.verify.heads import SignedHead
from meshtrail.verify.history import History, read_history
from meshtrail.verify.live_view import LiveView
from meshtrail.verify.manifests import Chain, ReadManifest, read_chain
from meshtrail.verify.plan import PiecePlan
from meshtrail.verify.proven_tree import ProvenTree
from meshtrail.verify.report import AuditReport
from meshtrail.verify.snapshot import Snapshot, take_snapshot
from meshtrail.verify.tree import TreeFold
from meshtrail.verify.workers import Workers

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.verify.pins import TrustedKey

Progress: TypeAlias = Callable[[int, int, str], None]
"""Told how much is done, of how much, and in which phase."""

IN_PROCESS_ENTRIES: Final = 200_000
"""Fewer entries are read faster by this process than workers start."""

_RANGE: Final = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
_NANOS: Final = 1_000_000_000


def audit(
    root: Path,
    *,
    trusted: TrustedKey,
    lock_record: Path | None = None,
    index_range: tuple[int, int] | None = None,
    is_deep: bool = False,
    workers: int = 2,
    progress: Progress | None = None,
    clock: Callable[[], int] = time.monotonic_ns,
) -> AuditReport:
    """Check a whole log against what its key signed.

    Args:
        root: the data directory; a sealer may be at work in it.
        trusted: the key to hold signatures against, from ``find_log_key``.
        lock_record: the record of signed heads on another volume, if there is one.
        index_range: leaves [start, end) to read entries of; all when None.
        is_deep: whether events are derived again and compared.
        workers: processes for large logs, beside this one; 1 for this one alone.
        progress: told (done, total, phase) now and then, in this thread.
        clock: monotonic nanoseconds.

    Returns:
        What was checked; nothing in it is tampering.

    Raises:
        TamperError: of the most specific class; ``error.report`` is the report with all findings.
        LayoutError: not a data directory of this layout.
        NotFoundError: a range that is not in the log.
        UnavailableError: a file cannot be read, or a worker was killed.
    """
    begun = clock()
    run = _Audit(root, trusted, index_range, is_deep=is_deep, progress=progress)
    run.run(lock_record, workers)
    report = run.report((clock() - begun) / _NANOS)
    verdict = verdict_of(report.findings)
    if verdict is None:
        return report
    error, finding = verdict
    raise error(finding.message, **{**finding.facts, "subject": finding.subject, "report": report})


def parse_index_range(text: str) -> tuple[int, int]:
    """Read ``A-B``: the entries from A up to, not with, B.

    Raises:
        QueryError: not two numbers in this order.
    """
    match = _RANGE.fullmatch(text)
    if match:
        start, end = int(match[1]), int(match[2])
        if start < end:
            return start, end
    raise QueryError(f"{text[:40]!r} is no range A-B of entries, A below B")


class _Audit:
    """One audit under way. The plan is ``run``; each step rests on what the ones before found."""

    def __init__(
        self,
        root: Path,
        trusted: TrustedKey,
        index_range: tuple[int, int] | None,
        *,
        is_deep: bool,
        progress: Progress | None,
    ) -> None:
        self._layout = Layout(root)
        self._trusted = trusted
        self._range = index_range
        self._is_deep = is_deep
        self._progress = progress
        self._findings = Findings()
        self._chain = Chain()
        self._history: History | None = None
        self._files: CommittedFiles | None = None
        self._blobs: Blobs | None = None
        self._entries: EntryAudit | None = None
        self._deep: DeepAudit | None = None
        # The newest manifest at the start: what comes later is left for the next audit.
        self._newest: ReadManifest | None = None
        self._view: LiveView | None = None
        self._heads_checked = 0
        self._has_lock_record = False

    def run(self, lock_record: Path | None, workers_count: int) -> None:
        """Check everything.

        (0) format.toml names the log whose key is trusted;
        (1) manifests: each signed by that key, each following from the one before it;
        (2) checkpoints, published/checkpoint and the lock record: each signed, none older, newer
            or other than a crash explains;
        (3) committed files: each there, with the length and SHA-256 that its manifest names;
        (4) entries: each hashes to its leaf, leaves to the roots of every head of (1) and (2),
            streams count without holes, time never decreases, blobs that entries name are there;
        (5) events, when asked: each what its entry makes.
        """
        self._has_lock_record = lock_record is not None
        verifier = self._trusted.verifier
        # (0): the directory says which log it is; the key comes from outside.
        self._check_format()
        # (1), (2): all signed statements, as they stood at one moment.
        snapshot = take_snapshot(self._layout, lock_record=lock_record)
        self._tell(0, 1, "manifests")
        self._chain = read_chain(snapshot.manifests, verifier)
        self._findings.extend(self._chain.findings)
        self._newest = self._chain.newest
        self._check_range()
        count = 1 if self._tree_size < IN_PROCESS_ENTRIES else workers_count
        with Workers(count) as workers:
            self._tell(0, 1, "checkpoints")
            self._history = read_history(snapshot, self._chain, verifier=verifier, workers=workers)
            self._findings.extend(self._history.findings)
            # (3): digests before anything is parsed.
            self._check_files(workers, snapshot)
            # (4), (5).
            if self._newest is not None:
                self._check_entries(self._newest, workers)

    @property
    def _tree_size(self) -> int:
        """Size of the tree that is audited."""
        return self._newest.manifest.tree_size if self._newest else 0

    def report(self, seconds: float) -> AuditReport:
        """What was found so far."""
        newest = self._newest
        streams = self._entries.streams if self._entries else None
        history = self._history
        return AuditReport(
            origin=self._trusted.verifier.name,
            tree_size=self._tree_size,
            root_hash=newest.manifest.root_hash if newest else None,
            published_size=history.published.tree_size if history and history.published else None,
            trusted=self._trusted,
            checkpoints_count=history.checkpoints_count if history else 0,
            heads_checked=self._heads_checked,
            lock_heads_count=history.lock_heads_count
            if history and self._has_lock_record
            else None,
            manifests_count=len(self._chain.manifests),
            files_count=self._files.count if self._files else 0,
            blobs_count=self._blobs.count if self._blobs else 0,
            entries_count=self._entries.entries_count if self._entries else 0,
            streams_opened=streams.opened_count if streams else 0,
            streams_closed=streams.closed_count if streams else 0,
            streams_open=streams.open_count if streams else 0,
            is_deep=self._is_deep,
            derived_count=self._deep.rows_count if self._deep else 0,
            sampled_count=self._deep.sampled_count if self._deep else 0,
            index_range=self._range,
            findings=self._findings.of(Severity.TAMPERED),
            explained=self._findings.of(Severity.EXPLAINED),
            notes=self._findings.of(Severity.NOTE),
            counts=self._findings.counts,
            seconds=seconds,
        )

    def _tell(self, done: int, total: int, phase: str) -> None:
        if self._progress:
            self._progress(done, total, phase)

    def _check_format(self) -> None:
        described = read_format(self._layout)
        want = (self._trusted.verifier.name, self._trusted.vkey)
        got = (described.origin, described.key)
        if want != got:
            error = SignatureError(
                f"format.toml names log {got[0]!r} with key {got[1]}, the trusted key is {want[1]}",
                want=want[1],
                got=got[1],
            )
            self._findings.add(tampered(error, "format.toml"))

    def _check_range(self) -> None:
        if self._range is not None and self._range[1] > self._tree_size:
            raise NotFoundError(
                f"the log has {self._tree_size} entries, the range ends at {self._range[1]}",
                tree_size=self._tree_size,
            )

    def _check_files(self, workers: Workers, snapshot: Snapshot) -> None:
        for path in snapshot.strangers:
            self._findings.add(stranger(path))
        self._files = CommittedFiles(self._layout.root, workers)
        self._blobs = Blobs(self._layout, workers)
        self._view = LiveView(
            self._layout,
            self._chain,
            files=self._files,
            verifier=self._trusted.verifier,
            findings=self._findings,
            index_range=self._range,
        )
        self._view.check_files(lambda done, total: self._tell(done, total, "files"))
        self._blobs.read()
        if self._chain.live is not None:
            self._findings.extend(unnamed_files(self._layout, self._chain.live.by_name))

    def _check_entries(self, newest: ReadManifest, workers: Workers) -> None:
        view, history, blobs = self._view, self._history, self._blobs
        if view is None or history is None or blobs is None or not view.is_known:
            message = "the live files cannot be told from the manifests: no entry was checked"
            self._findings.add(noted("entries-unchecked", "manifest", message))
            return
        start, end = self._range or (0, newest.manifest.tree_size)
        plan = PiecePlan(
            root=self._layout.root,
            origin=self._trusted.verifier.name,
            start=start,
            end=end,
            is_deep=self._is_deep,
        )
        tree = self._tree(plan, newest, view, history)
        if self._is_deep and start == 0:
            self._deep = DeepAudit(
                blobs=self._layout.blobs,
                sample=choose_sample(tree_size=end, root_hash=newest.manifest.root_hash),
                workers=workers,
                findings=self._findings,
            )
        self._entries = EntryAudit(
            plan=plan,
            view=view,
            tree=tree,
            blobs=blobs,
            findings=self._findings,
            workers=workers,
            deep=self._deep,
            is_whole=start == 0,
        )
        phase = "deep" if self._deep else "entries"
        self._entries.run(lambda position: self._tell(position - start, end - start, phase))
        self._heads_checked = tree.heads_checked
        if not tree.is_complete:
            message = "not every signed head could be compared: hashes of some entries are gone"
            self._findings.add(noted("heads-unchecked", "tiles", message))
        self._check_time(newest, self._entries)
        self._findings.extend(blobs.finish(is_whole=self._range is None))
        self._note_depth()

    def _tree(
        self, plan: PiecePlan, newest: ReadManifest, view: LiveView, history: History
    ) -> TreeFold | ProvenTree:
        """Rebuilt from all entries; for a range, read from tiles that lead to the signed root."""
        if self._range is None:
            return TreeFold(history.heads, self._findings)
        claim = SignedHead(newest.manifest.tree_size, newest.manifest.root_hash, newest.name)
        tree = ProvenTree(
            self._layout.root,
            [file.named for file in view.tiles()],
            head=history.heads.find(claim.tree_size) or claim,
            start=plan.start,
            findings=self._findings,
        )
        tree.check_heads(history.heads)
        return tree

    def _check_time(self, newest: ReadManifest, entries: EntryAudit) -> None:
        """The newest manifest says when the last entry was received."""
        want, got = entries.time_ns, newest.manifest.time_ns
        if newest.is_signed and entries.read_until == newest.manifest.tree_size and want != got:
            error = ManifestError(
                f"{newest.name} says the last entry was received at {got} ns, it was at {want} ns",
                want=want,
                got=got,
            )
            self._findings.add(tampered(error, newest.name))

    def _note_depth(self) -> None:
        """Say what a deep audit could not do."""
        if self._is_deep and self._deep is None:
            message = "events were not derived: a deep audit follows streams from the first entry"
            self._findings.add(noted("deep-stopped", "range", message))


__all__ = ["Progress", "audit", "parse_index_range"]
