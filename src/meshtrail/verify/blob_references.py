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
    """A blob that an entry names, with the length that it says it has; None when it says none."""

    leaf_index: int
    sha256: bytes
    bytes_count: int | None


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
        named = _of_prefix(payload) if is_prefix[row] else _of_opening(payload)
        found += [BlobReference(start + int(row), sha256, length) for sha256, length in named]
    return found


def _of_prefix(payload: bytes) -> list[tuple[bytes, int | None]]:
    try:
        prefix = decode_prefix(payload)
    except EntryFormatError:
        return []
    return [(prefix.sha256, prefix.whole_bytes)]


def _of_opening(payload: bytes) -> list[tuple[bytes, int | None]]:
    """The identifier of a stream and the configuration of its collector, where it names them."""
    try:
        opened: Any = json.loads(payload)
    except ValueError:
        return []
    if not isinstance(opened, dict):
        return []
    length = opened.get("identifier_bytes")
    named = [
        (_digest(opened.get("identifier_sha256")), length if isinstance(length, int) else None),
        (_digest(opened.get("config_sha256")), None),
    ]
    return [(sha256, length) for sha256, length in named if sha256 is not None]


def _digest(text: object) -> bytes | None:
    """The SHA-256 that a text spells; None when it spells none."""
    try:
        sha256 = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        return None
    return sha256 if len(sha256) == HASH_BYTES else None
