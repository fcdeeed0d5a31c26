"""Imports files into a log: through a journal of its own, which a running ``up`` seals, or we do.

Each chunk of a file is journaled under the digest of its bytes, as an export of OTLP is: a file
that is imported again, whole or after an import that was killed, is sealed again and flagged.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, Self

from meshtrail.app.clock import SystemClock
from meshtrail.app.import_sealing import ImportSealing, Silence
from meshtrail.collect.clock import CollectorClock
from meshtrail.collect.file_chunks import open_records
from meshtrail.collect.file_cut import FileChunk, read_file
from meshtrail.collect.open_streams import Caller, OpenStreams
from meshtrail.collect.opening import KnownBlobs, StreamDoor
from meshtrail.collect.payloads import CloseReason, CollectorFacts, encode_json
from meshtrail.collect.peer import Peer
from meshtrail.collect.stream import Stream
from meshtrail.collect.tally import Tally
from meshtrail.errors import InputError
from meshtrail.journal import (
    EXPORT_DIGEST_BYTES,
    JournalWriter,
    RecentExports,
    blob_frame,
    export_frame,
)
from meshtrail.model.entry import EntryFlags

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from meshtrail.app.data import OwnedData
    from meshtrail.config import Configuration
    from meshtrail.journal import Frame

WRITER: Final = "import"
UNSEALED_BYTES_MAX: Final = 64 << 20
"""So much is journaled ahead of the sealer at most."""
STREAMS_MAX: Final = 4_096
"""Streams that are open at once: a file of OTLP has one for each resource."""


class Progress(Protocol):
    """Whoever shows how far it is."""

    def __call__(self, done: int, total: int, phase: str, /) -> object:
        """Take how far a phase is."""
        ...


@dataclass(slots=True)
class ImportedFile:
    """What was read of a file.

    Attributes:
        name: as it was given.
        streams: on which its records were recorded.
        records_count: of it.
        repeated_count: of these, how many had been imported before.
        bytes_count: of its records.
    """

    name: str
    streams: set[int] = field(default_factory=set)
    records_count: int = 0
    repeated_count: int = 0
    bytes_count: int = 0


class Importer:
    """One import. A context manager: what was journaled is sealed when it ends in order.

    Args:
        owned: the data directory and its key.
        configuration: bounds of journal and sealer.
        version: of meshtrail.
        reporter: who wrote the files; it is a claim.
        cluster: of which cluster that is; likewise.

    Raises:
        WriterHeldError: another import runs here.
    """

    def __init__(
        self,
        owned: OwnedData,
        configuration: Configuration,
        *,
        version: str,
        reporter: str | None = None,
        cluster: str | None = None,
    ) -> None:
        self._reporter = reporter
        self._cluster = cluster
        clock = SystemClock()
        self._clock = CollectorClock(clock)
        self._unsealed_bytes = 0
        with ExitStack() as stack:
            self._journal = stack.enter_context(
                JournalWriter(
                    owned.layout.journals / WRITER, clock=clock, options=configuration.journal
                )
            )
            self._sealing = stack.enter_context(
                ImportSealing(owned, writer=WRITER, options=configuration.seal)
            )
            self._known = RecentExports(self._journal.left_exports)
            facts = self._begin(version)
            self._door = StreamDoor(listener="", collector=facts, blobs=KnownBlobs())
            self._streams = OpenStreams(
                streams_max=STREAMS_MAX,
                connection_streams_max=STREAMS_MAX,
                tally=Tally(Silence()),
            )
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._stack:
            # What was read of a file before it turned out to be bad is evidence, too.
            if error is None or isinstance(error, InputError):
                self._sealing.seal()

    @property
    def is_sealed_elsewhere(self) -> bool:
        """Whether a running ``up`` seals what is imported."""
        return self._sealing.is_elsewhere

    def read(self, name: str, path: Path, *, progress: Progress) -> ImportedFile:
        """Import a file; all of it is journaled when this returns.

        Args:
            name: of its format.
            path: of the file, or ``-``.
            progress: shows how far it is.

        Raises:
            InputError: the file cannot be read, or is not of this format; what was read of it
                before stays.
            UnavailableError: the disk is full.
            DurabilityError: the journal cannot be relied on.
        """
        told = str(path)
        imported = ImportedFile(told)
        total = path.stat().st_size if path.is_file() else 0
        claimed = {"node_id": self._reporter, "node_cluster": self._cluster, "log_name": told}
        caller = Caller(
            door=self._door,
            transport="file",
            connection=told,
            peer=Peer(address=told),
            is_gone=lambda: False,
        )
        reason = CloseReason.ERROR
        with open_records(path) as file:
            try:
                for chunk in read_file(name, file, path=told, claims=encode_json(claimed)):
                    self._take(chunk, caller, imported)
                    progress(min(imported.bytes_count, total), total, f"importing {path.name}")
                reason = CloseReason.ENDED
            finally:
                now_ns = self._clock.now()
                self._append(self._streams.close_connection(told, reason, now_ns=now_ns))
        return imported

    def _begin(self, version: str) -> CollectorFacts:
        """Close what an import left open that was killed, and say what this one goes by."""
        now_ns = self._clock.now()
        config = encode_json({"import": {"unsealed_bytes_max": UNSEALED_BYTES_MAX}})
        frames = [blob_frame(config, received_ns=now_ns)]
        for stream_id, state in sorted(self._journal.left_open.items()):
            left = Stream.resumed(stream_id, state)
            frames.append(
                left.closed_frame(
                    CloseReason.COLLECTOR_RESTARTED,
                    detail=f"the last durable entry was seq {left.last_seq}",
                    received_ns=now_ns,
                )
            )
        self._append(frames)
        digest = hashlib.sha256(config).digest()
        return CollectorFacts(version=version, started_ns=now_ns, config_sha256=digest)

    def _take(self, chunk: FileChunk, caller: Caller, imported: ImportedFile) -> None:
        now_ns = self._clock.now()
        digest = self._digest(chunk)
        is_known = digest in self._known
        flags = EntryFlags.DUPLICATE if is_known else EntryFlags(0)
        frames: list[Frame] = []
        for part in chunk.parts:
            if not part.pieces:
                continue
            stream = self._streams.use(
                caller, chunk.kind, part.identifier, frames=frames, received_ns=now_ns
            )
            imported.streams.add(stream.id)
            frames += [
                stream.piece_frame(piece, flags=flags, received_ns=now_ns) for piece in part.pieces
            ]
        if not frames:
            return
        if not is_known:
            frames.append(export_frame(digest, received_ns=now_ns))
            self._known.add(digest)
        records_count = sum(piece.records_count for piece in chunk.pieces)
        imported.records_count += records_count
        imported.repeated_count += records_count if is_known else 0
        imported.bytes_count += sum(len(piece.data) for piece in chunk.pieces)
        self._append(frames)

    def _digest(self, chunk: FileChunk) -> bytes:
        """What the same chunk has in common when it is imported again, from whatever file."""
        said = encode_json([chunk.kind.service, self._reporter, self._cluster])
        digest = hashlib.sha256(b"import " + said + b"\n")
        for piece in chunk.pieces:
            digest.update(piece.data)
        return digest.digest()[:EXPORT_DIGEST_BYTES]

    def _append(self, frames: Sequence[Frame]) -> None:
        self._journal.append(frames)
        self._unsealed_bytes += sum(len(frame.data) for frame in frames)
        if self._unsealed_bytes > UNSEALED_BYTES_MAX:
            self._sealing.seal()
            self._unsealed_bytes = 0
