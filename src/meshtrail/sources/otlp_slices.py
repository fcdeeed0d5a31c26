"""OTLP exports to the payloads of their records, as columns: slices, joined around each record.

The collector counted the records of each export when it arrived. An export for which the columns do
not say the same, or do not account for every byte, is cut by upb: what is sealed never depends on
which of two spellings one of the two parsers prefers.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.errors import InputError, JournalDamageError
from meshtrail.sources.column_decoder import ColumnDecoder
from meshtrail.sources.otlp_groups import (
    CONTEXT,
    ELEMENTS,
    PARTS,
    SCHEMA_URL,
    encode_payload,
    request_descriptor,
    slice_group,
    slice_request,
)
from meshtrail.sources.wire_fields import encode_field, encode_varint, tag_of

if TYPE_CHECKING:
    import numpy.typing as npt

    Numbers = npt.NDArray[np.int64]

_VARINT_STEPS: Final = np.array([1 << 7, 1 << 14, 1 << 21, 1 << 28], dtype=np.int64)
"""From each of these on a varint takes a byte more."""


class _Contexts(NamedTuple):
    """What stands before the parts of some elements, each distinct one once.

    Attributes:
        distinct: binary[d], resource or scope and schema URL as fields.
        lengths: int64[d], of these.
        codes: int64[n], which of them each element has.
    """

    distinct: pa.Array
    lengths: Numbers
    codes: Numbers


class _Records(NamedTuple):
    """The records of some exports, with where each belongs.

    Attributes:
        slices: binary[n].
        lengths: int64[n].
        message_rows: int64[n], the export of each.
        resources: of the resource elements.
        resource_codes: int64[n], the resource context of each record.
        scopes: of the scope elements.
        scope_codes: int64[n], the scope context of each record.
        accounted: int64[m], bytes of each export that are in none but the known fields, in the
            shortest spelling.
    """

    slices: pa.Array
    lengths: Numbers
    message_rows: Numbers
    resources: _Contexts
    resource_codes: Numbers
    scopes: _Contexts
    scope_codes: Numbers
    accounted: Numbers


def slice_exports(messages: pa.Array, counts: Numbers) -> pa.Array:
    """The payloads of OTLP exports, in order: one record each, with its resource and its scope.

    Args:
        messages: binary[n], whole export requests of any signal.
        counts: int64[n], how many records the collector counted in each.

    Returns:
        binary[sum(counts)], as ``otlp_groups.encode_payload`` spells them.

    Raises:
        JournalDamageError: a message does not hold what the collector counted, so it is not the
            message that was journaled.
    """
    try:
        batch = _decoder().decode(messages)
    except ValueError:
        return _slice_one_by_one(messages, counts)
    records = _read(batch)
    found = np.bincount(records.message_rows, minlength=len(messages))
    sizes = np.asarray(pc.binary_length(messages), dtype=np.int64)
    is_usual = (found == counts) & (records.accounted == sizes)
    if is_usual.all():
        return _join(records)
    return _slice_apart(messages, counts, is_usual)


def _read(batch: pa.RecordBatch) -> _Records:
    """Flatten the columns of ``request_descriptor``."""
    elements = _Level(batch.column("elements"))
    scopes = _Level(elements.field("parts"))
    records = _Level(scopes.field("parts"))
    lengths = np.asarray(pc.binary_length(records.flat), dtype=np.int64)
    resource_contexts = _contexts(elements)
    scope_contexts = _contexts(scopes)
    scope_bytes = _sum(_field_bytes(lengths), records.parents, len(scopes.parents))
    scope_bytes += scope_contexts.lengths[scope_contexts.codes]
    element_bytes = _sum(_field_bytes(scope_bytes), scopes.parents, len(elements.parents))
    element_bytes += resource_contexts.lengths[resource_contexts.codes]
    element_rows = scopes.parents[records.parents]
    return _Records(
        records.flat,
        lengths,
        elements.parents[element_rows],
        resource_contexts,
        resource_contexts.codes[element_rows],
        scope_contexts,
        scope_contexts.codes[records.parents],
        _sum(_field_bytes(element_bytes), elements.parents, len(batch)),
    )


def _join(records: _Records) -> pa.Array:
    """Put context and lengths around each record.

    Every length is a column of its own, because it depends on those inside it; each distinct one is
    spelled once.
    """
    scope_bytes = records.scopes.lengths[records.scope_codes] + _field_bytes(records.lengths)
    element_bytes = records.resources.lengths[records.resource_codes] + _field_bytes(scope_bytes)
    return pc.binary_join_element_wise(
        _heads(ELEMENTS, element_bytes),
        records.resources.distinct.take(pa.array(records.resource_codes)),
        _heads(PARTS, scope_bytes),
        records.scopes.distinct.take(pa.array(records.scope_codes)),
        _heads(PARTS, records.lengths),
        records.slices,
        b"",
    )


class _Level:
    """The elements of a repeated field, flattened.

    Attributes:
        flat: all of them.
        parents: int64[n], the row that each belongs to.
    """

    def __init__(self, lists: pa.Array) -> None:
        self.flat = pc.list_flatten(lists)
        self.parents: Numbers = np.asarray(pc.list_parent_indices(lists), dtype=np.int64)

    def field(self, name: str) -> pa.Array:
        """A field of all elements."""
        return pc.struct_field(self.flat, name)


def _contexts(level: _Level) -> _Contexts:
    """What stands before the parts of groups: most exports of a sender have the same."""
    context = level.field("context").dictionary_encode(null_encoding="encode")
    schema_url = level.field("schema_url").dictionary_encode(null_encoding="encode")
    width = len(schema_url.dictionary)
    pairs = np.asarray(context.indices, dtype=np.int64) * width + np.asarray(schema_url.indices)
    distinct, codes = np.unique(pairs, return_inverse=True)
    contexts = context.dictionary.to_pylist()
    urls = schema_url.dictionary.to_pylist()
    encoded = [
        encode_field(CONTEXT, contexts[pair // width])
        + encode_field(SCHEMA_URL, urls[pair % width])
        for pair in distinct.tolist()
    ]
    lengths = np.array([len(fields) for fields in encoded], dtype=np.int64)
    return _Contexts(pa.array(encoded, pa.binary()), lengths, codes)


def _heads(number: int, lengths: Numbers) -> pa.Array:
    """Tag and length of a field, for each of its lengths: binary[n]."""
    encoded = pa.array(lengths).dictionary_encode()
    tag = bytes([tag_of(number)])
    heads = [tag + encode_varint(length) for length in encoded.dictionary.to_pylist()]
    return pa.array(heads, pa.binary()).take(encoded.indices)


def _field_bytes(lengths: Numbers) -> Numbers:
    """How long fields with contents of these lengths are, tag and length included."""
    return lengths + 2 + np.searchsorted(_VARINT_STEPS, lengths, side="right")


def _sum(values: Numbers, groups: Numbers, groups_count: int) -> Numbers:
    """The sum of each group's values."""
    # As doubles, which hold every number of bytes exactly.
    return np.bincount(groups, values, minlength=groups_count).astype(np.int64)


