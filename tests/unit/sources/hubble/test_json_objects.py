from __future__ import annotations

import json

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.sources.hubble.json_objects import JsonObjects

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.none()


def objects(*columns: list[str | None]) -> list[str | None]:
    built = JsonObjects()
    for at, column in enumerate(columns):
        built.add_text(f"m{at}", pa.array(column, pa.string()))
    told: list[str | None] = built.column(len(columns[0])).to_pylist()
    return told


def test_digits_and_truth_values_stand_bare_and_texts_in_quotes() -> None:
    said = ["7", "true", "007", "-1", "1.5", "9" * 18, "9" * 19, 'a"b', "a\nb"]
    assert objects([*said]) == [
        '{"m0":7}',
        '{"m0":true}',
        '{"m0":"007"}',
        '{"m0":"-1"}',
        '{"m0":"1.5"}',
        '{"m0":' + "9" * 18 + "}",
        '{"m0":"' + "9" * 19 + '"}',
        '{"m0":"a\\"b"}',
        '{"m0":"a\\nb"}',
    ]


def test_what_is_null_is_left_out_and_nothing_at_all_is_null() -> None:
    assert objects(["a", None, None, "b"], [None, "c", None, "d"]) == [
        '{"m0":"a"}',
        '{"m1":"c"}',
        None,
        '{"m0":"b","m1":"d"}',
    ]
    assert objects([None, None]) == [None, None]


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5))
def test_any_texts_come_back(rows: list[tuple[str | None, str | None]]) -> None:
    built = objects(*(list(column) for column in zip(*rows, strict=True)))
    for row, text in zip(rows, built, strict=True):
        told = json.loads(text or "{}")
        wanted = {f"m{at}": value for at, value in enumerate(row) if value is not None}
        assert told.keys() == (wanted.keys())
        assert [value for value in told.values() if isinstance(value, str)] == [
            value for name, value in wanted.items() if isinstance(told[name], str)
        ]
