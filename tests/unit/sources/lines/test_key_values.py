from __future__ import annotations

import time

import pyarrow as pa
import pytest

from meshtrail.sources.lines.key_values import FIELDS_COUNT_MAX, KeyValues, unescape


def read(*texts: str | None) -> KeyValues:
    return KeyValues(pa.array(texts, pa.string()))


def test_fields_stand_in_any_order_with_quotes_or_without() -> None:
    fields = read('a=1 b="x y" c=', None, 'b=z a="" x.y=10.0.0.7:80', "", 'b="="')
    assert fields.text("a").to_pylist() == ["1", None, "", None, None]
    assert fields.text("b").to_pylist() == ["x y", None, "z", None, "="]
    assert fields.text("c").to_pylist() == ["", None, None, None, None]
    assert fields.text("x.y").to_pylist() == [None, None, "10.0.0.7:80", None, None]
    assert not fields.bad.any()


def test_a_value_that_holds_a_field_makes_none() -> None:
    fields = read(
        'error="no src.identity=\\"spiffe://a/b\\" here" x=1',
        'error=" src.identity=spiffe://a/b" x=1',
        'error="\\\\" src.identity="real"',
    )
    assert fields.text("src.identity").to_pylist() == [None, None, "real"]
    assert fields.text("x").to_pylist() == ["1", "1", None]
    assert fields.text("error")[0].as_py() == 'no src.identity="spiffe://a/b" here'


def test_of_equal_keys_the_first_counts() -> None:
    assert read("a=1 a=2", 'a="\\t" a=2').text("a").to_pylist() == ["1", "\t"]


@pytest.mark.parametrize(
    "text",
    [
        *("a", "a=b c", " a=b", "a=b ", "a=b  c=d", "=b", '"a"=b', 'a="b', 'a=b"', 'a="b"c', "a b"),
        *('a="b""c"', 'a=b"c"', 'a"b"=c', '"a=b"', 'a="\\"', 'a="b"\tc=d'),
        " ".join(f"k{number}=v" for number in range(FIELDS_COUNT_MAX + 1)),
    ],
)
def test_a_text_of_any_other_shape_says_nothing_and_harms_no_other(text: str) -> None:
    fields = read("a=1", text, 'a="2"')
    assert fields.bad.tolist() == [False, True, False]
    assert fields.text("a").to_pylist() == ["1", None, "2"]


def test_the_last_field_that_is_allowed_is_read() -> None:
    text = " ".join(f"k{number}=v" for number in range(FIELDS_COUNT_MAX))
    many_words = "w " * FIELDS_COUNT_MAX
    fields = read(text, f'k0="{many_words}" k255=v')
    assert fields.text(f"k{FIELDS_COUNT_MAX - 1}").to_pylist() == ["v", "v"]
    assert fields.text("k0").to_pylist() == ["v", many_words]


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        (r"\"\\\n\t\r\0\'", "\"\\\n\t\r\0'"),
        (r"\u{7f}\u{1f600}", "\x7f\U0001f600"),
        (r"\u{d800}\u{110000}\x", r"\u{d800}\u{110000}\x"),
        ("plain", "plain"),
    ],
)
def test_escapes_are_those_of_rust(escaped: str, text: str) -> None:
    assert unescape(escaped) == text


@pytest.mark.parametrize(
    "text",
    [
        " " * 1_000_000,
        '"' * 1_000_000,
        "a=" + "\\" * 1_000_000,
        'a="' + '\\"' * 500_000,
        "a=b " * 250_000,
        'a="' + "b=c " * 250_000 + '"',
        "=" * 1_000_000,
    ],
    ids=["blanks", "quotes", "backslashes", "escapes", "fields", "in quotes", "equals"],
)
def test_a_text_of_a_megabyte_is_read_in_less_than_a_second(text: str) -> None:
    start = time.perf_counter()
    read(text, "a=1")
    assert time.perf_counter() - start < 1


def test_slices_are_read_from_where_they_begin() -> None:
    texts = pa.array(["a=0", "a=1", 'a="\\n"', "a=3"], pa.string()).slice(1, 2)
    assert KeyValues(texts).text("a").to_pylist() == ["1", "\n"]
    assert KeyValues(texts.slice(0, 0)).text("a").to_pylist() == []
