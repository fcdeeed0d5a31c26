"""Imports files into a log: through a journal of its own, which a running ``up`` seals, or we do.

Each chunk of a file is journaled under the digest of its bytes, as an export of OTLP is: a file
that is imported again, whole or after an import that was killed, is sealed again and flagged.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, Self

from meshtrail.app.clock import SystemClock
from meshtrail.app.import_sealing import ImportSealing
from meshtrail.collect.clock import CollectorClock
from meshtrail.collect.file_chunks import open_records, read_line_chunks
from meshtrail.collect.file_streams import FileClaims, FileStream
from meshtrail.collect.payloads import CloseReason, CollectorFacts, encode_json
from meshtrail.collect.record_cut import cut_records
from meshtrail.collect.stream import Stream
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
        stream: on which its records were recorded.
        records_count: of it.
        repeated_count: of these, how many had been imported before.
        bytes_count: unpacked.
    """

    name: str
    stream: int
    records_count: int = 0
    repeated_count: int = 0
    bytes_count: int = 0


class Importer:
    """One import. A context manager: what was journaled is sealed when it ends in order.

    Args:
        owned: the data directory and its key.
        configuration: bounds of journal and sealer.
        version: of meshtrail.
        claims: what the streams say of whom the records are from.

    Raises:
        WriterHeldError: another import runs here.
    """

    def __init__(
        self, owned: OwnedData, configuration: Configuration, *, version: str, claims: FileClaims
    ) -> None:
        self._owned = owned
        self._configuration = configuration
        self._claims = claims
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
            self._facts = self._begin(version)
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
            if error is None:
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
        stream = FileStream(str(path), service=name, claims=self._claims)
        imported = ImportedFile(str(path), stream.id)
        total = path.stat().st_size if path.is_file() else 0
        with open_records(path) as file:
            self._append([stream.opened(self._facts, received_ns=self._clock.now())])
            reason = CloseReason.ERROR
            try:
                for chunk in read_line_chunks(file, name=str(path)):
                    self._take(name, chunk, stream, imported)
                    progress(min(imported.bytes_count, total), total, f"importing {path.name}")
                reason = CloseReason.ENDED
            finally:
                self._append([stream.closed(reason=reason, received_ns=self._clock.now())])
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

    def _take(self, name: str, chunk: bytes, stream: FileStream, imported: ImportedFile) -> None:
        pieces = cut_records(name, chunk)
        imported.bytes_count += len(chunk)
        if not pieces:
            return
        now_ns = self._clock.now()
        digest = hashlib.sha256(f"import {name}\n".encode() + chunk).digest()[:EXPORT_DIGEST_BYTES]
        is_known = digest in self._known
        flags = EntryFlags.DUPLICATE if is_known else EntryFlags(0)
        frames = list(stream.records(pieces, flags=flags, received_ns=now_ns))
        if not is_known:
            frames.append(export_frame(digest, received_ns=now_ns))
            self._known.add(digest)
        records_count = sum(piece.records_count for piece in pieces)
        imported.records_count += records_count
        imported.repeated_count += records_count if is_known else 0
        self._append(frames)

    def _append(self, frames: Sequence[Frame]) -> None:
        self._journal.append(frames)
        self._unsealed_bytes += sum(len(frame.data) for frame in frames)
        if self._unsealed_bytes > UNSEALED_BYTES_MAX:
            self._sealing.seal()
            self._unsealed_bytes = 0
