from __future__ import annotations

import json
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.errors import InputError
from meshtrail.sources import json_text
from meshtrail.sources.json_text import NESTING_MAX, JsonTokens, check_json, count_tokens

Json: TypeAlias = "dict[str, Json] | list[Json] | str | float | None"

VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.text('a"\\[]{},:é\n'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text('a"\\[]{},:'), inner),
)


def tokens_of(value: Json) -> JsonTokens:
    if not isinstance(value, dict | list):
        return JsonTokens(0, 0, 0)
    inner = [tokens_of(item) for item in (value.values() if isinstance(value, dict) else value)]
    return JsonTokens(
        1 + max((found.depth for found in inner), default=0),
        max(len(inner) - 1, 0) + sum(found.commas_count for found in inner),
        (len(inner) if isinstance(value, dict) else 0) + sum(each.colons_count for each in inner),
    )


@given(value=VALUES, is_indented=st.booleans())
def test_tokens_of_any_value_are_counted_whatever_stands_in_its_strings(
    value: Json, *, is_indented: bool
) -> None:
    text = json.dumps(value, indent=2 if is_indented else None, ensure_ascii=False).encode()
    assert count_tokens(text) == tokens_of(value)


@given(st.text('"\\[]{},:a ', max_size=30).map(str.encode))
def test_depth_is_at_least_that_of_every_beginning_that_a_parser_could_follow(text: bytes) -> None:
    depth = deepest = 0
    is_string = is_escaped = False
    for byte in text:
        character = chr(byte)
        if is_string:
            if is_escaped:
                is_escaped = False
            elif character == "\\":
                is_escaped = True
            elif character == '"':
                is_string = False
        elif character == "\\":
            # No JSON goes on like this.
            break
        elif character == '"':
            is_string = True
        else:
            depth += (character in "[{") - (character in "]}")
            deepest = max(deepest, depth)
    assert count_tokens(text).depth >= deepest


@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"}")])
def test_text_nested_too_deeply_is_refused(brackets: tuple[bytes, bytes]) -> None:
    begin, end = brackets
    fits = begin * NESTING_MAX + end * NESTING_MAX
    assert check_json(fits, commas_count_max=0).depth == NESTING_MAX
    for depth in (NESTING_MAX + 1, 100_000):
        with pytest.raises(InputError, match=f"nested {depth} deep"):
            check_json(begin * depth, commas_count_max=0)


def test_text_with_too_many_values_is_refused() -> None:
    assert check_json(b'[0,",",0]', commas_count_max=2).commas_count == 2
    with pytest.raises(InputError, match="3 commas"):
        check_json(b"[0,0,0,0]", commas_count_max=2)


@pytest.mark.parametrize("text", [b'"\xff"', b'"\xed\xa0\x80"', b"[\xc3]"])
def test_text_that_is_not_utf8_is_refused(text: bytes) -> None:
    with pytest.raises(InputError, match="not UTF-8"):
        check_json(text, commas_count_max=9)


@given(value=VALUES)
def test_what_is_counted_does_not_depend_on_where_parts_of_the_text_end(value: Json) -> None:
    text = json.dumps(value, ensure_ascii=False).encode()
    wanted = check_json(text, commas_count_max=1_000)
    for part_bytes in (1, 2, 5):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(json_text, "_PART_BYTES", part_bytes)
            assert check_json(text, commas_count_max=1_000) == wanted
            with pytest.raises(InputError, match="not UTF-8"):
                check_json(text + b"\xe2\x82", commas_count_max=1_000)


def test_text_behind_a_byte_order_mark_is_refused() -> None:
    with pytest.raises(InputError, match="byte order mark"):
        check_json(b"\xef\xbb\xbf{}", commas_count_max=9)
