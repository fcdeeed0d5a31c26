from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.errors import JournalDamageError
from meshtrail.sources import otlp_slices
from meshtrail.sources.otlp_slices import slice_exports
from tests.als_messages import length_delimited
from tests.otlp_exports import (
    UNKNOWN,
    UNKNOWN_GROUP,
    Resource,
    Scope,
    export,
    export_of,
    payloads_of,
)

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "otlp_payload.json").read_text(encoding="utf-8")
)
CONTEXT = st.none() | st.sampled_from([b"", b"a", b"b" * 127, b"c" * 20_000])
EXPORTS = st.builds(
    Resource,
    CONTEXT,
    st.lists(
        st.builds(
            Scope,
            CONTEXT,
            st.lists(st.sampled_from([b"", b"r", *(bytes(n) for n in (120, 127, 128, 300))])),
            CONTEXT,
        ),
        max_size=3,
    ),
    CONTEXT,
)


def sliced(*messages: bytes, counts: list[int]) -> list[bytes]:
    column = pa.array(messages, pa.binary())
    return list(slice_exports(column, np.array(counts, np.int64)).to_pylist())


@pytest.mark.parametrize("vector", VECTORS["exports"], ids=lambda vector: vector["name"])
def test_payloads_of_an_export_are_exactly_the_golden_bytes(vector: dict[str, Any]) -> None:
    body = bytes.fromhex(vector["export"])
    wanted = [bytes.fromhex(payload) for payload in vector["payloads"]]
    assert sliced(body, counts=[len(wanted)]) == wanted


@given(st.lists(EXPORTS, max_size=6))
def test_payloads_of_any_exports_are_those_of_the_reference_in_order(
    resources: list[Resource],
) -> None:
    counts = [resource.records_count for resource in resources]
    messages = [export(resource) for resource in resources]
    assert sliced(*messages, counts=counts) == payloads_of(*resources)


def test_payload_around_lengths_where_a_varint_grows_has_the_shortest() -> None:
    for size in (126, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152):
        for less in range(24):
            resource = Resource(b"r", [Scope(b"s", [bytes(size - less)])])
            assert sliced(export(resource), counts=[1]) == payloads_of(resource)


def test_usual_exports_are_not_cut_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp_slices, "slice_export", None)
    assert len(sliced(export_of(b"r", b"s"), export_of(b"t"), counts=[2, 1])) == 3


ONE = [Scope(None, [b"r"])]
TWICE = Resource(b"last", [Scope(b"last", [b"r"], b"last")], b"last")


@pytest.mark.parametrize(
    "strange",
    [
        # Said twice, and in spellings that are longer than needed.
        length_delimited(
            1,
            length_delimited(1, b"first")
            + length_delimited(3, b"first")
            + length_delimited(1, b"last")
            + length_delimited(
                2,
                length_delimited(3, b"first")
                + length_delimited(1, b"first")
                + TWICE.scopes[0].encode(),
            )
            + length_delimited(3, b"last"),
        ),
        export(TWICE) + UNKNOWN,
        UNKNOWN_GROUP + export(TWICE),
        length_delimited(1, TWICE.encode() + UNKNOWN),
        length_delimited(1, b"\x0a\x84\x00last" + TWICE.encode()[6:]),
    ],
)
def test_strange_exports_are_cut_by_protobuf_among_usual_ones(strange: bytes) -> None:
    usual = [Resource(b"a", [Scope(None, [b"1", b"2"])]), Resource(b"c", [Scope(None, [b"3"])])]
    found = sliced(export(usual[0]), strange, export(), export(usual[1]), counts=[2, 1, 0, 1])
    assert found == payloads_of(usual[0], TWICE, usual[1])


def test_contexts_that_are_there_and_empty_stay_so_when_protobuf_cuts() -> None:
    empty = Resource(b"", [Scope(b"", [b"r"], b"")], b"")
    absent = Resource(None, [Scope(None, [b"r"])])
    for resource in (empty, absent):
        assert sliced(export(resource) + UNKNOWN, counts=[1]) == payloads_of(resource)


def test_columns_that_do_not_account_for_every_byte_are_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    true, false = Resource(b"last", ONE), Resource(b"another", ONE)

    class Mistaken:
        """Reads another resource than protobuf does."""

        def decode(self, messages: pa.Array) -> pa.RecordBatch:
            read = [
                message.replace(export(true), export(false)) for message in messages.to_pylist()
            ]
            return real.decode(pa.array(read, pa.binary()))

    real = otlp_slices._decoder()
    monkeypatch.setattr(otlp_slices, "_decoder", Mistaken)
    usual = Resource(b"a", [Scope(None, [b"1", b"2"])])
    found = sliced(export(usual), export(true), counts=[2, 1])
    assert found == payloads_of(usual, true)


@pytest.mark.parametrize("counts", [[0], [1], [3]])
def test_another_count_than_the_collectors_is_damage(counts: list[int]) -> None:
    with pytest.raises(JournalDamageError, match="holds 2 records") as caught:
        sliced(export_of(b"a", b"b"), counts=counts)
    assert (caught.value.want, caught.value.got) == (counts[0], 2)


@pytest.mark.parametrize("message", [b"\xff", b"\x0a\x05a", export_of(b"a", b"b")[:-1]])
def test_a_message_that_is_none_is_damage(message: bytes) -> None:
    with pytest.raises(JournalDamageError, match="journaled message is not an OTLP export"):
        sliced(export_of(b"a"), message, counts=[1, 1])
