from __future__ import annotations

import hashlib
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.sources.kubernetes.canonical_json import encode_canonical, hash_canonical

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(-1e15, 1e15),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("bits", "written"),
    [
        # Appendix B of RFC 8785.
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
    ],
)
def test_numbers_are_written_as_rfc_8785_wants(bits: str, written: str) -> None:
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    assert encode_canonical(value).decode() == written


def test_example_of_rfc_8785_is_written_byte_for_byte() -> None:
    # Section 3.2.2.
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"\u002f",
        "literals": [None, True, False],
    }
    assert (
        encode_canonical(value)
        == (
            '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
            '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
        ).encode()
    )


def test_members_are_sorted_by_utf16_as_rfc_8785_wants() -> None:
    # Section 3.2.3: an astral character comes before U+FB33.
    value = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7}
    assert [*json.loads(encode_canonical(value))] == [
        *("\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33")
    ]


def test_integers_keep_all_their_digits() -> None:
    assert encode_canonical([2**53 + 1, -(2**63)]) == b"[9007199254740993,-9223372036854775808]"
    assert encode_canonical([{}, [], ""]) == b'[{},[],""]'


@given(VALUES)
def test_what_is_written_says_the_same_and_is_written_the_same_again(value: object) -> None:
    text = encode_canonical(value)
    again = json.loads(text)
    assert again == value
    assert encode_canonical(again) == text


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_hash_does_not_depend_on_the_order_of_members(value: dict[str, int]) -> None:
    turned = dict(reversed(value.items()))
    assert hash_canonical(turned) == hash_canonical(value)
    assert hash_canonical(value) == hashlib.sha256(encode_canonical(value)).digest()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"", {1}, "\ud800"])
def test_what_is_no_json_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"no JSON value|surrogates not allowed"):
        encode_canonical([value])
