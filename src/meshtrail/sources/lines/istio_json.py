"""Lines of Istio's access log in JSON, and of Consul's, which has the same keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow.compute as pc

from meshtrail.model.event import Trust
from meshtrail.sources.event_columns import EventColumns
from meshtrail.sources.json_columns import TEXT, JsonColumns
from meshtrail.sources.lines.container_prefix import strip_prefixes
from meshtrail.sources.lines.istio_access import (
    KEYS,
    NO_ACCESS_LOG,
    TRANSPORT_FAILURE,
    map_istio_access,
)
from meshtrail.sources.lines.said import mend_lines, said_only

if TYPE_CHECKING:
    import pyarrow as pa

    from meshtrail.sources.streams import Reporters

_STRUCTURE: Final = dict.fromkeys((*KEYS, TRANSPORT_FAILURE), TEXT)


def map_istio_json(records: pa.Array, _reporters: Reporters) -> EventColumns:
    """Event columns of lines.

    Args:
        records: binary[n], lines (payload format istio-json).
        _reporters: the sender of each, who is no party to what a line tells.
    """
    bare = strip_prefixes(records)
    lines = JsonColumns(mend_lines(bare.lines), _STRUCTURE)
    said = {key: said_only(lines.text(key)) for key in _STRUCTURE}
    out = EventColumns(len(records))
    map_istio_access(said, out, how=Trust.REPORTED)
    # Proxies write other things into the same file, as JSON, too.
    silent = np.flatnonzero(np.asarray(pc.is_null(said["start_time"]))).tolist()
    out.blank_refused(dict.fromkeys(silent, NO_ACCESS_LOG) | lines.bad | bare.bad)
    return out
