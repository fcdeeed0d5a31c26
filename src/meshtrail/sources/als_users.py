"""Whom access log records name as the user: the JWT filter's metadata, and logged headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.compute as pc

from meshtrail.model.users import JWT_FILTER
from meshtrail.sources.access_users import UserWords, make_words
from meshtrail.sources.columns import Entries, read_distinct, spread
from meshtrail.sources.jwt_payloads import JwtFacts, read_payloads

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa


def read_users(metadata: pa.Array, headers: Iterable[pa.Array], rows_count: int) -> UserWords:
    """Whom the records name.

    Args:
        metadata: the shim of ``Metadata.filter_metadata``, a list of entries for each row.
        headers: string[n] for each of ``USER_HEADERS``.
        rows_count: records.
    """
    filters = Entries(metadata)
    # Equal keys: a protobuf map keeps the last.
    positions = filters.where(pc.equal(filters.field("key"), JWT_FILTER))
    written = spread(filters.field("value"), filters.rows, positions, rows_count)
    return make_words(read_distinct(written, read_payloads, JwtFacts), headers)
