"""A required text stands in every match of its expression, by the engine's own RE2."""

from __future__ import annotations

import re
from unittest import mock

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.search import regex_literal
from meshtrail.search.regex_literal import required_text

_TEXTS = st.text("ab/-.", min_size=1, max_size=4)
_ATOMS = st.one_of(
    _TEXTS.map(re.escape),
    st.sampled_from([".", r"\d", r"\w", "[ab]", "[^]a]", "[[:alpha:]]", r"[\]a]", "$", "^", r"\b"]),
)
_REPEATS = st.sampled_from(["", "", "*", "+", "?", "{0,2}", "{2}", "*?", "??", "+?"])


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    repeated = st.builds("{}{}".format, inner.map("({})".format), _REPEATS)
    several = st.lists(inner, min_size=1, max_size=4).map("".join)
    return st.one_of(repeated, several, st.builds("{}|{}".format, inner, inner))


_PATTERNS = st.recursive(st.builds("{}{}".format, _ATOMS, _REPEATS), _grow, max_leaves=8)


def is_match(pattern: str, text: str) -> bool:
    return bool(pc.match_substring_regex(pa.scalar(text), pattern=pattern).as_py())


@pytest.mark.parametrize(
    ("pattern", "want"),
    [
        ("/admin/.*", "/admin/"),
        ("(/[!#-.0-~]+)*/[a-z]*[0-9]+(/[a-z]+)?/nothing-12", "/nothing-12"),
        (r"\.php$", ".php"),
        (r"/v1\.2/(users|orders)/x", "/v1.2/"),
        ("/users+/1", "/users"),
        ("/users*/1", "/user"),
        ("/users{0,2}/1", "/user"),
        ("(?:/api)?/items", "/items"),
        ("[[:alpha:]]+/items[]/]x", "/items"),
        ("/größe/x", "/größe/x"),
    ],
)
def test_longest_text_that_must_be_there(pattern: str, want: str) -> None:
    assert required_text(pattern) == want
    assert not is_match(pattern, "nowhere")


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "/a",
        "/users|/orders",
        "(/users/all)",
        "(?i)/users",
        "(?i:/users)/all",
        "(?P<name>a)/users",
        r"\Q/users\E",
        r"\x41bcdef",
        r"\x{41}bcdef",
        r"\pNbcdef",
        r"\101bcdef",
        "a{b/users",
        r"[\w/users",
    ],
)
def test_no_text_where_none_is_plain_to_see(pattern: str) -> None:
    assert required_text(pattern) is None


@given(data=st.data(), pattern=_PATTERNS)
def test_every_match_has_the_text(data: st.DataObject, pattern: str) -> None:
    with mock.patch.object(regex_literal, "CHARACTERS_MIN", 1):
        text = required_text(pattern) or ""
    # Python has no such class, and repeats no anchor; RE2 decides what matches.
    generating = pattern.replace("[[:alpha:]]", "[ab]")
    try:
        matches = st.from_regex(re.compile(generating))
    except re.error:
        matches = st.nothing()
    value = data.draw(matches | st.text("ab/-.\n", max_size=30))
    assert text in value or not is_match(pattern, value)
