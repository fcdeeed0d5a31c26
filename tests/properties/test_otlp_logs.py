"""OTLP log records: both mappers agree on any of them, and bytes of any kind become a row."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from meshtrail.model.entry import PayloadFormat
from meshtrail.model.otlp_attributes import (
    ACCESS_LOG_TYPE,
    ATTRIBUTES,
    JWT_AUTHN,
    RBAC_HTTP,
    RBAC_NETWORK,
)
from tests.als_records import derive_both, entry, opened
from tests.otlp_records import connection, export, log_record, request

_KEYS = [attribute.key for attribute in ATTRIBUTES]
_TYPES = st.sampled_from(
    ["DownstreamEnd", "UpstreamPeriodic", "TcpConnectionEnd", "TcpPeriodic", "NotSet", "-", ""]
)
_NUMBERS = st.integers(0, 2**70).map(str) | st.sampled_from(["-1", "1.5", "+1", "٣", "1\n", "007"])
_DURATIONS = st.from_regex(
    r"([0-9]{1,7}h)?([0-9]{1,2}m)?([0-9]{1,4}(\.[0-9]{1,17})?(s|ms|us|ns|ks)?)?", fullmatch=True
) | st.sampled_from(["0", "-1s", "inf", "1us\n"])
_IDS = st.from_regex(
    r"(00|ff)-[0-9a-fA0]{32}-[0-9a-f0]{16}-01|[0-9a-f0]{16}([0-9a-f0]{16}(-[0-9a-f0]{16})?)?"
    r"|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-fA]{64}",
    fullmatch=True,
)
_RBAC = st.sampled_from(
    [
        "{}",
        '{"enforced_engine_result":"allowed"}',
        '{"enforced_engine_result":"allowed","enforced_engine_result":"denied"}',
        '{"p_shadow_engine_result":"denied","shadow_engine_result":"allowed"}',
        '{"enforced_effective_policy_id":"ns[a]-policy[b]-rule[0]","enforced_engine_result":""}',
        '{"enforced_engine_result":{"enforced_engine_result":"denied"}}',
        '{"enforced_engine_result":"\\ud800"}',
        '[["enforced_engine_result","denied"]]',
        '{"enforced_engine_result":1}',
        "{",
        "null",
        "[" * 2_000,
    ]
)
_JWT = st.sampled_from(
    [
        "{}",
        '{"p":{"sub":"alice","iss":"i"}}',
        '{"q":{"sub":"alice"},"p":{"sub":"bob"}}',
        '{"p":{"sub":"alice"},"p":{"sub":"alice","sub":""}}',
        '{"p":{"sub":"alice","iss":["i"]},"q":{"sub":7,"iss":"i"}}',
        '{"p":{"sub":"\\ud800"}}',
        '{"p":{"sub":"alice"},"q":{"sub":"bob","iss":"\\ud800"}}',
        '{"p":{"iss":"\\ud800"},"\\ud800":{"sub":"alice"}}',
        '{"p":["sub","alice"],"sub":"alice"}',
        '{"p":{"sub":"alice","exp":NaN}}',
        "[]",
        "{",
        "[" * 2_000,
    ]
)
_WORDS = st.sampled_from(
    [
        "-",
        "",
        "inbound|80||",
        "outbound|80||x",
        "application/grpc",
        "7",
        "HTTP/2",
        "TLSv1.3",
        "TLSv1",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "URX,UF",
        "XX,UF,,NR",
        "spiffe://a/b",
        "spiffe://a/b,spiffe://a/c",
        "rbac_access_denied_matched_policy[none]",
        "/a?b?c",
        "10.0.0.7:80",
        "[fd00::7]:65536",
        "/run/pipe:1",
    ]
)
_VALUES = (
    _WORDS.map(str.encode)
    | _NUMBERS.map(str.encode)
    | _DURATIONS.map(str.encode)
    | _IDS.map(str.encode)
    | st.text(max_size=12).map(str.encode)
    | st.binary(max_size=12)
)


@st.composite
def attributes(draw: st.DrawFn) -> dict[str, bytes | str]:
    """Any attributes, mostly of an access log."""
    said: dict[str, bytes | str] = {}
    if draw(st.integers(0, 5)):
        said = {**draw(st.sampled_from([{}, request(), connection()]))}
        said[ACCESS_LOG_TYPE] = draw(_TYPES)
        for key in (RBAC_HTTP, RBAC_NETWORK):
            if draw(st.booleans()):
                said[key] = draw(_RBAC)
        if draw(st.booleans()):
            said[JWT_AUTHN] = draw(_JWT)
    said |= draw(st.dictionaries(st.sampled_from([*_KEYS, "other"]), _VALUES, max_size=12))
    if draw(st.booleans()):
        said["envoy.duration"] = draw(_DURATIONS)
    return said


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """Any log record."""
    return log_record(
        draw(attributes()),
        time_ns=draw(st.integers(0, 2**64 - 1) | st.just(1_795_224_684_882_174_000)),
        trace_id=draw(st.sampled_from([b"", b"t" * 16, bytes(16), b"t" * 8])),
        span_id=draw(st.sampled_from([b"", b"s" * 8, bytes(8), b"s" * 16])),
    )


@settings(max_examples=80, deadline=None)
@given(logs=st.lists(records(), min_size=1, max_size=6), is_opened=st.booleans())
def test_reference_agrees_on_any_log_record(*, logs: list[bytes], is_opened: bool) -> None:
    entries = [
        entry(export(log), PayloadFormat.OTLP_LOG, seq=seq) for seq, log in enumerate(logs, 1)
    ]
    derive_both(*([opened()] if is_opened else []), *entries)


_PAYLOADS = [export(log_record(said)) for said in (request(), connection(), {"message": "hello"})]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A payload with bytes changed, cut out, put in or repeated."""
    payload = bytearray(draw(st.sampled_from(_PAYLOADS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(payload)))
        until = draw(st.integers(at, min(at + 40, len(payload))))
        payload[at:until] = draw(
            st.binary(max_size=8) | st.just(bytes(payload[at:until]) * 2) | st.just(b"\xff" * 11)
        )
    return bytes(payload)


@settings(max_examples=120, deadline=None)
@given(payloads=st.lists(damaged() | st.binary(max_size=64), min_size=1, max_size=8))
def test_reference_agrees_on_any_bytes_and_nothing_raises(payloads: list[bytes]) -> None:
    rows = derive_both(
        *(entry(one, PayloadFormat.OTLP_LOG, seq=seq) for seq, one in enumerate(payloads))
    )
    assert len(rows) == len(payloads)
