"""Socket addresses of access log records: IP and port, each distinct encoding decoded once.

A connection has the same four addresses in all its records, so a record is decoded with these as
bytes. Where each connection carries one record there are as many as records: they are decoded as
columns, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.sources.als_decode import address_decoder
from meshtrail.sources.columns import integer, mask_null, text

if TYPE_CHECKING:
    from collections.abc import Mapping

_S: Final = pa.string()


class Address(NamedTuple):
    """One of the addresses of some records.

    Attributes:
        ip: string[n]; null for a pipe, or where there is no address.
        port: int32[n]; null where ``ip`` is.
        problem: string[n], why neither could be read.
    """

    ip: pa.Array
    port: pa.Array
    problem: pa.Array


def read_addresses(encoded: Mapping[str, pa.Array]) -> dict[str, Address]:
    """Read encoded ``Address`` messages.

    Args:
        encoded: binary[n] by the name of the field.

    Returns:
        What each says, by the same names.
    """
    coded = {name: pc.dictionary_encode(column) for name, column in encoded.items()}
    distinct = pa.concat_arrays([column.dictionary for column in coded.values()])
    batch, bad = address_decoder().decode(distinct)
    ip = text(batch, "socket_address", "address")
    port = integer(batch, "socket_address", "port_value", to=pa.int32())
    port = mask_null(port, pc.is_valid(ip))
    reasons = pa.array([bad.get(row) for row in range(len(distinct))], _S) if bad else None
    read = {}
    start = 0
    for name, column in coded.items():
        rows = pc.add(column.indices, pa.scalar(start, column.indices.type))
        problem = pa.nulls(len(rows), _S)
        if reasons is not None:
            problem = pc.binary_join_element_wise(name, reasons.take(rows), ": ")
        read[name] = Address(ip.take(rows), port.take(rows), problem)
        start += len(column.dictionary)
    return read
