from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.sources.surrogates import mend_surrogates


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        (rb'"\ud800"', rb'"\ufffd"'),
        (rb'"\uDFFF"', rb'"\ufffd"'),
        (rb'"\ud800\ud800\udc00"', rb'"\ufffd\ud800\udc00"'),
        (rb'"\udc00\ud800"', rb'"\ufffd\ufffd"'),
        (rb'"\ud83d\ude00 \u00e9 \ue000"', rb'"\ud83d\ude00 \u00e9 \ue000"'),
        (rb'"\\ud800 \\\ud800"', rb'"\\ud800 \\\ufffd"'),
        (rb'"plain"', rb'"plain"'),
    ],
)
def test_only_halves_of_pairs_are_replaced(text: bytes, mended: bytes) -> None:
    assert mend_surrogates(text) == mended


@given(st.lists(st.sampled_from(["\\", "ud800", "udc00", '\\"', "\\u", "d83d", "a", "\\n"])))
def test_mended_text_is_as_long_and_says_the_same_but_for_halves(parts: list[str]) -> None:
    text = f'"{"".join(parts)}"'.encode()
    mended = mend_surrogates(text)
    assert len(mended) == len(text)
    assert mend_surrogates(mended) == mended
    try:
        said = json.loads(text)
    except ValueError:
        return
    halves = "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in said)
    assert json.loads(mended) == halves
