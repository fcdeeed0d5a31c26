"""What an attack works on: a copy of a small log, an older copy, and the keys that there are."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshtrail.store.layout import Layout
from meshtrail.verify import AuditReport, KeySource, TrustedKey, audit
from tests.log_builder import (
    EntryWriter,
    LogBuilder,
    build_small_log,
    http_record,
    make_signer,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from meshtrail.errors import TamperError
    from meshtrail.note import SignerKey

THIEF = make_signer(seed=99)
"""Another key under the log's name."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One copy of the small log, to be spoiled.

    Attributes:
        root: the data directory; ``lock_record`` lies on another volume and stays as it was.
        older: the directory as it was two ticks before.
        builder: the state of the log, for going on with it.
    """

    root: Path
    lock_record: Path
    older: Path
    builder: LogBuilder

    @property
    def layout(self) -> Layout:
        """The paths in it."""
        return Layout(self.root)

    @property
    def signer(self) -> SignerKey:
        """The log's true key."""
        return self.builder.signer

    def audit(self, *, with_lock_record: bool = False, is_deep: bool = False) -> AuditReport:
        """Audit the directory with the true key pinned."""
        trusted = TrustedKey(verifier=self.signer.verifier, source=KeySource.OPTION)
        return audit(
            self.root,
            trusted=trusted,
            lock_record=self.lock_record if with_lock_record else None,
            is_deep=is_deep,
            workers=1,
        )


def report_of(error: TamperError) -> AuditReport:
    """The report that an audit's error carries."""
    report = error.facts["report"]
    assert isinstance(report, AuditReport)
    return report


class Stage:
    """Builds the small log once, and gives out copies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._copies = 0
        self._lock_record = folder / "lock-record"
        self._builder = build_small_log(folder / "log", lock_record=self._lock_record)
        self._older = folder / "older"
        build_older(self._older)

    def copy(self) -> Scene:
        """A copy that may be spoiled."""
        self._copies += 1
        root = self._folder / f"copy-{self._copies}" / "log"
        shutil.copytree(self._folder / "log", root)
        return Scene(root, self._lock_record, self._older, self._builder.moved_to(root))

    def drop(self, scene: Scene) -> None:
        """Remove a copy again."""
        shutil.rmtree(scene.root.parent)


def build_older(root: Path) -> LogBuilder:
    """The small log after its second tick; the same entries make the same bytes."""
    builder = LogBuilder(root)
    writer = EntryWriter()
    first = small_log_beginning(writer)
    builder.seal(first, blobs=writer.blobs)
    return builder


def small_log_beginning(writer: EntryWriter) -> Sequence[bytes]:
    """The entries of the small log's first tick."""
    return [
        writer.opened(11, identifier=b"identifier of the first sender"),
        *(writer.record(11, http_record(number)) for number in range(4)),
        writer.opened(22, node_id="gateway"),
    ]
