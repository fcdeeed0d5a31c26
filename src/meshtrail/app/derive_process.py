"""The derive process: events of the entries that its sealer hands over, until that one is gone."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from meshtrail.app.child import spare_garbage_collection
from meshtrail.app.table_channel import TableChannel
from meshtrail.errors import MeshtrailError, UnavailableError
from meshtrail.log.deriving import DeriverHere
from meshtrail.model.entry import HEADER_DTYPE
from meshtrail.search.confine import deny_writes
from meshtrail.store.layout import Layout
from meshtrail.units import LeafIndex


def derive(channel: TableChannel) -> None:
    """Derive what comes over the channel, and send back the events in the same order."""
    deriver = DeriverHere()
    while (message := channel.receive()) is not None:
        try:
            answer = _answer(deriver, message)
        except MeshtrailError as error:
            said = {
                "error": type(error).__name__,
                "message": error.message,
                "facts": {name: str(fact) for name, fact in error.facts.items()},
            }
            answer = pa.table({}, metadata={"refusal": json.dumps(said)})
        try:
            channel.send(answer)
        except UnavailableError:
            return
        # They may be large, and the next may be long in coming.
        del message, answer


def _answer(deriver: DeriverHere, message: pa.Table) -> pa.Table:
    facts = message.schema.metadata
    if b"open" in facts:
        opened = json.loads(facts[b"open"])
        deriver.open(opened["log"], Layout(Path(opened["data"])), message)
        return pa.table({})
    (batch,) = message.to_batches()
    headers = np.frombuffer(batch.column("header").buffers()[1], HEADER_DTYPE, len(batch))
    deriver.begin(headers, batch.column("payload"), LeafIndex(int(facts[b"start"])))
    return deriver.take()


if __name__ == "__main__":
    # Decoders of hostile bytes run here, and never need to write a file.
    deny_writes()
    spare_garbage_collection()
    derive(TableChannel(socket.socket(fileno=int(sys.argv[1]))))
