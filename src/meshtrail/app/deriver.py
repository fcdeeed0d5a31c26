"""The sealer's side of the derive process: starts it, hands entries over, takes events back."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from meshtrail import errors
from meshtrail.app.supervised import held_back
from meshtrail.app.table_channel import TableChannel
from meshtrail.errors import UnavailableError
from meshtrail.model.entry import HEADER_BYTES

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    import numpy.typing as npt

    from meshtrail.store.layout import Layout
    from meshtrail.units import LeafIndex

_MODULE: Final = "meshtrail.app.derive_process"
_END_SECONDS_MAX: Final = 5.0


class DeriverProcess:
    """Derives in a process of its own; as ``log.deriving.Deriver``.

    The process ends when this one does, however that happens: it finds the channel closed.
    """

    def __init__(self) -> None:
        """Start it; it takes half a second, which nobody has to wait for before ``open``."""
        self._channel, theirs = TableChannel.pair()
        # Whoever stops the processes stops this one, which still needs events to finish its work.
        with theirs, held_back(signal.SIGTERM, signal.SIGINT):
            fd = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", _MODULE, str(fd)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[fd],
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._channel.close()
        # What it still derives is taken by nobody.
        self._process.kill()
        self._process.wait()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def open(self, log: str, layout: Layout, stream_events: pa.Table) -> None:
        """As ``Deriver.open``; waits until the process is there.

        Raises:
            UnavailableError: it did not start; its diagnostics say why.
        """
        facts = {"log": log, "data": str(layout.root)}
        self._send(stream_events.replace_schema_metadata({"open": json.dumps(facts)}))
        self.take()

    def begin(self, headers: npt.NDArray[np.void], payloads: pa.Array, start: LeafIndex) -> None:
        """As ``Deriver.begin``; not waiting."""
        encoded = pa.py_buffer(np.ascontiguousarray(headers))
        column = pa.Array.from_buffers(pa.binary(HEADER_BYTES), len(headers), [None, encoded])
        table = pa.table({"header": column, "payload": payloads}, metadata={"start": str(start)})
        self._send(table)

    def take(self) -> pa.Table:
        """As ``Deriver.take``."""
        events = self._channel.receive()
        if events is None:
            raise self._ended()
        refusal = (events.schema.metadata or {}).get(b"refusal")
        if refusal is not None:
            said = json.loads(refusal)
            raise getattr(errors, said["error"])(said["message"], **said["facts"])
        return events

    def _send(self, table: pa.Table) -> None:
        try:
            self._channel.send(table)
        except UnavailableError as error:
            if isinstance(error.__cause__, ConnectionError):
                raise self._ended() from error
            raise

    def _ended(self) -> UnavailableError:
        """How it ended: killed for want of memory, or by bytes that a decoder cannot take."""
        try:
            status = self._process.wait(_END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            how = "has closed its channel"
        else:
            how = f"was ended by {_signal_name(-status)}" if status < 0 else f"ended with {status}"
        return UnavailableError(f"the process that derives events, {self.pid}, {how}", pid=self.pid)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
