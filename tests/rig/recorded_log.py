"""All that a recorder sealed, as the ledger reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from meshtrail.app.data import open_data
from meshtrail.correlate.ledger import LEDGER_COLUMNS
from meshtrail.search.event_reader import EventReader
from meshtrail.store.manifest_follower import ManifestFollower

if TYPE_CHECKING:
    from tests.rig.recorder import Recorder


def read_log(recorder: Recorder) -> pa.Table:
    """The events of the whole log, in its order: ``LEDGER_COLUMNS``."""
    data = open_data(recorder.data)
    key, origin = data.claimed_key, data.origin
    manifests = ManifestFollower(data.layout, key, origin=origin)
    reader = EventReader(
        data.layout, key, origin=origin, columns=LEDGER_COLUMNS, manifests=manifests
    )
    return pa.concat_tables(reader.read_new())
