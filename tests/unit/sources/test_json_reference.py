from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.errors import InputError
from meshtrail.sources.json_columns import TEXT, JsonColumns
from meshtrail.sources.json_reference import parse_members

PIECES = [
    *('"', ",", "}", "]", "{", "[", "\\", " ", "-", ":", "\n", "\x0b", "1", "1.50", "1e5", "01"),
    *(
        "nan",
        "-Infinity",
        "null",
        "true",
        '"a"',
        '"a":',
        '"\\u00e9"',
        '"\\ud800"',
        "18446744073709551616",
    ),
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)


def in_columns(text: bytes) -> tuple[str | None, str | None]:
    columns = JsonColumns(pa.array([text], pa.binary()), {"a": TEXT})
    return columns.text("a").to_pylist()[0], columns.bad.get(0)


def alone(text: bytes) -> tuple[str | None, str | None]:
    try:
        return parse_members(text).text("a"), None
    except InputError as error:
        return None, error.message


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":"first","a":"last"}',
        b'{"a":{"x": [1, 2.50, "\\u00e9\\/\\n\\\\u001f\\u001f\x7f", {"k":1,"k":2}, NaN, null]}}',
        b'{"a":[1,],}',
        b'{"a":[,]}',
        b'{"a":-0}',
        b'{"a":1e16,"b":[1e16]}',
        b'{"a":[1e16,1e-5,1e-7,1e21,-0.0]}',
        b'{"a":1e400}',
        b'{"a":"snan",}',
        b'{"a":"\\ude00"}',
        b'{"a":"\x01"}',
        b'\x0b{"a":1}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":"\xff"}',
        b"null",
        b"[1]",
        b"",
        b'{"a":' + b"[" * 99 + b"]" * 99 + b"}",
        b'{"a":' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"a":"' + b"[" * 200 + b'"}',
    ],
)
def test_an_object_is_read_as_in_columns(text: bytes) -> None:
    assert alone(text) == in_columns(text)


@given(TEXTS, st.floats(allow_nan=False, allow_infinity=False))
def test_any_object_is_read_as_in_columns(value: str, number: float) -> None:
    for text in (f'{{"a":{value}}}', value, f'{{"a":{number!r}}}', f'{{"a":[{number!r}]}}'):
        assert alone(text.encode()) == in_columns(text.encode())
