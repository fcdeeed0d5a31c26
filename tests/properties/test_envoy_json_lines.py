"""Lines of Envoy in JSON: both mappers agree on any of them, and bytes of any kind become a row."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from meshtrail.model.entry import PayloadFormat
from meshtrail.model.otlp_attributes import ATTRIBUTES, BESIDE, RBAC_HTTP
from tests.als_records import derive_both, entry, opened
from tests.otlp_records import connection, request
from tests.properties.test_otlp_logs import attributes

_KEYS = st.sampled_from([*(one.key for one in ATTRIBUTES), *BESIDE, RBAC_HTTP, "other"])
_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    st.sampled_from(["2026-11-21T01:31:24.882174000Z", "74" * 16, "73" * 8, "0" * 32, "denied"]),
)
_INNER = st.sampled_from(["enforced_engine_result", "shadow_engine_result", "x"])
_VALUES = st.one_of(
    _LEAVES, st.dictionaries(_INNER, _LEAVES, max_size=3), st.lists(_LEAVES, max_size=2)
)


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """Any line, mostly of an access log."""
    said: dict[str, Any] = {
        key: value.decode(errors="replace") if isinstance(value, bytes) else value
        for key, value in draw(attributes()).items()
    }
    said |= draw(st.dictionaries(_KEYS, _VALUES, max_size=6))
    line = bytearray(json.dumps(said, ensure_ascii=draw(st.booleans())).encode())
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(line)))
        line[at : at + draw(st.integers(0, 3))] = draw(
            st.binary(max_size=3) | st.sampled_from([b'"', b",}", b"nan", b"{", b"1e5", b"\\"])
        )
    return draw(st.sampled_from([b"", b"2026-11-21T01:31:25Z stdout F "])) + bytes(line)


@settings(max_examples=150, deadline=None)
@given(some=st.lists(lines(), min_size=1, max_size=6), is_opened=st.booleans())
def test_reference_agrees_on_any_line(*, some: list[bytes], is_opened: bool) -> None:
    entries = [entry(line, PayloadFormat.ENVOY_JSON, seq=seq) for seq, line in enumerate(some, 1)]
    derive_both(*([opened()] if is_opened else []), *entries)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([request(), connection()]), st.integers(0, 3000), st.binary(max_size=4))
def test_reference_agrees_on_damaged_lines(said: dict[str, Any], at: int, data: bytes) -> None:
    line = json.dumps(said).encode()
    derive_both(*(entry(one, PayloadFormat.ENVOY_JSON) for one in (line[:at], line[:at] + data)))
