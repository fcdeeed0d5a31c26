"""Any bytes at the doors of OTLP: nothing is raised, and nothing that was sent is lost."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.collect.gunzip import gunzip
from meshtrail.collect.otlp_cut import OtlpExport
from meshtrail.errors import InputError
from meshtrail.model.entry import PayloadFormat
from meshtrail.sources.otlp_frame import Signal
from tests.otlp_messages import export, export_of, json_export, record, resource, resource_part

if TYPE_CHECKING:
    from collections.abc import Callable

RECORDS = [Signal.LOGS, Signal.TRACES]
SEEDS = [
    export_of("a", "b"),
    export(*[resource_part([record(name)], of=resource(name)) for name in "ab"]),
    json_export(Signal.LOGS, "a", "b"),
    json_export(Signal.TRACES, "a"),
]


@st.composite
def mutated(draw: Callable[[st.SearchStrategy[object]], object]) -> bytes:
    """An export with a piece of it replaced, removed or put in."""
    body = draw(st.sampled_from(SEEDS))
    assert isinstance(body, bytes)
    start = draw(st.integers(0, len(body)))
    length = draw(st.integers(0, 4))
    put_in = draw(st.binary(max_size=4))
    assert isinstance(start, int)
    assert isinstance(length, int)
    assert isinstance(put_in, bytes)
    return body[:start] + put_in + body[start + length :]


@given(st.one_of(st.binary(max_size=200), mutated()), st.sampled_from(Signal), st.booleans())
def test_any_body_is_cut_or_kept_whole(body: bytes, signal: Signal, is_json: bool) -> None:  # noqa: FBT001 - it is drawn, never written
    cut = OtlpExport(body=body, signal=signal, is_json=is_json).cut()
    pieces = [piece for part in cut.parts for piece in part.pieces]
    if cut.refusal is not None:
        assert [piece.data for piece in pieces] == [body]
        assert isinstance(cut.refusal, InputError)
    for piece in pieces:
        assert piece.records_count > 0
        if piece.payload_format is PayloadFormat.OTLP_FRAME:
            assert piece.data == body


@given(st.binary(max_size=300), st.integers(0, 300))
def test_any_bytes_are_unpacked_within_the_bound_or_refused(data: bytes, bytes_max: int) -> None:
    with pytest.raises(InputError):
        gunzip(data, bytes_max=bytes_max)
    packed = gzip.compress(data)
    if len(data) > bytes_max:
        with pytest.raises(InputError):
            gunzip(packed, bytes_max=bytes_max)
    else:
        assert gunzip(packed, bytes_max=bytes_max) == data
