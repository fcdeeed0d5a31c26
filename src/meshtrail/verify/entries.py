"""Every entry of the log, in order: pieces go out to workers, what comes back is joined here.

The one process that runs this holds the tree, the streams and the clock; nothing else needs the
order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meshtrail.errors import EventError, MissingFileError, UnavailableError
from meshtrail.merkle import HASH_BYTES
from meshtrail.verify.files import missing_file
from meshtrail.verify.findings import explained, tampered
from meshtrail.verify.leaves import Examined, Piece, clock_finding, examine
from meshtrail.verify.streams import StreamLedger
from meshtrail.verify.tree import upper_hashes_findings
from meshtrail.verify.untrusted import read_beginning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from meshtrail.merkle import HashRow
    from meshtrail.store.manifest import CommittedFile
    from meshtrail.verify.deep import DeepAudit
    from meshtrail.verify.files import Blobs, CommittedFiles
    from meshtrail.verify.findings import Finding, Findings
    from meshtrail.verify.live_view import LiveView
    from meshtrail.verify.plan import PiecePlan
    from meshtrail.verify.proven_tree import ProvenTree
    from meshtrail.verify.tree import TreeFold
    from meshtrail.verify.workers import Workers


@dataclass(slots=True)
class _TilesFile:
    """The tiles of the segment that is being folded."""

    file: CommittedFile | None = None
    data: bytes | None = None
    rows_from: int = 0
    rows: list[HashRow] = field(default_factory=list)


class EntryAudit:
    """Folds the pieces of a log in order.

    Attributes:
        entries_count: entries that could be read.
        time_ns: ``received_ns`` of the last of them; ``read_until`` is the leaf after it.
    """

    def __init__(
        self,
        *,
        plan: PiecePlan,
        view: LiveView,
        tree: TreeFold | ProvenTree,
        blobs: Blobs,
        findings: Findings,
        workers: Workers,
        deep: DeepAudit | None,
        is_whole: bool,
    ) -> None:
        self._plan = plan
        self._view = view
        self._tree = tree
        self._blobs = blobs
        self._findings = findings
        self._workers = workers
        self._deep = deep
        self._tiles = _TilesFile()
        self.streams = StreamLedger(is_whole=is_whole)
        self.entries_count = 0
        self.time_ns = 0
        self.read_until = plan.start

    @property
    def _files(self) -> CommittedFiles:
        return self._view.files

    def run(self, progress: Callable[[int], None]) -> None:
        """Examine all entries of the plan."""
        position = self._plan.start
        while position < self._plan.end:
            position = self._run_from(position, progress)
        self._tree.finish()
        self._findings.extend(self.streams.finish())
        if self._deep is not None:
            self._deep.finish()

    def _run_from(self, position: int, progress: Callable[[int], None]) -> int:
        """Go on until the end, or until a segment was merged away by a sealer at work.

        Returns:
            The leaf to go on with.
        """
        pieces = ((piece, piece) for piece in self._pieces(position))
        for piece, done in self._workers.map_beside(examine, pieces):
            if done.is_gone and self._view.refresh():
                self._findings.add(_merged_away(piece))
                return position
            if done.is_gone:
                self._report_gone(piece)
            self._fold(piece, done)
            position = piece.end
            progress(position)
        if position < self._plan.end:
            raise UnavailableError(
                f"the segments end at {position}, want {self._plan.end}", tree_size=position
            )
        return position

    def _pieces(self, position: int) -> Iterator[Piece]:
        """The pieces of the live segments from a leaf on."""
        for file in self._view.segments(position, self._plan.end):
            if not self._files.is_good(file):
                yield self._plan.unread(file.named, position)
                continue
            try:
                yield from self._plan.cut(file.named, position)
            except EventError as error:
                self._findings.add(tampered(error, file.named.path))
                yield self._plan.unread(file.named, position)
            except FileNotFoundError:
                # It went after it was hashed; the worker finds that too, in its turn.
                yield self._plan.vanished(file.named, position)

    def _report_gone(self, piece: Piece) -> None:
        for file in self._view.segments(piece.start, piece.end):
            if file.named.path == piece.name:
                self._findings.add(missing_file(file))

    def _fold(self, piece: Piece, done: Examined) -> None:
        """Join one piece with what came before."""
        self._findings.take(done.found)
        stored = self._stored_hashes(piece)
        count = piece.end - piece.start
        rows = self._tree.extend(count, hashed=done.leaf_hashes, stored=stored)
        self._check_upper(piece, rows)
        if done.leaf_hashes is None or done.runs is None:
            self.streams.skip()
            if self._deep is not None:
                self._deep.stop(piece.start)
            return
        self.entries_count += count
        if done.received_first < self.time_ns:
            self._findings.add(clock_finding(piece.start, self.time_ns, done.received_first))
        self.time_ns, self.read_until = done.received_last, piece.end
        self._findings.extend(self.streams.take(done.runs))
        self._findings.extend(self._blobs.check(done.references))
        if self._deep is not None:
            self._deep.take(piece, done.openings)

    def _stored_hashes(self, piece: Piece) -> bytes | None:
        """What the tiles have for the leaves of a piece; None when their file is not good."""
        file = self._view.tiles_over(piece.start)
        if file is None or not self._files.is_good(file):
            self._tiles = _TilesFile()
            return None
        if self._tiles.file != file:
            data = self._read_tiles(file)
            self._tiles = _TilesFile(file, data, piece.start)
        if self._tiles.data is None:
            return None
        start = (piece.start - file.named.start) * HASH_BYTES
        length = (piece.end - piece.start) * HASH_BYTES
        part = self._tiles.data[start : start + length]
        return part if len(part) == length else None

    def _read_tiles(self, file: CommittedFile) -> bytes | None:
        name = file.named.path
        try:
            data = read_beginning(self._plan.root / name, name=name, length=file.bytes_count)
        except MissingFileError:
            return None
        return data if len(data) == file.bytes_count else None

    def _check_upper(self, piece: Piece, rows: list[HashRow]) -> None:
        """Compare the upper hashes of a tiles file once all its leaves were folded."""
        tiles = self._tiles
        if tiles.file is None or tiles.data is None:
            return
        tiles.rows += rows
        named = tiles.file.named
        if piece.end == named.end and tiles.rows_from == named.start:
            self._findings.extend(
                upper_hashes_findings(
                    named.path, start=named.start, end=named.end, data=tiles.data, rows=tiles.rows
                )
            )


def _merged_away(piece: Piece) -> Finding:
    return explained(
        "merged-meanwhile",
        piece.name,
        f"{piece.name} was merged into a larger file while the log was audited",
    )
