"""Records of OTLP out of the export requests that hold one each.

A record stands in its entry as an export request with nothing else in it, so that resource and
scope come with it: docs/formats/entry.md. This takes the record out again, as columns.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.sources.als_decode import RecordDecoder
from meshtrail.sources.columns import Entries

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor


class ExportDecoder:
    """Decodes export requests of one signal that hold one record each."""

    def __init__(self, descriptor: Descriptor, path: tuple[str, str, str], *, what: str) -> None:
        """Make a decoder.

        Args:
            descriptor: shim of the export request.
            path: the fields that lead to the records, from the request: resources, scopes, records.
            what: what a record is called.
        """
        self._descriptor = descriptor
        self._path: Final = path
        self.not_one: Final = f"not exactly one {what}"

    @cached_property
    def _decoder(self) -> RecordDecoder:
        return RecordDecoder(self._descriptor)

    def decode(self, requests: pa.Array) -> tuple[pa.RecordBatch, dict[int, str]]:
        """Decode a column of export requests.

        Args:
            requests: binary[n].

        Returns:
            The decoded records, n rows (all null where there is no record), and why, by row.
        """
        batch, bad = self._decoder.decode(requests)
        outermost, *inner = self._path
        level = Entries(batch.column(outermost))
        rows = level.rows
        for name in inner:
            level = Entries(level.field(name))
            rows = rows[level.rows]
        counts = np.bincount(rows, minlength=len(requests))
        for row in np.flatnonzero(counts != 1):
            bad.setdefault(int(row), self.not_one)
        places = np.zeros(len(requests), dtype=np.int64)
        places[rows] = np.arange(len(rows))
        records = level.flat.take(pa.array(places, mask=counts != 1))
        names = [field.name for field in records.type]
        return pa.record_batch([pc.struct_field(records, name) for name in names], names), bad
