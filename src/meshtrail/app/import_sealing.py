"""Who seals what an import journals: a running ``up``, or the import itself."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, Self

from meshtrail.app.clock import SystemClock
from meshtrail.app.deriver import DeriverProcess
from meshtrail.app.journal_lag import read_oldest_unsealed
from meshtrail.errors import WriterHeldError
from meshtrail.log.data_lock import DataLock
from meshtrail.log.sealer import Sealer
from meshtrail.store.durable import Disk
from meshtrail.store.manifest_follower import ManifestFollower

if TYPE_CHECKING:
    from types import TracebackType

    from meshtrail.app.data import OwnedData
    from meshtrail.log.options import SealOptions

_LOOK_SECONDS: Final = 0.05
_TRY_SECONDS: Final = 5.0
"""How often to see whether the sealer that was there still is."""


class Silence:
    """Where the diagnostics of an import go: it tells what came of it itself."""

    def info(self, event: str, **facts: object) -> None:
        """Leave it."""

    error = warning = info


class ImportSealing:
    """Sees to it that a journal is sealed. A context manager.

    Args:
        owned: the data directory and the key.
        writer: name of the journal.
        options: of sealing, for when nobody else does it.

    Attributes:
        is_elsewhere: whether a running ``up`` seals.
    """

    def __init__(self, owned: OwnedData, *, writer: str, options: SealOptions) -> None:
        self._owned = owned
        self._directory = owned.layout.journals / writer
        self._writer = writer
        self._options = options
        self._stack = ExitStack()
        self._sealer: Sealer | None = None
        self._manifests = ManifestFollower(
            owned.layout, owned.signer.verifier, origin=owned.signer.name
        )

    @property
    def is_elsewhere(self) -> bool:
        """Whether a running ``up`` seals."""
        return self._sealer is None

    def __enter__(self) -> Self:
        self._try()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def seal(self) -> None:
        """Return when all that was journaled is sealed, and published.

        Raises:
            TamperError, DurabilityError: as ``Sealer.tick``.
        """
        tried = time.monotonic()
        # Twice: a file that is removed during one look makes it see nothing.
        while self._sealer is None and (self._is_behind() or self._is_behind()):
            time.sleep(_LOOK_SECONDS)  # files are all that the processes share
            if time.monotonic() - tried > _TRY_SECONDS:
                # An `up` that has ended meanwhile seals no more.
                self._try()
                tried = time.monotonic()
        if self._sealer is not None:
            while self._sealer.tick():
                pass

    def _try(self) -> None:
        """Become the sealer, if nobody is."""
        with ExitStack() as stack:
            try:
                # Before the deriving process, which takes half a second to start.
                DataLock(self._owned.layout).close()
                sealer = Sealer(
                    Disk(),
                    self._owned.layout,
                    self._owned.signer,
                    self._options,
                    clock=SystemClock(),
                    diag=Silence(),
                    deriver=stack.enter_context(DeriverProcess()),
                )
            except WriterHeldError:
                return
            stack.enter_context(sealer)
            self._stack = stack.pop_all()
            self._sealer = sealer

    def _is_behind(self) -> bool:
        pinned = self._manifests.read()
        positions = pinned.manifest.journals if pinned is not None else ()
        position = next((at for at in positions if at.writer == self._writer), None)
        return read_oldest_unsealed(self._directory, position) is not None
