from __future__ import annotations

import numpy as np
import pyarrow as pa

from meshtrail.correlate.pairing.keys import (
    client_keys,
    keys_with_request_id,
    mix,
    read_request_ids,
)


def test_mixing_gives_each_value_another_one() -> None:
    values = np.arange(100_000, dtype=np.uint64)
    assert len(np.unique(mix(values))) == len(values)


def test_keys_tell_addresses_ports_and_kinds_apart() -> None:
    hashes = np.array([7, 8, 7, 7, 7], dtype=np.uint64)
    ports = np.array([1, 1, 2, 1, 1], dtype=np.int32)
    is_connection = np.array([False, False, False, True, False])
    keys = client_keys(hashes, ports, is_connection=is_connection)
    assert len(np.unique(keys)) == 4
    assert keys[0] == keys[4]
    ids = np.array([1, 1, 1, 1, 2], dtype=np.uint64)
    assert len(np.unique(keys_with_request_id(keys, ids))) == 5


def test_request_ids_are_read_as_uuids_then_as_texts_and_zero_is_none() -> None:
    uuids = pa.array([b"\1" * 16, None, None, b"\1" * 16, b"\1" * 16], pa.binary(16))
    texts = pa.array([None, "x", None, "x", None])
    ids = read_request_ids(uuids, texts)
    assert ids[2] == 0
    assert ids[0] == ids[3] == ids[4]
    assert len({*ids.tolist()}) == 3
    # A slice starts in the middle of a buffer.
    sliced = read_request_ids(uuids.slice(1), texts.slice(1))
    assert sliced.tolist() == ids[1:].tolist()


def test_halves_of_a_request_id_do_not_stand_for_one_another() -> None:
    ids = [b"\0" * 8 + b"\1" * 8, b"\1" * 8 + b"\0" * 8, b"\0" * 16, b"\1" * 16]
    read = read_request_ids(pa.array(ids, pa.binary(16)), pa.nulls(4, pa.string()))
    assert len(set(read.tolist())) == 4
    assert 0 not in read
