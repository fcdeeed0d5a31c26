"""64-bit keys of connections and request ids, by which candidates are found; never the last word.

A key only brings records together. Whether they agree is decided on the addresses themselves, so
that two connections which hash alike, by chance or on purpose, are never taken for one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow.compute as pc

from meshtrail.correlate.pairing.names import dictionary_of, hash_bytes, take_coded

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    Keys = npt.NDArray[np.uint64]

NO_REQUEST_ID: Final = np.uint64(0)
_UUID_BYTES: Final = 16
_PORT_BITS: Final = np.uint64(2)
_MULTIPLIERS: Final = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS: Final = (np.uint64(30), np.uint64(27), np.uint64(31))
_ODD: Final = np.uint64(0x9E3779B97F4A7C15)


def mix(values: Keys) -> Keys:
    """Spread values over all 64 bits, each to another one (the finalizer of SplitMix64)."""
    mixed = values + _ODD
    mixed ^= mixed >> _SHIFTS[0]
    mixed *= _MULTIPLIERS[0]
    mixed ^= mixed >> _SHIFTS[1]
    mixed *= _MULTIPLIERS[1]
    mixed ^= mixed >> _SHIFTS[2]
    return mixed


def client_keys(
    ip_hashes: Keys, ports: npt.NDArray[np.int32], *, is_connection: npt.NDArray[np.bool_]
) -> Keys:
    """Keys of the end that opened a connection; requests and TCP connections are kept apart."""
    marks = (ports.astype(np.uint64) << _PORT_BITS) | is_connection.astype(np.uint64)
    return mix(ip_hashes ^ mix(marks))


def keys_with_request_id(keys: Keys, request_ids: Keys) -> Keys:
    """Keys of a connection and a request id together."""
    return mix(keys ^ mix(request_ids))


def read_request_ids(uuids: pa.Array, texts: pa.Array) -> Keys:
    """Request ids as 64 bits each; ``NO_REQUEST_ID`` where a record has none.

    Args:
        uuids: binary(16)[n].
        texts: string[n], of those that are no UUID.
    """
    ids = np.zeros(len(uuids), dtype=np.uint64)
    if uuids.null_count < len(uuids):
        start = uuids.offset * _UUID_BYTES
        size = len(uuids) * _UUID_BYTES
        halves = np.frombuffer(uuids.buffers()[1], dtype=np.uint8)[start : start + size]
        words = halves.view(np.uint64).reshape(-1, 2)
        ids = mix(words[:, 0] ^ mix(words[:, 1]))
        ids[ids == NO_REQUEST_ID] = 1
        if uuids.null_count:
            ids[np.asarray(pc.is_null(uuids))] = NO_REQUEST_ID
    if texts.null_count < len(texts):
        encoded = dictionary_of(texts)
        known = [hash_bytes(str(text).encode()) or 1 for text in encoded.dictionary.to_pylist()]
        by_text = np.array([*known, 0], dtype=np.uint64)
        has_text = np.asarray(pc.and_(pc.is_valid(texts), pc.is_null(uuids)))
        ids[has_text] = take_coded(encoded, by_text)[has_text]
    return ids
