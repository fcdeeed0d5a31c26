"""Lines of ztunnel: both mappers agree on any of them, and bytes of any kind become a row."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from meshtrail.model.entry import PayloadFormat
from meshtrail.sources.lines.ztunnel_values import DRY_RUNS, FIELDS
from tests.als_records import derive_both, entry
from tests.mesh_lines import TIME, connection, refusal, ztunnel_json, ztunnel_text

_ERRORS = st.sampled_from(
    [
        "connection closed due to policy rejection: explicitly denied by: a/b",
        "connection closed due to policy rejection: allow policies exist, but none allowed",
        "connection closed due to policy change",
        "connection closed: peer certificate revoked by CRL",
        "http status: 401 Unauthorized",
        "tls error: tls handshake error: Custom { kind: InvalidData, error: InvalidCertificate(",
        'x" src.identity="spiffe://a/b" y="',
        "",
    ]
)
_WORDS = st.sampled_from(
    [
        *("", "inbound", "outbound", "10.0.0.7:15008", "[::1]:80", "10.0.0.7:99999", "x:80"),
        *("spiffe://td/ns/a/sa/b", "spiffe://td/x", "13ms", "1.5s", "99999999999s", "0", "7"),
        *("-1", "18446744073709551615", "9223372036854775808", "a b", "\\", '"', "٣", "a=b", "\t"),
    ]
)
_VALUES = _ERRORS | _WORDS | st.text(max_size=8) | st.integers(-1, 2**70)
_NAMES = st.sampled_from([*FIELDS, "x", "time", "scope", "message", "level"])
_MESSAGES = st.sampled_from(
    ["connection complete", "connection failed", "connection opened", "", *DRY_RUNS]
)
_TIMES = st.sampled_from([TIME, "2026-02-30T00:00:00.000000Z", "1970-01-01T00:00:00Z", ""])
_PREFIXES = st.sampled_from([b"", b"2026-11-21T01:31:24.5Z ", b"2026-11-21T01:31:24Z stderr F "])


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """Any line, mostly of an access log, in text or in JSON."""
    fields = dict(draw(st.sampled_from([connection(), refusal("x"), {}])))
    fields |= draw(st.dictionaries(_NAMES, _VALUES, max_size=6))
    write = draw(st.sampled_from([ztunnel_text, ztunnel_json]))
    line = write(
        {name: value for name, value in fields.items() if draw(st.integers(0, 7))},
        message=draw(_MESSAGES),
        scope=draw(st.sampled_from(["access", "state", ""])),
        time=draw(_TIMES),
    )
    line = draw(_PREFIXES) + line
    if draw(st.integers(0, 3)):
        return line
    place = draw(st.integers(0, len(line)))
    scar = draw(st.binary(max_size=3) | st.sampled_from([b'"', b" ", b"\\", b"\t", b"=", b'\\"']))
    return line[:place] + scar + line[place + draw(st.integers(0, 2)) :]


@given(st.lists(lines() | st.binary(max_size=40), max_size=6))
@settings(max_examples=120, deadline=None)
def test_both_mappers_agree_on_any_line(records: list[bytes]) -> None:
    for row in derive_both(*(entry(record, PayloadFormat.ZTUNNEL) for record in records)):
        assert row["decision"] in (None, "unknown", "denied")
        if row["kind"] == "undecoded":
            assert row["decode_error"]
            assert row["time"] is row["src_spiffe_id"] is row["decision"] is None
