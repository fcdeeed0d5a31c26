"""Lines of a proxy that writes JSON or text, as it was told to: parted, and put together again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.sources.json_columns import JsonColumns
from meshtrail.sources.lines.container_prefix import strip_prefixes
from meshtrail.sources.lines.said import mend_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshtrail.sources.json_columns import Structure

_OBJECT_START: Final = b"{"


class JsonOrText:
    """Some lines, told apart by their first byte.

    Attributes:
        rows_count: lines.
        json: those in JSON, in order.
        texts: string[m], all others, in order.
        runtime_time: int64[n], when the container runtime took each, in ns.
        bad: why a line cannot be read, by row.
    """

    def __init__(self, records: pa.Array, structure: Mapping[str, Structure]) -> None:
        """Part lines.

        Args:
            records: binary[n], lines with or without a container runtime's prefix.
            structure: what is wanted of JSON.
        """
        bare = strip_prefixes(records)
        self.rows_count = len(records)
        self.runtime_time = bare.runtime_time
        lines = mend_lines(bare.lines)
        is_json = np.asarray(pc.equal(pc.binary_slice(lines, 0, 1), _OBJECT_START))
        json_rows, text_rows = np.flatnonzero(is_json), np.flatnonzero(~is_json)
        self.json = JsonColumns(lines.take(pa.array(json_rows)), structure)
        self.texts = lines.take(pa.array(text_rows)).cast(pa.string())
        in_json = {int(json_rows[row]): why for row, why in self.json.bad.items()}
        self.bad: dict[int, str] = in_json | bare.bad
        self._places = pa.array(np.argsort(np.concatenate([json_rows, text_rows])))

    def join(self, of_json: pa.Array, of_texts: pa.Array) -> pa.Array:
        """One column for all lines, of one for those in JSON and one for the others."""
        if not len(of_texts) or not len(of_json):
            return of_json if len(of_json) else of_texts
        return pa.concat_arrays([of_json, of_texts]).take(self._places)
