from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meshtrail.errors import QueryError
from meshtrail.search.query import QUERY_CHARACTERS_MAX, TERMS_MAX, Term, Wildcard, parse_query

ANY = Wildcard(is_one=False)
ONE = Wildcard(is_one=True)


def only_term(text: str) -> Term:
    (term,) = parse_query(text).terms
    return term


@pytest.mark.parametrize("text", ["", "  ", "\n\t"])
def test_an_empty_query_has_no_terms(text: str) -> None:
    assert parse_query(text).terms == ()


def test_terms_are_joined_by_and_and_take_short_names_or_column_names() -> None:
    query = parse_query("  src.spiffe:a   AND http_request_method:GET AND status:>=400 ")
    assert [(term.field.name, term.comparison, term.literal) for term in query.terms] == [
        ("src_spiffe_id", "=", "a"),
        ("http_request_method", "=", "GET"),
        ("http_response_status_code", ">=", "400"),
    ]


@pytest.mark.parametrize("comparison", [">=", ">", "<=", "<"])
def test_each_comparison_is_told_from_the_value(comparison: str) -> None:
    term = only_term(f"status:{comparison}400")
    assert (term.comparison, term.literal) == (comparison, "400")


@pytest.mark.parametrize(
    ("value", "pieces"),
    [
        ("spiffe://td/ns/a", ("spiffe://td/ns/a",)),
        ("/admin/*", ("/admin/", ANY)),
        ("*/sa/checkout", (ANY, "/sa/checkout")),
        ("a*b?c", ("a", ANY, "b", ONE, "c")),
        (r"a\*b\?\\", ("a*b?\\",)),
        (r"\(x\)\ y", ("(x) y",)),
        ("*", (ANY,)),
        ('"a b AND c:d"', ("a b AND c:d",)),
        (r'"a \"b\" \\ * ? \n"', (r'a "b" \ * ? \n',)),
        ('""', ()),
        ("2026-11-21T08:00:00Z", ("2026-11-21T08:00:00Z",)),
    ],
)
def test_values_are_read_with_their_wildcards_quotes_and_escapes(
    value: str, pieces: tuple[object, ...]
) -> None:
    assert only_term(f"path:{value}").pieces == pieces


def test_a_quoted_star_is_a_star_and_a_bare_one_asks_for_any_value() -> None:
    assert only_term("path:*").is_any
    assert not only_term('path:"*"').is_any
    assert only_term('path:"*"').literal == "*"


@pytest.mark.parametrize(
    ("text", "position", "said"),
    [
        ("metod:GET", 0, "did you mean method"),
        ("method:GET AND pathh:/x", 15, "did you mean path"),
        ("zzzzz:1", 0, "--fields"),
        ("method", 0, "not field:value"),
        ("method:GET AND", 14, "ends where a term is due"),
        ("method:GET path:/x", 11, "'path:/x' stands alone"),
        ("method:GET OR path:/x", 11, "OR is not understood yet"),
        ("NOT method:GET", 0, "not field:value"),
        ("-method:GET", 0, "- is not understood yet"),
        ("method:", 7, "has no value"),
        ("status:>=", 7, "has no value"),
        ("method: GET", 7, "has no value"),
        ('path:"/x', 5, "no closing quote"),
        ('path:"/x"y', 9, "a space is due"),
        ("path:(a", 5, "( in a value needs quotes"),
        ("path:[1", 5, "[ in a value needs quotes"),
        ("path:a\\", 6, "ends behind a backslash"),
        ("AND method:GET", 0, "not field:value"),
    ],
)
def test_what_is_not_understood_is_refused_where_it_stands(
    text: str, position: int, said: str
) -> None:
    with pytest.raises(QueryError) as caught:
        parse_query(text)
    assert caught.value.facts["position"] == position
    assert said in caught.value.message


def test_a_query_has_bounds_for_length_and_number_of_terms() -> None:
    with pytest.raises(QueryError, match="characters"):
        parse_query("path:" + "x" * QUERY_CHARACTERS_MAX)
    parse_query(" AND ".join(["path:x"] * TERMS_MAX))
    with pytest.raises(QueryError, match="terms"):
        parse_query(" AND ".join(["path:x"] * (TERMS_MAX + 1)))


@given(st.text(alphabet=st.sampled_from('path:method AND"\\*?()>=<x \n\u00e9\u2028'), max_size=60))
@example("path:a\u2028b")
def test_any_text_parses_or_is_refused_with_a_position_in_it(text: str) -> None:
    try:
        query = parse_query(text)
    except QueryError as error:
        position = error.facts["position"]
        assert isinstance(position, int)
        assert 0 <= position <= len(text)
    else:
        assert all(text[term.position - 1] == ":" for term in query.terms)


@given(st.text(min_size=0, max_size=40))
def test_any_text_can_be_looked_up_in_quotes(text: str) -> None:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    assert only_term(f'path:"{escaped}"').literal == text
