"""What RBAC filters wrote into the dynamic metadata of access log records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.sources.access_decisions import RbacWords
from meshtrail.sources.columns import Entries, read_distinct
from meshtrail.sources.envoy_messages import RbacFacts, read_rbac

if TYPE_CHECKING:
    import numpy.typing as npt

RBAC_FILTERS: Final = ("envoy.filters.http.rbac", "envoy.filters.network.rbac")


def read_metadata(metadata: pa.Array, rows_count: int) -> RbacWords:
    """What the RBAC filters of each record wrote.

    Args:
        metadata: the shim of ``Metadata.filter_metadata``, a list of entries for each row.
        rows_count: records.
    """
    outer = Entries(metadata)
    chosen = outer.where(pc.is_in(outer.field("key"), pa.array(RBAC_FILTERS)))
    # Equal keys: a protobuf map keeps the last, so only the last of each filter counts.
    chosen = _last_of_each(outer, chosen)
    facts = read_distinct(outer.field("value").take(pa.array(chosen)), read_rbac, RbacFacts)
    return RbacWords(facts, outer.rows[chosen], rows_count)


def _last_of_each(outer: Entries, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Of positions with the same row and key, the last; order kept."""
    keys = np.asarray(
        pc.index_in(outer.field("key").take(pa.array(positions)), pa.array(RBAC_FILTERS))
    ).astype(np.int64)
    slot = outer.rows[positions] * len(RBAC_FILTERS) + keys
    _, reversed_first = np.unique(slot[::-1], return_index=True)
    kept: npt.NDArray[np.int64] = np.sort(positions[::-1][reversed_first])
    return kept
