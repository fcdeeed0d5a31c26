from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from meshtrail.sources.claims import METADATA_BYTES_MAX, TEXT_CHARS_MAX, cut_text, fit_metadata


def test_text_is_cut_with_a_mark_only_where_it_is_too_long() -> None:
    longest = "é" * TEXT_CHARS_MAX
    assert cut_text(longest) == longest
    assert cut_text(longest + "x") == longest + "…"


def test_metadata_without_items_is_none() -> None:
    assert fit_metadata([]) is None


def test_value_that_does_not_fit_leaves_its_name_and_room_for_the_next() -> None:
    large = "x" * METADATA_BYTES_MAX
    assert fit_metadata([("a", 1), ("b", large), ("c", "d")]) == {"a": 1, "b": "…", "c": "d"}


def test_names_that_do_not_fit_are_left_out_from_the_end_with_one_mark() -> None:
    names = ["n" * 500 + f"{number:02}" for number in range(40)]
    fitted = fit_metadata((name, "v") for name in names)
    assert fitted is not None
    assert list(fitted) == [*names[: len(fitted) - 1], "…"]
    assert len(fitted) > 10


@given(st.lists(st.tuples(st.text(max_size=300), st.text(max_size=700))))
def test_metadata_is_bounded_whatever_the_items(items: list[tuple[str, str]]) -> None:
    fitted = fit_metadata(items)
    assert (fitted is None) == (not items)
    assert len(json.dumps(fitted, ensure_ascii=False).encode()) <= METADATA_BYTES_MAX
