"""Which blobs entries name: wholes of records with the prefix flag, identifiers of streams."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from meshtrail.errors import EntryFormatError
from meshtrail.merkle import HASH_BYTES
from meshtrail.model.entry import (
    HEADER_BYTES,
    SALT_BYTES,
    EntryFlags,
    EntryType,
    decode_prefix,
)

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class BlobReference:
    """A blob that an entry names, with the length that it says it has."""

    leaf_index: int
    sha256: bytes
    bytes_count: int


def find_references(
    entries: pa.Array, headers: npt.NDArray[np.void], start: int
) -> list[BlobReference]:
    """The blobs that entries name.

    Args:
        entries: binary[n].
        headers: ``HEADER_DTYPE``[n] of them.
        start: leaf index of the first.

    Cost: a Python loop over entries with the prefix flag and those that open a stream.
    """
    is_prefix = (headers["flags"] & int(EntryFlags.PREFIX)) != 0
    is_opened = headers["entry_type"] == EntryType.STREAM_OPENED
    found: list[BlobReference] = []
    for row in np.flatnonzero(is_prefix | is_opened):
        payload = entries[int(row)].as_py()[HEADER_BYTES:]
        if int(headers["flags"][row]) & EntryFlags.SALTED:
            payload = payload[SALT_BYTES:]
        reference = _of_prefix(payload) if is_prefix[row] else _of_opening(payload)
        if reference is not None:
            found.append(BlobReference(start + int(row), *reference))
    return found


def _of_prefix(payload: bytes) -> tuple[bytes, int] | None:
    try:
        prefix = decode_prefix(payload)
    except EntryFormatError:
        return None
    return prefix.sha256, prefix.whole_bytes


def _of_opening(payload: bytes) -> tuple[bytes, int] | None:
    """The identifier of a stream; None when it has none, or does not say so in our form."""
    try:
        opened: Any = json.loads(payload)
        sha256 = bytes.fromhex(opened["identifier_sha256"])
        length = opened["identifier_bytes"]
    except (ValueError, KeyError, TypeError):
        return None
    if len(sha256) != HASH_BYTES or not isinstance(length, int):
        return None
    return sha256, length
