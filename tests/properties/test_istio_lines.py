"""Lines of Istio: both mappers agree on any of them, and bytes of any kind become a row."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from meshtrail.model.entry import PayloadFormat
from meshtrail.sources.lines.istio_access import KEYS, TRANSPORT_FAILURE
from tests.als_records import derive_both, entry, opened
from tests.istio_lines import CONNECTION, DENIED, INBOUND, WAYPOINT, json_line, text_line

RUNTIME = b"2026-11-21T01:31:25.000000001Z "
_FAILURE = (
    "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end"
)
_PREFIXES = [b"", b"", RUNTIME, RUNTIME + b"stdout F ", RUNTIME + b"stdout P "]
_WORDS = st.sampled_from(
    [
        *("-", "", "0", "00", "7", "-1", "1.5", "99999999999", "9223372036854775807", f"{2**64}"),
        *("GET", "/a?b?c", "HTTP/2", "HTTP/1.1", "URX,UF", "NR", DENIED, _FAILURE),
        *("inbound|80||", "inbound-vip|80|http|x.y", "outbound|80|v1|x.y", "PassthroughCluster"),
        *("InboundPassthroughCluster", "local_app", "x.default.dc1.internal.y.consul", "agent"),
        *("outbound_.80_._.x.y", "10.0.0.7:80", "10.0.0.7:0", "[fd00::7]:65536", "/run/pipe:1"),
        *("envoy://connect_originate/10.0.0.7:80", "envoy://internal_client_address/"),
        *('a" b', '"', '" 200 - - - "-" 1 2 3 4 "', "a b", '] "', "\\", "\xe9", "\u2028"),
        *("2026-11-21T01:31:24.882Z", "2026-02-30T00:00:00Z", "2259-12-31T23:59:59Z", "today"),
    ]
)
_VALUES = st.one_of(
    _WORDS,
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.none(),
    st.booleans(),
    st.just({"a": [1, None]}),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
)


@st.composite
def told(draw: st.DrawFn) -> dict[str, Any]:
    """What a line says."""
    said = {**draw(st.sampled_from([INBOUND, CONNECTION, WAYPOINT, {}]))}
    keys = st.sampled_from([*KEYS, TRANSPORT_FAILURE, "other"])
    return said | draw(st.dictionaries(keys, _VALUES, max_size=6))


@st.composite
def damaged(draw: st.DrawFn, line: bytes) -> bytes:
    """A line with bytes changed, cut out or put in."""
    data = bytearray(line)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        until = draw(st.integers(at, min(at + 9, len(data))))
        data[at:until] = draw(
            st.binary(max_size=3)
            | st.sampled_from([b'"', b" ", b"- ", b",}", b'" "', b"\r", b"[", b"nan"])
        )
    return bytes(data)


@st.composite
def lines(draw: st.DrawFn) -> tuple[PayloadFormat, bytes]:
    """Any line, in the format that it is of or in the other."""
    said = draw(told())
    is_json = draw(st.booleans())
    line = json.dumps(said).encode() if is_json else text_line(said)
    if is_json and draw(st.booleans()):
        line = json_line(said)
    if draw(st.integers(0, 3)) == 0:
        line = draw(damaged(line))
    prefix = draw(
        st.sampled_from([b"", b"", RUNTIME, RUNTIME + b"stdout F ", RUNTIME + b"stdout P "])
    )
    is_json ^= draw(st.integers(0, 9)) == 0
    return (PayloadFormat.ISTIO_JSON if is_json else PayloadFormat.ISTIO_TEXT), prefix + line


@settings(max_examples=300, deadline=None)
@given(some=st.lists(lines(), min_size=1, max_size=6), is_opened=st.booleans())
def test_reference_agrees_on_any_line(
    *, some: list[tuple[PayloadFormat, bytes]], is_opened: bool
) -> None:
    entries = [entry(line, kind, seq=seq) for seq, (kind, line) in enumerate(some, 1)]
    rows = derive_both(*([opened()] if is_opened else []), *entries)
    assert len(rows) == len(entries) + is_opened


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=64), min_size=1, max_size=8))
def test_reference_agrees_on_any_bytes_and_nothing_raises(payloads: list[bytes]) -> None:
    kinds = (PayloadFormat.ISTIO_JSON, PayloadFormat.ISTIO_TEXT)
    derive_both(*(entry(one, kind) for one in payloads for kind in kinds))
