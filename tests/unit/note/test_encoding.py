"""Base64 and decimals: one spelling each."""

from __future__ import annotations

import pytest

from meshtrail.errors import NoteSyntaxError
from meshtrail.note.encoding import decode_base64, encode_base64, format_decimal, parse_decimal


@pytest.mark.parametrize(
    ("text", "data"),
    [("", b""), ("Zg==", b"f"), ("Zm8=", b"fo"), ("Zm9v", b"foo"), ("+/+/", b"\xfb\xff\xbf")],
)
def test_base64_round_trips_the_vectors_of_rfc_4648(text: str, data: bytes) -> None:
    assert encode_base64(data) == text
    assert decode_base64(text) == data


@pytest.mark.parametrize(
    "text",
    [
        "Zh==",  # trailing bits that are not zero: a second spelling of "f"
        "Zm9=",
        "Zg",  # padding is not optional
        "Zg=",
        "Zg===",
        "Zg==\n",
        "Zm 9v",
        "Zm\n9v",
        "Zm9v====",
        "=Zm9v",
        "-_-_",  # the URL alphabet
        "Zm9v\u2028",
        "Ｚm9v",
        "Zm9v!",
    ],
)
def test_decode_base64_refuses_every_other_spelling(text: str) -> None:
    with pytest.raises(NoteSyntaxError) as caught:
        decode_base64(text)
    assert text not in str(caught.value)


@pytest.mark.parametrize("value", [0, 1, 9, 10, 10**18, 2**63 - 1])
def test_decimal_round_trips_up_to_the_largest_size(value: int) -> None:
    assert parse_decimal(format_decimal(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4_2",
        "+5",
        "-5",
        "-0",
        " 5",
        "5 ",
        "5\n",
        "05",
        "00",
        "５",
        "٥",
        "²",
        "5.0",
        "1e3",
        "0x5",
        str(2**63),
        "9" * 19,
        "9" * 5000,
    ],
)
def test_parse_decimal_refuses_every_other_spelling(text: str) -> None:
    with pytest.raises(NoteSyntaxError):
        parse_decimal(text)


@pytest.mark.parametrize("value", [-1, 2**63])
def test_format_decimal_refuses_what_no_parser_takes(value: int) -> None:
    with pytest.raises(NoteSyntaxError):
        format_decimal(value)
