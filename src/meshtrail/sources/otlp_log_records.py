"""Exports of one log record each, to the record's own fields and the attributes that are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.model.otlp_attributes import ABSENT, ACCESS_LOG_TYPE, ATTRIBUTES, Told
from meshtrail.sources.attribute_values import mend_texts
from meshtrail.sources.columns import Entries, spread
from meshtrail.sources.envoy_attributes import AttributeFacts, is_of_request
from meshtrail.sources.otlp_log_schema import RECORDS, RESOURCES, SCOPES, log_export_decoder

if TYPE_CHECKING:
    import numpy.typing as npt

NOT_ONE_RECORD: Final = "not one log record"

_SLOTS: Final = {attribute.key: slot for slot, attribute in enumerate(ATTRIBUTES)}
_NOWHERE: Final = -1


class LogRecords(AttributeFacts):
    """Log records, and what their known attributes say. Of equal keys the last counts.

    Attributes:
        rows_count: records.
        bad: why a record could not be decoded, by row.
        fields: struct[n], the shim of ``LogRecord``; null where it is bad.
        is_envoy: bool[n], whether it is of Envoy's access log.
        is_request: bool[n], whether it is of a request there, not of a connection.
    """

    def __init__(self, records: pa.Array) -> None:
        """Decode records.

        Args:
            records: binary[n], exports of one log record each.
        """
        batch, self.bad = log_export_decoder().decode(records)
        self.rows_count = len(records)
        self.fields = self._only_record(batch.column(RESOURCES))
        entries = Entries(pc.struct_field(self.fields, "attributes"))
        self._values = pc.struct_field(entries.field("value"), "string_value")
        self._places = _places(entries, self.rows_count)
        self.is_envoy = self._places[_SLOTS[ACCESS_LOG_TYPE]] != _NOWHERE
        self._forget_absent()
        self.is_request = self.is_envoy & is_of_request(self.text(ACCESS_LOG_TYPE))
        for slot, attribute in enumerate(ATTRIBUTES):
            if Told.REQUEST not in attribute.told:
                self._places[slot][self.is_request] = _NOWHERE
            if Told.CONNECTION not in attribute.told:
                self._places[slot][~self.is_request] = _NOWHERE
            self._places[slot][~self.is_envoy] = _NOWHERE

    def text(self, key: str) -> pa.Array:
        """The text of an attribute.

        Args:
            key: one of ``ATTRIBUTES``.

        Returns:
            string[n], null where it is absent, empty or ``-``, and in records that it is not of.
        """
        places = self._places[_SLOTS[key]]
        found = places != _NOWHERE
        if not found.any():
            return pa.nulls(self.rows_count, pa.string())
        return mend_texts(self._values.take(pa.array(places, mask=~found)))

    def _only_record(self, resources: pa.Array) -> pa.Array:
        """The log record of each export; what has none or several is bad."""
        outer = Entries(resources)
        middle = Entries(outer.field(SCOPES))
        inner = Entries(middle.field(RECORDS))
        rows = outer.rows[middle.rows[inner.rows]]
        counts = np.bincount(rows, minlength=self.rows_count)
        if (counts == 1).all():
            return inner.flat
        for row in np.flatnonzero(counts != 1).tolist():
            self.bad.setdefault(row, NOT_ONE_RECORD)
        positions = np.flatnonzero(counts[rows] == 1)
        return spread(inner.flat, rows, positions, self.rows_count)

    def _forget_absent(self) -> None:
        """Make attributes without a value absent: half of them are, in a usual record."""
        said = pc.invert(pc.is_in(self._values, pa.array([b"", ABSENT.encode()], pa.binary())))
        # The last element stands for nowhere.
        is_said = np.append(np.asarray(said), False)
        self._places[~is_said[self._places]] = _NOWHERE


def _places(entries: Entries, rows_count: int) -> npt.NDArray[np.int64]:
    """Where the attribute of each slot stands for each row: int64[slots, n], or ``_NOWHERE``."""
    places = np.full((len(_SLOTS), rows_count), _NOWHERE, dtype=np.int64)
    keys = pc.dictionary_encode(entries.field("key"))
    if len(keys):
        slots = [_SLOTS.get(key, _NOWHERE) for key in keys.dictionary.to_pylist()]
        slot = np.array(slots, dtype=np.int64)[np.asarray(keys.indices)]
        known = np.flatnonzero(slot != _NOWHERE)
        # Of an index that stands twice numpy keeps the last.
        places[slot[known], entries.rows[known]] = known
    return places
