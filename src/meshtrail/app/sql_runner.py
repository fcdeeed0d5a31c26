"""Runs a stranger's SQL in a process of its own, and ends it when it does not end by itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from meshtrail import errors
from meshtrail.app.supervised import held_back
from meshtrail.app.table_channel import TableChannel
from meshtrail.errors import BudgetError, UnavailableError
from meshtrail.note import format_vkey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshtrail.note import VerifierKey
    from meshtrail.search.limits import SearchLimits
    from meshtrail.search.period import Period
    from meshtrail.store.layout import Layout

GRACE_SECONDS: Final = 1.0
"""How much longer than its budget a query may take to end by itself."""

_MODULE: Final = "meshtrail.app.sql_process"
_ENDED: Final = "the process that runs SQL ended before its answer"


@dataclass(frozen=True, slots=True)
class SqlRows:
    """Rows of some SQL, and what they rest on.

    Attributes:
        log: its origin.
        tree_size: how much of it was searched.
        checkpoint_size: of the checkpoint that covers it; None while nothing was ever sealed.
        root_hash: of that checkpoint, in hex.
        batches: read as they come; at least one, so that the columns are known.
    """

    log: str
    tree_size: int
    checkpoint_size: int | None
    root_hash: str | None
    batches: Iterator[pa.RecordBatch]


class SqlRunner:
    """One process for one log; one query at a time. ``close`` may come from any thread."""

    def __init__(self, layout: Layout, key: VerifierKey, limits: SearchLimits) -> None:
        """Start the process, and wait until it can be asked.

        Args:
            layout: of the data directory.
            key: of its log.
            limits: of each query.

        Raises:
            UnavailableError: it does not start.
        """
        self._limits = limits
        self._is_late = False
        self._end_s = 0.0
        self._asking = threading.Lock()
        self._channel, theirs = TableChannel.pair()
        # Not DEVNULL, which is opened for writing: whoever starts this may have given that up. And
        # not inherited: standard output may be a pipe whose end somebody waits for.
        with (
            theirs,
            Path(os.devnull).open("rb") as nothing,
            held_back(signal.SIGTERM, signal.SIGINT),
        ):
            fd = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", _MODULE, str(fd)],
                stdin=nothing,
                stdout=nothing,
                pass_fds=[fd],
                # Arrow's own allocator takes 1 GiB of address space at once, which would count.
                env={**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"},
            )
        opening = {
            "data": str(layout.root),
            "vkey": format_vkey(key),
            "limits": asdict(limits),
        }
        try:
            self._ask({"open": opening})
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def close(self) -> None:
        """End the process, whatever it does; who waits for it hears that it ended."""
        self._process.kill()
        self._process.wait()
        # Whoever asks something now finds the other end gone, and lets go.
        with self._asking:
            self._channel.close()

    def run_sql(self, sql: str, period: Period) -> SqlRows:
        """Run SQL over the events of a period.

        Raises:
            QueryError: it is not one SELECT over ``events``, or it fails.
            BudgetError: it took too long, or too much memory; it may have been ended for it.
            UnavailableError: the process died of it.
        """
        self._end_s = time.monotonic() + self._limits.seconds_max
        asked = {"sql": sql, "from_ns": period.from_ns, "to_ns": period.to_ns}
        with self._timed():
            catalogue = json.loads(self._ask({"run": asked}).schema.metadata[b"said"])["catalogue"]
        return SqlRows(**catalogue, batches=self._read_rows())

    def _read_rows(self) -> Iterator[pa.RecordBatch]:
        while True:
            with self._timed():
                answer = self._ask({"next": None})
            if answer.schema.metadata is not None:
                return
            yield from answer.to_batches() or [pa.RecordBatch.from_pylist([], answer.schema)]

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """End the process if what is asked inside goes on past the end of the query's time."""
        seconds = max(self._end_s - time.monotonic(), 0) + GRACE_SECONDS
        timer = threading.Timer(seconds, self._end_late)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _end_late(self) -> None:
        self._is_late = True
        self._process.kill()

    def _ask(self, asked: dict[str, Any]) -> pa.Table:
        try:
            with self._asking:
                self._channel.send(pa.table({}, metadata={"asked": json.dumps(asked)}))
                answer = self._channel.receive()
        except UnavailableError as error:
            if not isinstance(error.__cause__, ConnectionError):
                raise
            answer = None
        if answer is None:
            raise self._ended()
        said = (answer.schema.metadata or {}).get(b"said")
        if said is not None and "error" in (told := json.loads(said)):
            raise getattr(errors, told["error"])(told["message"], **told["facts"])
        return answer

    def _ended(self) -> UnavailableError:
        if self._is_late:
            return BudgetError(
                f"the SQL took longer than its {self._limits.seconds_max:g} s and did not end when "
                "it was told to, so its process was ended",
                seconds_max=self._limits.seconds_max,
            )
        return UnavailableError(_ENDED, pid=self.pid)
