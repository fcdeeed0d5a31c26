from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.collect.xfcc import Element, parse_elements, read_nearest
from meshtrail.errors import UnauthenticatedError

PAYMENTS = "spiffe://cluster.local/ns/shop/sa/payments"
FRONTEND = "spiffe://cluster.local/ns/shop/sa/frontend"
DIGEST = "ab" * 32

KEYS = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
VALUES = st.text(st.sampled_from('ab ,;="\\é\t/:%'), max_size=12)
ELEMENTS = st.lists(
    st.lists(st.tuples(KEYS, VALUES), min_size=1, max_size=4).map(tuple), min_size=1, max_size=4
)


def format_value(value: str) -> str:
    """A value in quotes, where everything may stand once quotes and backslashes are escaped."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@given(ELEMENTS)
def test_elements_that_are_written_out_are_read_back(elements: list[Element]) -> None:
    text = ",".join(
        ";".join(f"{key.title()}={format_value(value)}" for key, value in element)
        for element in elements
    )
    assert parse_elements(text) == elements


@given(st.text(st.sampled_from('aURI=;,"\\ \t:/é'), max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        elements = parse_elements(text)
    except UnauthenticatedError:
        return
    # Whatever was read accounts for each separator outside quotes.
    assert elements
    assert all(elements)


@given(st.text(st.sampled_from('ab,;="\\'), max_size=12), st.text(max_size=5))
def test_a_quoted_value_never_runs_into_what_stands_behind_it(subject: str, plain: str) -> None:
    text = f"Hash={DIGEST};Subject={format_value(subject + plain)};URI={PAYMENTS}"
    assert read_nearest(text).spiffe_id == PAYMENTS


def test_the_nearest_hop_speaks_last() -> None:
    far = f"By=x;Hash={'cd' * 32};URI={FRONTEND}"
    near = f'By={FRONTEND};Hash={DIGEST.upper()};Subject="CN=a,O=\\"b;c\\"";URI={PAYMENTS};DNS=d'
    found = read_nearest(f"{far},{near}")
    assert (found.spiffe_id, found.sha256) == (PAYMENTS, bytes.fromhex(DIGEST))
    assert found.detail is None


@pytest.mark.parametrize("key", ["URI", "uri", "Uri"])
def test_keys_are_read_whatever_their_case(key: str) -> None:
    assert read_nearest(f"{key}={PAYMENTS} , {key}={FRONTEND}").spiffe_id == FRONTEND


@pytest.mark.parametrize(
    ("uris", "detail"),
    [
        ("", "has 0 URI SANs"),
        (";URI=", "has 0 URI SANs"),
        (f";URI={PAYMENTS};URI={FRONTEND}", "has 2 URI SANs"),
        (f";URI={PAYMENTS};uri={PAYMENTS}", "has 2 URI SANs"),
        (";URI=https://example.com", "is not a SPIFFE ID"),
    ],
)
def test_certificate_that_is_no_svid_is_known_by_its_hash_alone(uris: str, detail: str) -> None:
    found = read_nearest(f"Hash={DIGEST}{uris}")
    assert found.spiffe_id is None
    assert found.sha256 == bytes.fromhex(DIGEST)
    assert detail in str(found.detail)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no key=value at character 0"),
        ("URI", "no key=value at character 0"),
        (f"URI={PAYMENTS},", "no key=value at character 47"),
        (f",URI={PAYMENTS}", "no key=value at character 0"),
        (f"URI={PAYMENTS};", "no key=value"),
        (f";URI={PAYMENTS}", "no key=value"),
        (f"Hash={DIGEST};;URI={PAYMENTS}", "no key=value"),
        (f'Subject="CN=a;URI={PAYMENTS}', "neither comma nor semicolon at character 8"),
        (f'Subject="CN=a"b;URI={PAYMENTS}', "neither comma nor semicolon"),
        (f'Subject=a"b";URI={PAYMENTS}', "neither comma nor semicolon"),
        (f'Subject="CN=a\\";URI={PAYMENTS}', "neither comma nor semicolon"),
        (f"Hash={DIGEST};Hash={DIGEST}", "the last element has 2 hashes"),
        (f"Hash={DIGEST[1:]};URI={PAYMENTS}", "not 64 hex digits"),
        (f"Hash={'é' * 64};URI={PAYMENTS}", "not 64 hex digits"),
        (f"Hash=;URI={PAYMENTS}", "not 64 hex digits"),
        (f"URI={PAYMENTS},By={PAYMENTS}", "has no hash, and the forwarded certificate has 0 URI"),
        (f"URI={PAYMENTS};URI={PAYMENTS}", "has no hash, and the forwarded certificate has 2 URI"),
        ("a=" + "b" * (1 << 18), "at most 262144 are read"),
    ],
)
def test_malformed_header_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(UnauthenticatedError, match=reason) as caught:
        read_nearest(text)
    assert caught.value.message.startswith("x-forwarded-client-cert: ")
