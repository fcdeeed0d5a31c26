from __future__ import annotations

import json
import time

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.sources.json_columns import (
    NOT_AN_OBJECT,
    NOT_JSON,
    NOT_UTF8,
    TEXT,
    TOO_DEEP,
    JsonColumns,
    Structure,
)

WANTED: dict[str, Structure] = {"a": TEXT, "b": {"c": TEXT, "d": [TEXT]}}


def read(*texts: bytes) -> JsonColumns:
    return JsonColumns(pa.array(texts, pa.binary()), WANTED)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a":"x"}', "x"),
        (b'{"a":200}', "200"),
        (b'{"a":1e400}', "1e400"),
        (b'{"a":true}', "true"),
        (b'{"a":null}', None),
        (b"{}", None),
        (b'{"a":"first","a":"last"}', "first"),
        (b'{"a":{"x":[1]}}', '{"x":[1]}'),
        (b' {"a":"\\u0000\\ud83d\\ude00"}\r', "\x00\U0001f600"),
        ('{"a":"\u00e9"}'.encode(), "\u00e9"),
    ],
)
def test_a_member_is_the_text_it_was_written_as(text: bytes, value: str | None) -> None:
    columns = read(text)
    assert (columns.text("a").to_pylist(), columns.bad) == ([value], {})


def test_members_lie_at_the_end_of_a_path() -> None:
    columns = read(b'{"b":{"c":"x","d":["y",2]}}', b'{"b":5}', b'{"b":{"d":"no list"}}')
    assert columns.text("b", "c").to_pylist() == ["x", None, None]
    assert columns.get("b", "d").to_pylist() == [["y", "2"], None, None]


def test_what_cannot_be_read_says_why_and_stays_beside_what_can() -> None:
    columns = read(b'{"a":"x"}', b"{", b"[1]", b"5", b"", b"\xff", b'{"a":"\\ud800"}', b'{"a":1} x')
    assert columns.bad == {
        1: NOT_JSON,
        2: NOT_AN_OBJECT,
        3: NOT_AN_OBJECT,
        4: NOT_JSON,
        5: NOT_UTF8,
        6: NOT_JSON,
        7: NOT_JSON,
    }
    assert columns.good.tolist() == [True] + [False] * 7
    assert columns.text("a").to_pylist() == ["x"] + [None] * 7


def test_no_texts_are_no_rows() -> None:
    assert read().text("b", "c").to_pylist() == []


LEAVES = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


@given(st.lists(st.fixed_dictionaries({}, optional={"a": LEAVES, "z": LEAVES}), max_size=5))
def test_texts_of_any_objects_come_back(objects: list[dict[str, str]]) -> None:
    columns = read(*(json.dumps(one).encode() for one in objects))
    assert columns.text("a").to_pylist() == [one.get("a") for one in objects]
    assert columns.bad == {}


@given(st.lists(st.binary(max_size=20), max_size=5))
def test_any_bytes_are_read_or_bad(texts: list[bytes]) -> None:
    columns = read(*texts)
    assert len(columns.text("a")) == len(texts)


def test_deep_and_long_texts_cost_time_in_proportion() -> None:
    deep = b'{"a":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}"
    begin = time.process_time()
    assert read(deep, b"[" * 2_000_000).bad == {0: TOO_DEEP, 1: TOO_DEEP}
    # Seconds on any machine: what grows with the square of the depth would take days.
    assert time.process_time() - begin < 20
