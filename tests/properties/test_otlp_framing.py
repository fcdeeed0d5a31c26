"""What is cut out of an OTLP export is what a plain reader of the wire format finds in it."""

from __future__ import annotations

import random  # noqa: TID251 - seeded: a failure comes again
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from meshtrail.errors import InputError
from meshtrail.sources import otlp_frame
from meshtrail.sources.otlp_frame import ResourcePart, cut_export
from meshtrail.sources.otlp_groups import request_descriptor
from meshtrail.sources.otlp_slices import slice_exports
from tests.als_messages import varint
from tests.campaigns.mutator import Mutator
from tests.otlp_exports import (
    UNKNOWN,
    UNKNOWN_GROUP,
    Resource,
    Scope,
    export,
    export_of,
    parts_by_reading,
    payloads_of,
    read_resources,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

MUTATIONS_COUNT = 20_000

SEEDS = [
    export_of(b"\x0a\x00", b"", b"x" * 130),
    export(Resource(b"a", [Scope(b"s", [b"1"], b"u"), Scope(None, [b"2", b"3"])], b"url")),
    export(Resource(b"a", [Scope(None, [b"1"])]), Resource(None, [Scope(b"", [b"2"])])),
    export(Resource(b"", [Scope(b"s", [b"1"])])) + UNKNOWN,
    export(Resource(b"a")),
    export(Resource(b"a", [Scope(b"empty"), Scope(b"t", [UNKNOWN_GROUP])])),
]


def spelled(value: int, more_bytes: int) -> bytes:
    """A varint with so many bytes more than it needs."""
    shortest = varint(value)
    if not more_bytes:
        return shortest
    return shortest[:-1] + bytes([shortest[-1] | 0x80]) + b"\x80" * (more_bytes - 1) + b"\x00"


def fields(
    numbers: list[int], contents: st.SearchStrategy[bytes], count_max: int
) -> st.SearchStrategy[bytes]:
    """A message of such fields, mostly as an exporter would write it."""
    more = st.sampled_from([0] * 15 + [1, 3])
    usual = st.builds(
        lambda number, content, head, length: (
            spelled(number << 3 | 2, head) + spelled(len(content), length) + content
        ),
        st.sampled_from(numbers),
        contents,
        more,
        more,
    )
    strange = st.sampled_from(
        [UNKNOWN, UNKNOWN_GROUP, b"\x08\x01", b"\x10\x80\x01", b"\x0b", b"\x19"]
    )
    one = st.integers(0, 19).flatmap(lambda chance: usual if chance else strange)
    return st.lists(one, max_size=count_max).map(b"".join)


SHORT = st.one_of(st.binary(max_size=4), st.sampled_from([bytes(126), bytes(127), bytes(128)]))
SCOPES = fields([1, 2, 2, 2, 3], SHORT, 4)
ELEMENTS = fields([1, 2, 2, 2, 3], st.one_of(SHORT, SCOPES, SCOPES, SCOPES), 4)
BODIES = fields([1] * 12 + [2], ELEMENTS, 2)


def parts(body: bytes) -> list[ResourcePart] | None:
    try:
        return cut_export(body)
    except InputError:
        return None


def sliced(messages: Iterable[ResourcePart]) -> list[bytes]:
    found = list(messages)
    counts = np.array([part.records_count for part in found], dtype=np.int64)
    return list(
        slice_exports(pa.array([p.message for p in found], pa.binary()), counts).to_pylist()
    )


@settings(max_examples=1_000)
@given(body=BODIES)
@example(body=b"")
@example(body=b"\x8a\x00\x02\x12\x00")
@example(body=export_of(b"r") + export_of())
def test_parts_and_payloads_of_any_fields_are_those_of_a_plain_reader(body: bytes) -> None:
    found = parts(body)
    assert found == parts_by_reading(body)
    if found:
        assert sliced(found) == payloads_of(*read_resources(body))


@pytest.mark.parametrize("usual", SEEDS[:3])
def test_usual_export_with_any_byte_changed_cut_or_grown_is_that_of_a_plain_reader(
    usual: bytes,
) -> None:
    plain_count = 0
    for at in range(min(len(usual), 60)):
        for byte in range(256):
            for body in (
                usual[:at] + bytes([byte]) + usual[at + 1 :],
                usual[:at] + bytes([byte]) + usual[at:],
            ):
                found = parts(body)
                assert found == parts_by_reading(body), (at, byte)
                plain_count += bool(found) and all(part.is_plain for part in found or [])
        assert parts(usual[:at]) == parts_by_reading(usual[:at]), at
    assert plain_count > 0


@pytest.mark.parametrize("content_bytes", [0, 1, 126, 127, 128, 16_383, 16_384, 2_097_151])
def test_parts_at_lengths_where_a_varint_grows_are_those_of_protobuf(content_bytes: int) -> None:
    content = bytes(content_bytes)
    for resource in (
        Resource(content, [Scope(b"s", [b"r"])]),
        Resource(b"r", [Scope(content, [b"r"])]),
        Resource(b"r", [Scope(b"s", [content])]),
        Resource(b"r", [Scope(b"s", [b"r"], content)], content),
    ):
        body = export(resource)
        assert parts(body) == parts_by_reading(body) == otlp_frame._cut_any(body)
        assert parts(body[:-1]) is None


def test_mutated_exports_are_cut_like_plain_readers_do_or_refused() -> None:
    chance = random.Random(11)  # noqa: S311 - not a secret
    mutator = Mutator(request_descriptor(), SEEDS, chance, large_share=0)
    refused = 0
    cut: list[ResourcePart] = []
    wanted: list[bytes] = []
    for _ in range(MUTATIONS_COUNT):
        body = mutator.mutate()
        found = parts(body)
        if found is None:
            refused += 1
            continue
        assert found == parts_by_reading(body)
        cut += found
        wanted += payloads_of(*read_resources(body))
    assert min(refused, len(cut)) > MUTATIONS_COUNT // 20
    assert sliced(cut) == wanted
