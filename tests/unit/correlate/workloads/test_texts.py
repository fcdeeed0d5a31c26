from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from meshtrail.correlate.workloads.texts import (
    NONE,
    canonical_address,
    encode_sorted,
    encode_texts,
    filled_from,
    pair_codes,
)


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::FFFF:10.0.0.1", "10.0.0.1"),
        ("FD00:0:0::1", "fd00::1"),
        ("fd00::/64", "fd00::/64"),
        ("a:b", "a:b"),
        ("\0:", "\0:"),
    ],
)
def test_an_address_has_one_spelling_and_other_text_stays(text: str, spelled: str) -> None:
    assert canonical_address(text) == spelled


def test_texts_become_numbers_in_columns_of_any_make() -> None:
    plain = pa.chunked_array([["b", None], ["a", "b"]])
    for column in (plain, plain.dictionary_encode(), plain.combine_chunks()):
        codes, texts = encode_texts(column)
        told = [None if code == NONE else texts[int(code)].as_py() for code in codes]
        assert told == ["b", None, "a", "b"]
        assert encode_sorted(column).tolist() == [1, NONE, 0, 1]


def test_pairs_are_equal_only_where_both_numbers_are() -> None:
    codes = pair_codes(np.array([0, 0, 1, NONE, 0]), np.array([5, NONE, 5, NONE, 5]))
    assert codes.tolist() == [2, 1, 3, 0, 2]


def test_what_is_not_said_is_filled_from_before_and_else_from_behind() -> None:
    said = np.array([NONE, 7, NONE, NONE, 8, NONE])
    starts = np.array([0, 0, 0, 3, 3, 5])
    ends = np.array([3, 3, 3, 5, 5, 6])
    assert filled_from(said, starts, ends).tolist() == [1, 1, 1, 4, 4, NONE]
