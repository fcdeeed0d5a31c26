"""Counters: both mappers agree on whatever is sealed, and what is cut stays accounted for."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from meshtrail.errors import InputError
from meshtrail.model.entry import EntryType, PayloadFormat
from meshtrail.sources.counter_families import FAMILIES, find_counter
from meshtrail.sources.counter_slices import HEAD, split_payload
from meshtrail.sources.counters import cut_envoy_metrics, cut_otlp_metrics
from tests.als_messages import length_delimited
from tests.als_records import derive_both, entry
from tests.counter_pushes import envoy_message, family, metric, otlp_message, payload, point

DOORS = st.sampled_from(["inbound", "admin", "meshtrail", "worker_0", "a.b", "", "é" * 9])
LABELS = st.dictionaries(
    st.sampled_from(
        ["envoy.http_conn_manager_prefix", "http_conn_manager_prefix", "cluster_name", "x"]
    ),
    DOORS,
    max_size=3,
)
KNOWN_NAMES = st.builds(
    lambda one, door: ".".join(filter(None, [one.scope, door, one.tail])),
    st.sampled_from(FAMILIES),
    DOORS,
)
NAMES = KNOWN_NAMES | st.sampled_from(["", "server.state", "http.x.downstream_rq_2xx"])
NUMBERS = st.sampled_from([0.0, -0.0, 1.0, 2.0**53, 2.0**60, -3.0, 0.5]) | st.floats()
TIMES_MS = st.sampled_from([0, 5, 1_795_283_435_317, -1, 2**63 - 1]) | st.integers(0, 2**43)
ENVOY_FAMILIES = st.builds(
    lambda name, value, labels, is_gauge, time_ms: family(
        name, value, labels=labels, is_gauge=is_gauge, time_ms=time_ms
    ),
    NAMES,
    NUMBERS,
    LABELS,
    st.booleans(),
    TIMES_MS,
)
POINTS = st.builds(
    lambda value, labels, time_ns: point(value, attributes=labels, time_ns=time_ns),
    st.integers(-5, 2**54) | NUMBERS,
    LABELS,
    st.integers(0, 2**64 - 1),
)
METRICS = st.builds(
    lambda name, points, is_gauge, temporality: metric(
        name, *points, is_gauge=is_gauge, temporality=temporality
    ),
    NAMES,
    st.lists(POINTS, max_size=3),
    st.booleans(),
    st.integers(0, 3),
)
BOTH_KINDS = st.builds(lambda one, other: one + other, METRICS, METRICS)
"""A metric that is a gauge and a sum, and has two names."""


def derive(data: bytes, payload_format: PayloadFormat) -> dict[str, Any]:
    [row] = derive_both(entry(data, payload_format, entry_type=EntryType.COUNTER))
    return row


@settings(max_examples=150, deadline=None)
@given(st.lists(ENVOY_FAMILIES, max_size=6))
@example([family("server.uptime", 0.0) + family("http.a.downstream_rq_total", 3.0)])
def test_mappers_agree_on_pushes_of_envoy(families: list[bytes]) -> None:
    assert derive(payload(envoy_message(*families)), PayloadFormat.ENVOY_METRICS)["kind"]


@settings(max_examples=150, deadline=None)
@given(st.lists(METRICS | BOTH_KINDS, max_size=5))
def test_mappers_agree_on_exports_of_metrics(metrics: list[bytes]) -> None:
    assert derive(payload(otlp_message(*metrics)), PayloadFormat.OTLP_METRICS)["kind"]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(ENVOY_FAMILIES, min_size=1, max_size=4).map(lambda found: envoy_message(*found))
    | st.lists(METRICS, min_size=1, max_size=3).map(lambda found: otlp_message(*found)),
    st.data(),
)
def test_mutated_pushes_never_raise_and_both_mappers_agree(
    message: bytes, data: st.DataObject
) -> None:
    mutated = bytearray(message)
    for _ in range(data.draw(st.integers(1, 4))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    for payload_format in (
        PayloadFormat.ENVOY_METRICS,
        PayloadFormat.OTLP_METRICS,
        PayloadFormat.OTLP_METRICS_JSON,
    ):
        derive(payload(bytes(mutated)), payload_format)


@settings(max_examples=150, deadline=None)
@given(st.lists(ENVOY_FAMILIES, max_size=8), st.none() | st.integers(0, 8))
def test_whatever_is_pushed_is_kept_or_accounted_for(
    families: list[bytes], identifier_at: int | None
) -> None:
    fields = [length_delimited(2, item) for item in families]
    whole = [*fields]
    if identifier_at is not None:
        whole.insert(min(identifier_at, len(whole)), length_delimited(1, b"\x0a\x00"))
    cut = cut_envoy_metrics(b"".join(whole))
    names = [item[2 : 2 + item[1]] for item in families]
    kept = [field for field, name in zip(fields, names, strict=True) if find_counter(name)]
    left_out = [field for field, name in zip(fields, names, strict=True) if not find_counter(name)]
    digest = hashlib.sha256(b"".join(left_out)).digest()
    assert cut.payload == HEAD.pack(digest, len(left_out)) + b"".join(kept)
    assert cut.identifier == (None if identifier_at is None else b"\x0a\x00")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.sampled_from(["envoy", "otlp", "json"]))
@example(b"\x12" + b"\xff" * 9 + b"\x01", "envoy")
@example(struct.pack("<Q", 0), "otlp")
def test_hostile_bytes_are_refused_or_cut_and_then_readable(data: bytes, kind: str) -> None:
    try:
        cut = (
            cut_envoy_metrics(data)
            if kind == "envoy"
            else cut_otlp_metrics(data, is_json=kind == "json")
        )
    except InputError:
        return
    assert split_payload(cut.payload) is not None
    payload_format = {
        "envoy": PayloadFormat.ENVOY_METRICS,
        "otlp": PayloadFormat.OTLP_METRICS,
        "json": PayloadFormat.OTLP_METRICS_JSON,
    }[kind]
    assert derive(cut.payload, payload_format)["kind"] == "counter"