def _slice_apart(messages: pa.Array, counts: Numbers, is_usual: npt.NDArray[np.bool_]) -> pa.Array:
    """The payloads of exports of which some have to be cut by upb."""
    mask = pa.array(is_usual)
    parts = pa.concat_arrays(
        [
            slice_exports(messages.filter(mask), counts[is_usual]),
            _slice_one_by_one(messages.filter(pc.invert(mask)), counts[~is_usual]),
        ]
    )
    # Where the payloads of each export begin in the parts, and where in what they become.
    order = np.concatenate([np.flatnonzero(is_usual), np.flatnonzero(~is_usual)])
    begins = np.zeros(len(counts), dtype=np.int64)
    begins[order] = np.cumsum(counts[order]) - counts[order]
    offsets = np.cumsum(counts) - counts
    return parts.take(pa.array(np.repeat(begins - offsets, counts) + np.arange(counts.sum())))


def _slice_one_by_one(messages: pa.Array, counts: Numbers) -> pa.Array:
    payloads: list[bytes] = []
    for message, count in zip(messages.to_pylist(), counts.tolist(), strict=True):
        try:
            found = slice_export(message)
        except InputError as error:
            raise JournalDamageError(f"a journaled message is {error.message}") from error
        if len(found) != count:
            raise JournalDamageError(
                f"a journaled OTLP export of {len(message)} bytes holds {len(found)} "
                f"records, {count} were counted when it arrived",
                want=count,
                got=len(found),
            )
        payloads += found
    return pa.array(payloads, pa.binary())


def slice_export(message: bytes) -> list[bytes]:
    """The payloads of one export.

    Raises:
        InputError: protobuf cannot parse it.
    """
    payloads = []
    for element in slice_request(message)[0]:
        group = slice_group(element)
        resource_context = group.encode_context()
        for part in group.parts:
            scope = slice_group(part)
            scope_context = scope.encode_context()
            payloads += [
                encode_payload(resource_context, scope_context, record) for record in scope.parts
            ]
    return payloads


@cache
def _decoder() -> ColumnDecoder:
    return ColumnDecoder(request_descriptor())
