"""The SQL process: runs what a stranger wrote, and can be killed when it does not end.

An engine ends a query between two steps of it. One step may be a function that builds a text of
gigabytes, which no interrupt reaches and no setting of the engine bounds. So a person's SQL, where
it comes from a person elsewhere, runs here: the operating system bounds the memory, and whoever
started this process ends it.
"""

from __future__ import annotations

import json
import re
import resource
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from meshtrail.app.child import spare_garbage_collection
from meshtrail.app.table_channel import TableChannel
from meshtrail.errors import MeshtrailError, UnavailableError
from meshtrail.note import parse_vkey
from meshtrail.search.confine import deny_writes
from meshtrail.search.limits import SearchLimits
from meshtrail.search.period import Period
from meshtrail.search.searcher import Searcher
from meshtrail.store.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshtrail.search.catalogue import Catalogue

SPARE_BYTES: Final = 256 << 20
"""What the process may hold besides what its engine may: rows on their way, and Python's own."""

_DATA_KB = re.compile(r"VmData:\s+([0-9]+) kB")


class SqlSession:
    """Answers requests, one table for each; what is asked and said stands in their metadata."""

    def __init__(self) -> None:
        self._searcher: Searcher | None = None
        self._batches: Iterator[pa.RecordBatch] = iter(())

    def answer(self, message: pa.Table) -> pa.Table:
        """What is sent back: rows, or ``said``."""
        asked: dict[str, Any] = json.loads(message.schema.metadata[b"asked"])
        try:
            if "open" in asked:
                return self._open(asked["open"])
            if "run" in asked:
                return self._run(asked["run"])
            return self._next()
        except MeshtrailError as error:
            facts = {name: _plain(fact) for name, fact in error.facts.items()}
            return _said(error=type(error).__name__, message=error.message, facts=facts)

    def _open(self, asked: dict[str, Any]) -> pa.Table:
        verifier = parse_vkey(asked["vkey"])
        limits = SearchLimits(**asked["limits"])
        layout = Layout(Path(asked["data"]))
        self._searcher = Searcher(layout, verifier, origin=verifier.name, limits=limits)
        limit_memory(limits.memory_bytes_max + SPARE_BYTES)
        return _said()

    def _run(self, asked: dict[str, Any]) -> pa.Table:
        assert self._searcher is not None, "run before open"  # noqa: S101 - our own order
        # Rows that nobody read to their end would keep the connection from the next query.
        self._close_rows()
        period = Period(from_ns=asked["from_ns"], to_ns=asked["to_ns"])
        answer = self._searcher.run_sql(asked["sql"], period)
        self._batches = answer.batches
        return _said(catalogue=_catalogue(answer.catalogue))

    def _next(self) -> pa.Table:
        batch = next(self._batches, None)
        return _said(end=True) if batch is None else pa.Table.from_batches([batch])

    def _close_rows(self) -> None:
        batches, self._batches = self._batches, iter(())
        close = getattr(batches, "close", None)
        if close is not None:
            close()


def answer_all(channel: TableChannel) -> None:
    """Answer what comes over the channel until its other end is gone."""
    session = SqlSession()
    while (message := channel.receive()) is not None:
        try:
            channel.send(session.answer(message))
        except UnavailableError:
            return


def limit_memory(more_bytes: int) -> bool:
    """Let this process take so much more memory than it has now, and no more.

    Returns:
        Whether the system says how much it has; on others than Linux nothing is bounded.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return False
    found = _DATA_KB.search(status)
    if found is None:
        return False
    bytes_max = (int(found[1]) << 10) + more_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (bytes_max, bytes_max))
    return True


def _said(**facts: object) -> pa.Table:
    return pa.table({}, metadata={"said": json.dumps(facts)})


def _catalogue(catalogue: Catalogue) -> dict[str, object]:
    checkpoint = catalogue.checkpoint
    return {
        "log": catalogue.origin,
        "tree_size": catalogue.tree_size,
        "root_hash": checkpoint.root_hash.hex() if checkpoint is not None else None,
        "checkpoint_size": checkpoint.tree_size if checkpoint is not None else None,
    }


def _plain(fact: object) -> object:
    return fact if isinstance(fact, str | int | float | None) else str(fact)


if __name__ == "__main__":
    deny_writes()
    spare_garbage_collection()
    answer_all(TableChannel(socket.socket(fileno=int(sys.argv[1]))))
