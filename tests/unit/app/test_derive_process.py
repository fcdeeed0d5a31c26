from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

from meshtrail.app.derive_process import derive
from meshtrail.app.table_channel import TableChannel
from meshtrail.model.event import EVENT_SCHEMA
from meshtrail.sources.streams import CLOCK_COLUMNS, STREAM_COLUMNS

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa


def opening(data: Path) -> pa.Table:
    facts = json.dumps({"log": "mesh/one/1f2e3d4c", "data": str(data)})
    columns = list(dict.fromkeys((*STREAM_COLUMNS, *CLOCK_COLUMNS)))
    return EVENT_SCHEMA.empty_table().select(columns).replace_schema_metadata({"open": facts})


def test_it_ends_with_the_channel(tmp_path: Path) -> None:
    sealer, other = TableChannel.pair()
    sealer.send(opening(tmp_path))
    sealer.close()
    # The answer finds nobody, which is no error: there is nobody to tell.
    with other:
        derive(TableChannel(other))


def test_what_was_asked_before_the_end_is_answered_in_order(tmp_path: Path) -> None:
    sealer, other = TableChannel.pair()
    channel = TableChannel(other)
    sealer.send(opening(tmp_path))
    sealer.send(opening(tmp_path))
    sealer._socket.shutdown(socket.SHUT_WR)
    derive(channel)
    assert sealer.receive() is not None
    assert sealer.receive() is not None
    channel.close()
    assert sealer.receive() is None
    sealer.close()
