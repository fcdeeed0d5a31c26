from __future__ import annotations

import pytest

from meshtrail.sources.kubernetes.json_parts import (
    is_stated,
    list_of,
    objects_of,
    part_of,
    text_of,
    texts_of,
)


def test_parts_are_found_at_the_end_of_their_path() -> None:
    value = {"a": {"b": {"t": "x", "l": [1, {"c": 2}, "y"]}}}
    assert part_of(value, "a", "b")["t"] == "x"
    assert text_of(value, "a", "b", "t") == "x"
    assert list_of(value, "a", "b", "l") == [1, {"c": 2}, "y"]
    assert objects_of(value, "a", "b", "l") == [{"c": 2}]
    assert texts_of(value, "a", "b", "l") == ["y"]
    assert is_stated(value, "a", "b")


@pytest.mark.parametrize("value", [None, 1, "x", [], {"a": None}, {"a": []}, {"a": {"b": ""}}])
def test_what_is_of_another_type_counts_as_absent(value: object) -> None:
    assert part_of(value, "a", "b") == {}
    assert text_of(value, "a", "b") is None
    assert list_of(value, "a", "b") == []
    assert not is_stated(value, "a", "c")
