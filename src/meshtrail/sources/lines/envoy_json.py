"""Lines of Envoy's access log in the JSON that ``meshtrail emit-config envoy`` has it write.

The keys are those of its OpenTelemetry access log (``model.otlp_attributes``), and so are the
events. Row-wise reference: ``envoy_json_reference``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow.compute as pc

from meshtrail.model import otlp_attributes as known
from meshtrail.model.otlp_attributes import ATTRIBUTES, BESIDE, Told
from meshtrail.sources.columns import decode_hex, mask_null
from meshtrail.sources.envoy_attributes import AttributeFacts, is_of_request, map_attributes
from meshtrail.sources.event_columns import EventColumns
from meshtrail.sources.json_columns import TEXT, JsonColumns
from meshtrail.sources.lines.container_prefix import strip_prefixes
from meshtrail.sources.lines.said import mend_lines, said_only
from meshtrail.sources.streams import unknown_reporters
from meshtrail.sources.timestamps import read_times

if TYPE_CHECKING:
    import pyarrow as pa

    from meshtrail.sources.streams import Reporters

NO_ACCESS_LOG: Final = f"no line of Envoy's access log with {known.ACCESS_LOG_TYPE}"

_STRUCTURE: Final = dict.fromkeys([*(one.key for one in ATTRIBUTES), *BESIDE], TEXT)
_TOLD: Final = {one.key: one.told for one in ATTRIBUTES}
_TRACE_ID: Final = "x" * 32
_SPAN_ID: Final = "x" * 16


class JsonLines(AttributeFacts):
    """Lines, and what their known keys say. Of equal keys the first counts.

    Attributes:
        bad: why a line cannot be read, by row.
    """

    def __init__(self, records: pa.Array) -> None:
        """Read lines.

        Args:
            records: binary[n].
        """
        bare = strip_prefixes(records)
        self._lines = JsonColumns(mend_lines(bare.lines), _STRUCTURE)
        self.rows_count = len(records)
        log_type = self.said(known.ACCESS_LOG_TYPE)
        self.is_envoy = np.asarray(pc.is_valid(log_type))
        self.is_request = is_of_request(log_type)
        silent = np.flatnonzero(~self.is_envoy).tolist()
        self.bad = dict.fromkeys(silent, NO_ACCESS_LOG) | self._lines.bad | bare.bad
        self._is_of = {
            Told.BOTH: self.is_envoy,
            Told.REQUEST: self.is_request,
            Told.CONNECTION: self.is_envoy & ~self.is_request,
        }
        self._texts: dict[str, pa.Array] = {}

    def said(self, key: str) -> pa.Array:
        """What stands under a key, whatever a line is of: string[n]."""
        return said_only(self._lines.text(key))

    def text(self, key: str) -> pa.Array:
        """As ``AttributeFacts.text``."""
        if key not in self._texts:
            text, is_of = self.said(key), self._is_of[_TOLD[key]]
            self._texts[key] = text if is_of.all() else mask_null(text, is_of)
        return self._texts[key]


def map_envoy_json(records: pa.Array, _reporters: Reporters) -> EventColumns:
    """Event columns of lines.

    Args:
        records: binary[n], lines (payload format envoy-json).
        _reporters: the sender of each, who is no party to what a line tells.
    """
    lines = JsonLines(records)
    out = EventColumns(lines.rows_count)
    out.columns["time"], wrong = read_times(lines.said("time"))
    out.problems["time is not a time"] = wrong
    trace = _ids(lines.said("trace_id"), _TRACE_ID)
    span = mask_null(_ids(lines.said("span_id"), _SPAN_ID), pc.is_valid(trace))
    map_attributes(lines, out, unknown_reporters(lines.rows_count), beside=(trace, span))
    out.blank_refused(lines.bad)
    return out


def _ids(texts: pa.Array, template: str) -> pa.Array:
    """Ids in hexadecimal digits; null for other texts and for all zeros."""
    ids, _ = decode_hex(texts, template)
    return mask_null(ids, pc.not_equal(texts, template.replace("x", "0")))
